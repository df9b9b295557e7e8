"""Weights on disk and in memory: VGGT's names, safetensors files, strict loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import replace
import json
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
from moe3d_engine.model.config import ModelConfig
import torch
from torch import nn
from torch import Tensor

if TYPE_CHECKING:
    from moe3d_engine.model.network import Moe3dNet

EXPERT_PREFIX = 'depth_head.scratch.output_conv2.'
EXPERT_OUTPUT = 'depth_head.scratch.output_conv2.2.'
GATE_PREFIX = 'depth_head.gate.'
MATCHER_PREFIX = 'pose_matcher.'
IGNORED_PREFIXES = ('point_head.', 'track_head.')
CONFIG_KEY = 'config'
MAX_NAMES = 8


def vggt_shapes(network: Moe3dNet) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes that VGGT's own weights for this network have."""
    return {
        name: (value.shape[0] // _copies(network.config, name), *value.shape[1:])
        if value.ndim
        else ()
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
    network: Moe3dNet, state_dict: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """
    Return the network's state in which every expert is VGGT's head and the gate is zero.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape.
    """
    given = {k: v.float() for k, v in state_dict.items() if not k.startswith(IGNORED_PREFIXES)}
    check_names(given, vggt_shapes(network), source='VGGT')
    for name in [name for name in given if name.startswith(EXPERT_PREFIX)]:
        value = given[name]
        given[name] = value.repeat(_copies(network.config, name), *[1] * (value.ndim - 1))
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


def save_weights(network: Moe3dNet, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """
    Write weights and configuration as safetensors, atomically.

    Parameters
    ----------
    network : what to save.
    path : of the file.
    dtype : of the stored numbers; 16 bits suffice to run a network.
    """
    from safetensors.torch import save_file

    state = {
        name: value.detach().to('cpu', dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    temporary = path.with_name(path.name + '.tmp')
    save_file(state, temporary, metadata={CONFIG_KEY: json.dumps(asdict(network.config))})
    temporary.chmod(0o644)  # safetensors makes the file readable to its owner alone
    os.replace(temporary, path)


def read_vggt(path: Path) -> dict[str, Tensor]:
    """
    Read VGGT's own checkpoint, `.safetensors` or `.pt`, without unpickling code.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or not a dictionary of tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        state = torch.load(path, weights_only=True, map_location='cpu', mmap=True)
    except (OSError, SafetensorError, RuntimeError, UnpicklingError, EOFError) as error:
        raise CheckpointError(f'Cannot read the checkpoint {path}: {error}.') from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise CheckpointError(f'{path} is not a dictionary of tensors by name, as VGGT has.')
    return state


def with_experts(network: Moe3dNet, config: ModelConfig) -> Moe3dNet:
    """
    Return a network of `config` that predicts the same depth as a single-head network.

    It starts as VGGT's weights do in a mixture: every expert is the head, the gate is undecided.

    Raises
    ------
    CheckpointError
        If the configurations differ in more than the experts.
    """
    from moe3d_engine.model.network import Moe3dNet

    mixture = Moe3dNet(config)
    mixture.load_vggt_state_dict(network.state_dict())
    return mixture


def with_matching(network: Moe3dNet) -> Moe3dNet:
    """Return the network with a pose matcher, a random one unless it has one already."""
    from moe3d_engine.model.network import Moe3dNet

    if network.config.matching:
        return network
    matching = Moe3dNet(replace(network.config, matching=True))
    fresh = {k: v for k, v in matching.state_dict().items() if k.startswith(MATCHER_PREFIX)}
    assign_state(matching, network.state_dict() | fresh, source='given')
    return matching


def load_weights(path: Path) -> Moe3dNet:
    """
    Read a network of `save_weights` in float32.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, without a configuration or of another network.
    """
    from moe3d_engine.model.network import Moe3dNet
    from safetensors import safe_open
    from safetensors import SafetensorError

    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        config = ModelConfig(**json.loads(metadata[CONFIG_KEY]))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f'Cannot read the weights {path}: {error}.') from error
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f'{path} does not hold the configuration of a network ({error}). Write weights with '
            'moe3d_engine.model.checkpoint.save_weights.'
        ) from error
    with torch.device('meta'):
        network = Moe3dNet(config)
    assign_state(network, state, source=path.name)
    return network
