"""The network is VGGT: same names, same shapes, same numbers."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.errors import CheckpointError
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model.state import vggt_shapes
import numpy as np
import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.instruction_sets

VggtCase = tuple[dict[str, np.ndarray], dict[str, Tensor]]  # arrays, weights
Shapes = dict[str, tuple[int, ...]]
GOLDEN_ATOL = 1e-4  # float32, other order of summation
WARM_START_RTOL = 1e-4  # likewise: four experts and one are other shapes


def loaded(config: ModelConfig, state_dict: dict[str, Tensor]) -> Moe3dNet:
    with torch.device('meta'):
        network = Moe3dNet(config)
    network.load_vggt_state_dict(state_dict)
    return network.eval()


@torch.no_grad()
def test_outputs_equal_the_published_code(
    vggt_case: VggtCase, vggt_small_config: ModelConfig
) -> None:
    arrays, state_dict = vggt_case
    network = loaded(vggt_small_config, state_dict)
    images = torch.from_numpy(arrays['images'])

    outputs = network(images)
    tokens = network.encode_images(images.flatten(0, 1))['tokens']
    _, last = network.aggregator(tokens.unflatten(0, images.shape[:2]))

    for got, wanted in (
        (outputs.depth, arrays['depth'][..., 0]),
        (outputs.depth_confidence, arrays['depth_conf']),
        (outputs.pose_encoding, arrays['pose_enc']),
        (last[:, :, :8, :64], arrays['tokens_last']),
    ):
        torch.testing.assert_close(got, torch.from_numpy(wanted), rtol=0, atol=GOLDEN_ATOL)


@torch.no_grad()
def test_warm_started_mixture_equals_single_head_in_every_decode(
    vggt_case: VggtCase, vggt_small_config: ModelConfig
) -> None:
    arrays, state_dict = vggt_case
    images = torch.from_numpy(arrays['images'])
    single = loaded(replace(vggt_small_config, num_experts=1), state_dict)(images)
    mixture = loaded(vggt_small_config, state_dict)

    for decode in ('agree', 'dominant', 'soft'):
        outputs = mixture(images, decode=decode)

        torch.testing.assert_close(outputs.depth, single.depth, rtol=WARM_START_RTOL, atol=0)
        scale = 0.2 / outputs.depth_confidence
        closed_form = 1 - torch.exp(-0.05 * outputs.depth / scale)
        torch.testing.assert_close(outputs.boundary_confidence, closed_form, rtol=0, atol=1e-5)
        torch.testing.assert_close(outputs.agreement, torch.ones_like(outputs.agreement))


@torch.no_grad()
def test_breaking_symmetry_keeps_the_warm_start(
    vggt_case: VggtCase, vggt_small_config: ModelConfig
) -> None:
    arrays, state_dict = vggt_case
    images = torch.from_numpy(arrays['images'])
    network = loaded(vggt_small_config, state_dict)
    before = network(images)

    network.break_symmetry(3)
    after = network(images, return_experts=True)

    torch.testing.assert_close(after.depth, before.depth, rtol=WARM_START_RTOL, atol=0)
    assert after.gate_weights.std(dim=2).min() > 0
    assert after.expert_scale.std(dim=2).min() > 0


def test_vggt_1b_has_the_official_names_and_shapes(
    vggt_1b_shapes: Shapes,
) -> None:
    with torch.device('meta'):
        network = Moe3dNet(preset('vggt-1b'))

    ours = vggt_shapes(network, network.config)

    heads = ('aggregator.', 'camera_head.', 'depth_head.')
    assert ours == {k: v for k, v in vggt_1b_shapes.items() if k.startswith(heads)}


def test_full_vggt_1b_loads_without_a_copy(vggt_1b_shapes: Shapes) -> None:
    with torch.device('meta'):
        network = Moe3dNet(preset('vggt-1b'))
    storage = torch.zeros(1)  # every weight is a view of one number: no memory
    state_dict = {name: storage.expand(shape) for name, shape in vggt_1b_shapes.items()}

    network.load_vggt_state_dict(state_dict)

    weight = network.get_parameter('aggregator.global_blocks.23.mlp.fc1.weight')
    assert weight.data_ptr() == storage.data_ptr()
    assert not any(parameter.is_meta for parameter in network.parameters())


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'aggregator.camera_token': None}, '1 missing (aggregator.camera_token)'),
        ({'depth_head.extra': torch.zeros(1)}, '1 unexpected (depth_head.extra)'),
        (
            {'camera_head.embed_pose.weight': torch.zeros(3, 9)},
            'camera_head.embed_pose.weight (3, 9) instead of (64, 9)',
        ),
    ],
)
def test_foreign_weights_are_refused_by_name(
    tiny_network: Moe3dNet, change: dict[str, Tensor | None], named: str
) -> None:
    state_dict = {
        n: torch.zeros(shape)
        for n, shape in vggt_shapes(tiny_network, tiny_network.config).items()
    }
    state_dict |= change
    state_dict = {name: value for name, value in state_dict.items() if value is not None}

    with pytest.raises(CheckpointError) as error:
        tiny_network.load_vggt_state_dict(state_dict)

    assert named in str(error.value)


def test_point_and_track_heads_are_ignored(tiny_network: Moe3dNet) -> None:
    state_dict = {
        n: torch.zeros(shape)
        for n, shape in vggt_shapes(tiny_network, tiny_network.config).items()
    }
    state_dict |= {'point_head.norm.weight': torch.ones(1), 'track_head.x': torch.ones(1)}

    tiny_network.load_vggt_state_dict(state_dict)

    assert tiny_network.get_parameter('camera_head.token_norm.weight').abs().max() == 0
