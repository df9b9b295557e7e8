"""Weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

from moe3d_engine.errors import CheckpointError
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import save_weights
import pytest
from safetensors.torch import save_file
import torch
from torch import Tensor

pytestmark = pytest.mark.instruction_sets


@torch.no_grad()
def test_saved_network_comes_back_equal(network: Moe3dNet, images: Tensor, tmp_path: Path) -> None:
    path = tmp_path / 'x.safetensors'

    save_weights(network, path)
    loaded = load_weights(path)

    assert loaded.config == network.config
    kept = loaded.state_dict()
    assert kept.keys() == network.state_dict().keys()
    for name, wanted in network.state_dict().items():
        assert torch.equal(kept[name], wanted), name
    # Two runs need not add in the same order: kernels depend on where tensors lie in memory.
    for got, wanted in zip(loaded(images), network(images), strict=True):
        assert (got is None) == (wanted is None)
        if wanted is not None:
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ['x.safetensors']


def test_sixteen_bit_file_is_half_as_large_and_loads_as_float32(
    tiny_network: Moe3dNet, tmp_path: Path
) -> None:
    full, half = tmp_path / 'full.safetensors', tmp_path / 'half.safetensors'

    save_weights(tiny_network, full)
    save_weights(tiny_network, half, dtype=torch.float16)
    loaded = load_weights(half)

    assert half.stat().st_size < 0.6 * full.stat().st_size
    for got, wanted in zip(loaded.parameters(), tiny_network.parameters(), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-6)


def test_loaded_network_can_be_trained(tiny_network: Moe3dNet, tmp_path: Path) -> None:
    path = tmp_path / 'x.safetensors'
    save_weights(tiny_network, path)

    loaded = load_weights(path)

    wanted = {name: p.requires_grad for name, p in tiny_network.named_parameters()}
    assert {name: p.requires_grad for name, p in loaded.named_parameters()} == wanted


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'nothing\.safetensors'):
        load_weights(tmp_path / 'nothing.safetensors')


def test_damaged_file_is_refused(tiny_network: Moe3dNet, tmp_path: Path) -> None:
    path = tmp_path / 'x.safetensors'
    save_weights(tiny_network, path)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match='Cannot read'):
        load_weights(path)


@pytest.mark.parametrize(
    'metadata',
    [
        None,
        {'config': json.dumps({'colour': 'red'})},
        {'config': json.dumps({'num_experts': 0})},
        {'config': '{'},
    ],
)
def test_file_without_a_valid_configuration_is_refused(
    metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    path = tmp_path / 'x.safetensors'
    save_file({'x': torch.zeros(1)}, path, metadata=metadata)

    with pytest.raises(CheckpointError, match='configuration'):
        load_weights(path)


def test_weights_of_another_network_are_refused_by_name(
    tiny_network: Moe3dNet, tmp_path: Path
) -> None:
    from dataclasses import asdict

    path = tmp_path / 'x.safetensors'
    config = json.dumps(asdict(tiny_network.config))
    save_file({'x': torch.zeros(1)}, path, metadata={'config': config})

    with pytest.raises(CheckpointError, match='unexpected'):
        load_weights(path)
