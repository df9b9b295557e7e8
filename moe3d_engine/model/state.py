"""A network's state by name: strict loading, and VGGT's names and shapes in a mixture."""

from __future__ import annotations

from collections.abc import Mapping

from moe3d_engine.errors import CheckpointError
from moe3d_engine.model.config import ModelConfig
import torch
from torch import nn
from torch import Tensor

EXPERT_PREFIX = 'depth_head.scratch.output_conv2.'
EXPERT_OUTPUT = 'depth_head.scratch.output_conv2.2.'
GATE_PREFIX = 'depth_head.gate.'
IGNORED_PREFIXES = ('point_head.', 'track_head.')
MAX_NAMES = 8


def vggt_shapes(network: nn.Module, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes that VGGT's own weights for this network have."""
    return {
        name: (value.shape[0] // _copies(config, name), *value.shape[1:]) if value.ndim else ()
        for name, value in network.state_dict().items()
        if not name.startswith(GATE_PREFIX)
    }


def _copies(config: ModelConfig, name: str) -> int:
    """Return how many experts a tensor of VGGT's head serves, one after the other."""
    if not name.startswith(EXPERT_PREFIX):
        return 1
    shared = config.expert_space == 'feature' and name.startswith(EXPERT_OUTPUT)
    return 1 if shared else config.num_experts


def mixture_state_from_vggt(
    network: nn.Module, config: ModelConfig, state_dict: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """
    Return the network's state in which every expert is VGGT's head and the gate is zero.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape.
    """
    given = {k: v.float() for k, v in state_dict.items() if not k.startswith(IGNORED_PREFIXES)}
    check_names(given, vggt_shapes(network, config), source='VGGT')
    for name in [name for name in given if name.startswith(EXPERT_PREFIX)]:
        value = given[name]
        given[name] = value.repeat(_copies(config, name), *[1] * (value.ndim - 1))
    for name, value in network.state_dict().items():
        if name.startswith(GATE_PREFIX):
            given[name] = torch.zeros(value.shape, dtype=value.dtype)
    return given


def check_names(
    given: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], source: str
) -> None:
    """
    Compare names and shapes.

    Raises
    ------
    CheckpointError
        If anything differs; the message names the first few of each kind.
    """
    shared = given.keys() & expected.keys()
    reshaped = [
        f'{name} {tuple(given[name].shape)} instead of {expected[name]}'
        for name in sorted(shared)
        if tuple(given[name].shape) != expected[name]
    ]
    problems = {
        'missing': sorted(expected.keys() - given.keys()),
        'unexpected': sorted(given.keys() - expected.keys()),
        'of another shape': reshaped,
    }
    parts = [
        f'{len(names)} {kind} ({", ".join(names[:MAX_NAMES])}{", ..." * (len(names) > MAX_NAMES)})'
        for kind, names in problems.items()
        if names
    ]
    if parts:
        raise CheckpointError(
            f'The {source} weights do not fit this network: {"; ".join(parts)}. Use the weights '
            'of this configuration, or the configuration of these weights.'
        )


def assign_state(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """
    Load a complete state; a network on the `meta` device takes the tensors without a copy.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_names(state, expected, source)
    on_meta = any(parameter.is_meta for parameter in network.parameters())
    network.load_state_dict(dict(state), assign=on_meta)
