"""Weights on disk: safetensors files of ours, VGGT's own checkpoints, without pickle."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import replace
import json
import os
from pathlib import Path
from pickle import UnpicklingError

from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.network import Moe3dNet
from moe3d_engine.model.state import assign_state
import torch
from torch import Tensor

MATCHER_PREFIX = 'pose_matcher.'
SWEEP_PREFIX = 'sweep.'
CONFIG_KEY = 'config'


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
    mixture = Moe3dNet(config)
    mixture.load_vggt_state_dict(network.state_dict())
    return mixture


def with_sweep(network: Moe3dNet) -> Moe3dNet:
    """Return the network with a plane sweep, a random one unless it has one already."""
    config = network.config
    return network if config.sweep else _grown(network, replace(config, sweep=True), SWEEP_PREFIX)


def with_swept_depths(network: Moe3dNet, count: int) -> Moe3dNet:
    """Return a network whose sweep, which it has, learns its depths anew; see ModelConfig."""
    config = replace(network.config, swept_depths=count)
    return _grown(network, config, f'{SWEEP_PREFIX}experts.')


def with_matching(network: Moe3dNet) -> Moe3dNet:
    """Return the network with a pose matcher, a random one unless it has one already."""
    config = network.config
    if config.matching:
        return network
    return _grown(network, replace(config, matching=True), MATCHER_PREFIX)


def _grown(network: Moe3dNet, config: ModelConfig, prefix: str) -> Moe3dNet:
    """Return a network of `config` with the weights of another one, and fresh ones of a prefix."""
    grown = Moe3dNet(config)
    state = {k: v for k, v in network.state_dict().items() if not k.startswith(prefix)}
    state |= {k: v for k, v in grown.state_dict().items() if k.startswith(prefix)}
    assign_state(grown, state, source='given')
    return grown


def load_weights(path: Path) -> Moe3dNet:
    """
    Read a network of `save_weights` in float32.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, without a configuration or of another network.
    """
    from safetensors import safe_open
    from safetensors import SafetensorError

    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        config = ModelConfig(**json.loads(metadata[CONFIG_KEY]))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f'Cannot read the weights {path}: {error}.') from error
    except (KeyError, TypeError, ValueError, RecursionError, ConfigError) as error:
        raise CheckpointError(
            f'{path} does not hold the configuration of a network ({error}). Write weights with '
            'moe3d_engine.model.checkpoint.save_weights.'
        ) from error
    with torch.device('meta'):
        network = Moe3dNet(config)
    assign_state(network, state, source=path.name)
    return network
