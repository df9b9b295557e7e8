"""The network that a run starts from, and which parts of it are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.config import VGGT_PREFIX
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import read_vggt
from moe3d_engine.model.checkpoint import with_experts
from moe3d_engine.model.checkpoint import with_matching
from moe3d_engine.model.checkpoint import with_sweep
from moe3d_engine.model.checkpoint import with_swept_depths
from moe3d_engine.model.mobile_stem import MobileStem
import torch


def build_network(config: TrainConfig) -> Moe3dNet:
    """
    Return the network to train: random by seed, from a file, or VGGT's with experts.

    Raises
    ------
    CheckpointError
        If `init` or `stem_init` is no checkpoint of this network.
    ConfigError
        If `init` has another head than the run asks for; only a single head can be changed.
    """
    torch.manual_seed(config.seed)
    head: dict[str, Any] = {
        'num_experts': config.num_experts,
        'likelihood': config.likelihood,
        'expert_space': config.expert_space,
    }
    wanted = replace(preset(config.preset), **head)
    if config.init.startswith(VGGT_PREFIX):
        state = read_vggt(Path(config.init.removeprefix(VGGT_PREFIX)))
        with torch.device('meta'):
            network = Moe3dNet(wanted)
        network.load_vggt_state_dict(state)
        network.break_symmetry(config.seed)
    elif config.init:
        network = load_weights(Path(config.init))
        if network.config.num_experts == 1 and config.num_experts > 1:
            network = with_experts(network, replace(network.config, **head))
            network.break_symmetry(config.seed)
        _check_head(network.config, head, config.init)
    else:
        network = Moe3dNet(wanted)
        network.break_symmetry(config.seed)
        if config.stem_init:
            load_stem(network, Path(config.stem_init))
    if config.part == 'cameras':
        network = with_matching(network)
        network.requires_grad_(False)
        network.camera_head.requires_grad_(True)
        if network.pose_matcher is not None:
            network.pose_matcher.requires_grad_(True)
    elif config.sweeps:
        network = with_sweep(network)
        if config.swept_depths:
            network = with_swept_depths(network, config.swept_depths)
        network.requires_grad_(False)
        if network.sweep is not None:
            network.sweep.requires_grad_(config.part == 'sweep')
            network.sweep.sides.requires_grad_(True)
            network.sweep.experts.requires_grad_(True)
    elif config.trunk_rate == 0:
        network.requires_grad_(False)
        network.depth_head.requires_grad_(True)
    return network


def _check_head(found: ModelConfig, head: dict[str, Any], source: str) -> None:
    """Raise ConfigError unless a mixture from a file is the one that the run asks for."""
    other = {name: value for name, value in head.items() if getattr(found, name) != value}
    if found.num_experts > 1 and other:
        options = ' '.join(f'--{n.replace("_", "-")} {getattr(found, n)}' for n in other)
        asked = ', '.join(f'{name} {value}' for name, value in other.items())
        raise ConfigError(
            f'The mixture in {source} cannot be trained as one with {asked}. Say {options}, or '
            'start from a single head.'
        )


def load_stem(network: Moe3dNet, path: Path) -> None:
    """
    Load the image classifier's weights into the mobile stem.

    Raises
    ------
    ConfigError
        If the network has another stem.
    """
    stem = network.aggregator.patch_embed.patch_embed
    if not isinstance(stem, MobileStem):
        raise ConfigError(f'stem_init needs stem mobile; this one is {network.config.stem!r}.')
    stem.load_efficientnet_lite0(torch.load(path, weights_only=True, map_location='cpu'))
