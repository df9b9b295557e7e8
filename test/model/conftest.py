"""Small networks and VGGT's golden numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
import importlib.util
import json
from pathlib import Path

from moe3d_engine.model import ModelConfig
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from networks import MOBILE_TINY
import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[1] / 'golden'

VGGT_SMALL = replace(
    preset('vggt-1b'),
    image_size=70,
    embed_dim=384,
    vit_depth=12,
    vit_heads=6,
    depth=4,
    heads=6,
    taps=(0, 1, 2, 3),
    dpt_features=64,
    dpt_channels=(96, 192, 384, 384),
    camera_heads=6,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run on one thread: networks this small only lose time when threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='session')
def vggt_small_config() -> ModelConfig:
    """Return the configuration of the golden numbers."""
    return VGGT_SMALL


@pytest.fixture(scope='session')
def vggt_1b_shapes() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the official VGGT-1B."""
    return load_shapes('vggt_1b_state_dict.json')


def load_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a golden state dict."""
    shapes = json.loads((GOLDEN / name).read_text())
    return {key: tuple(shape) for key, shape in shapes.items()}


def filled(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Return weights as the golden numbers have them: no tensor is small or zero."""
    spec = importlib.util.spec_from_file_location('fill_weights', GOLDEN / 'fill_weights.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: torch.as_tensor(x) for name, x in module.fill_weights(shapes, seed).items()}


@pytest.fixture(scope='session', params=['vggt_small_s3_70x98', 'vggt_small_s1_56x56'])
def vggt_case(request: pytest.FixtureRequest) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Return golden arrays and the state dict that made them."""
    with np.load(GOLDEN / f'{request.param}.npz') as file:
        arrays = dict(file)
    return arrays, filled(load_shapes('vggt_small_state_dict.json'), int(arrays['seed']))


def lively_network(config: ModelConfig) -> Moe3dNet:
    """Return a network in which every input matters, unlike one that was just initialised."""
    network = Moe3dNet(config).eval()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(filled(shapes, seed=1))
    return network


@pytest.fixture
def tiny_network() -> Moe3dNet:
    """Return a tiny network of VGGT's structure."""
    return lively_network(preset('tiny'))


@pytest.fixture
def conv_network() -> Moe3dNet:
    """Return a tiny network of moe3d-small's structure."""
    return lively_network(MOBILE_TINY)


@pytest.fixture
def untrained_network() -> Moe3dNet:
    """Return a tiny network of moe3d-small's structure as training from scratch starts it."""
    torch.manual_seed(0)
    network = Moe3dNet(MOBILE_TINY)
    network.break_symmetry(0)
    return network


@pytest.fixture(params=['tiny_network', 'conv_network'])
def network(request: pytest.FixtureRequest) -> Moe3dNet:
    """Return each of the two structures in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def images(network: Moe3dNet) -> Tensor:
    """Return three smooth random views at a size that `network` takes."""
    patch = network.config.patch_size
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(3, 3, 4, 6, generator=generator)
    size = (2 * patch, 3 * patch)
    return torch.nn.functional.interpolate(coarse, size=size, mode='bilinear')
