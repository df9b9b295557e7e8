"""The network's configuration."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import replace
import json
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model import PRESETS
import pytest
import torch


@pytest.mark.parametrize('name', PRESETS)
def test_configuration_survives_json(name: str) -> None:
    config = preset(name)

    assert ModelConfig(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(('name', 'most'), [('moe3d-small', 12_000_000), ('tiny', 300_000)])
def test_small_networks_are_small(name: str, most: int) -> None:
    with torch.device('meta'):
        network = Moe3dNet(preset(name))

    assert sum(parameter.numel() for parameter in network.parameters()) <= most


@pytest.mark.parametrize(
    'change',
    [
        {'likelihood': 'cauchy'},
        {'mixture_variable': 'inverse'},
        {'stem': 'resnet'},
        {'gate_temperature': 0.0},
        {'agree_tau': -1.0},
        {'num_experts': 0},
        {'taps': (0, 1, 2, 4)},
        {'taps': (0, 1)},
        {'heads': 5},
        {'camera_heads': 5},
        {'image_size': 225},
        {'patch_size': 8},
        {'stem': 'patch'},
    ],
)
def test_contradictions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(preset('moe3d-small'), **change)


def test_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match='moe3d-small'):
        preset('huge')
