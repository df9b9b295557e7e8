"""Properties of the whole network that hold for any weights."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.mixture import mixture_log_likelihood
import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.instruction_sets

ATOL = 1e-4
BFLOAT16_TOL = 0.1


def outputs_close(got: NetworkOutputs, wanted: NetworkOutputs, atol: float = ATOL) -> None:
    for name, value in got._asdict().items():
        if value is not None:
            torch.testing.assert_close(
                value, getattr(wanted, name), rtol=0, atol=atol, msg=lambda m, n=name: f'{n}: {m}'
            )


@torch.no_grad()
def test_outputs_have_the_shapes_of_the_batch(network: Moe3dNet, images: Tensor) -> None:
    height, width = images.shape[-2:]

    outputs = network(images[None].repeat(2, 1, 1, 1, 1), return_experts=True)

    maps, experts = (2, 3, height, width), (2, 3, network.config.num_experts, height, width)
    assert outputs.depth.shape == outputs.boundary_confidence.shape == maps
    assert outputs.depth_confidence.shape == outputs.agreement.shape == maps
    assert outputs.pose_encoding.shape == (2, 3, 9)
    assert outputs.expert_depth.shape == outputs.gate_weights.shape == experts
    assert outputs.expert_scale.shape == outputs.gate_log_weights.shape == experts


@torch.no_grad()
def test_confidences_are_probabilities(network: Moe3dNet, images: Tensor) -> None:
    outputs = network(images)

    for confidence in (outputs.boundary_confidence, outputs.agreement):
        assert confidence.min() >= 0
        assert confidence.max() <= 1
    assert outputs.depth.min() > 0
    assert outputs.depth_confidence.min() > 1


@torch.no_grad()
def test_experts_are_returned_on_request_only(network: Moe3dNet, images: Tensor) -> None:
    outputs = network(images)

    assert outputs.expert_depth is None
    assert outputs.gate_weights is None


@torch.no_grad()
def test_windows_of_a_batch_do_not_see_each_other(network: Moe3dNet, images: Tensor) -> None:
    other = 1 - images

    together = network(torch.stack((images, other)))

    for row, window in enumerate((images, other)):
        alone = network(window)
        outputs_close(alone, type(together)(*(x if x is None else x[row] for x in together)))


@torch.no_grad()
def test_views_after_the_first_may_come_in_any_order(network: Moe3dNet, images: Tensor) -> None:
    straight = network(images)

    swapped = network(images[[0, 2, 1]])

    torch.testing.assert_close(swapped.depth[[0, 2, 1]], straight.depth, rtol=0, atol=ATOL)
    torch.testing.assert_close(
        swapped.pose_encoding[[0, 2, 1]], straight.pose_encoding, rtol=0, atol=ATOL
    )


@torch.no_grad()
def test_views_see_each_other(network: Moe3dNet, images: Tensor) -> None:
    together, alone = network(images), network(images[:1])

    assert (together.depth[0] - alone.depth[0]).abs().max() > 10 * ATOL


@torch.no_grad()
def test_published_views_are_rows_of_the_full_result(network: Moe3dNet, images: Tensor) -> None:
    features = {name: x[None] for name, x in network.encode_images(images).items()}
    full = network.reconstruct(features)

    some = network.reconstruct(features, torch.tensor([2, 0]))

    torch.testing.assert_close(some.depth, full.depth[:, [2, 0]], rtol=0, atol=ATOL)
    torch.testing.assert_close(some.agreement, full.agreement[:, [2, 0]], rtol=0, atol=ATOL)
    torch.testing.assert_close(some.pose_encoding, full.pose_encoding, rtol=0, atol=ATOL)


@torch.no_grad()
def test_features_of_a_view_do_not_depend_on_other_views(
    network: Moe3dNet, images: Tensor
) -> None:
    together, alone = network.encode_images(images), network.encode_images(images[1:2])

    for name, value in alone.items():
        torch.testing.assert_close(value[0], together[name][1], rtol=0, atol=ATOL)


@torch.no_grad()
def test_one_view_is_enough(network: Moe3dNet, images: Tensor) -> None:
    outputs = network(images[:1])

    assert outputs.depth.shape == (1, *images.shape[-2:])
    assert all(torch.isfinite(x).all() for x in outputs if x is not None)


@torch.no_grad()
def test_baked_positions_change_nothing(network: Moe3dNet, images: Tensor) -> None:
    before = network(images)

    network.bake_positions((images.shape[-2], images.shape[-1]))

    outputs_close(network(images), before)
    assert not any('baked' in name for name in network.state_dict())


@pytest.mark.parametrize(
    'shape', [(3, 28, 28), (1, 1, 1, 3, 28, 28), (2, 4, 28, 28), (2, 3, 30, 28), (0, 3, 28, 28)]
)
def test_images_of_another_shape_are_refused(
    tiny_network: Moe3dNet, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError):
        tiny_network(torch.zeros(shape))


def test_eight_bit_images_are_refused(tiny_network: Moe3dNet) -> None:
    with pytest.raises(ShapeError, match='Divide 8-bit RGB by 255'):
        tiny_network(torch.zeros(1, 3, 28, 28, dtype=torch.uint8))


@torch.no_grad()
def test_bfloat16_autocast_returns_float32_near_the_float32_result(
    network: Moe3dNet, images: Tensor
) -> None:
    exact = network(images, return_experts=True)

    with torch.autocast('cpu', dtype=torch.bfloat16):
        fast = network(images, return_experts=True)

    assert all(x.dtype == torch.float32 for x in fast if isinstance(x, Tensor))
    for name in ('expert_depth', 'expert_scale', 'pose_encoding'):
        got, wanted = getattr(fast, name), getattr(exact, name)
        torch.testing.assert_close(got, wanted, rtol=BFLOAT16_TOL, atol=BFLOAT16_TOL)


@torch.no_grad()
def test_untrained_depths_surround_the_initial_depth(untrained_network: Moe3dNet) -> None:
    network = untrained_network
    expert_depth = network(torch.rand(2, 3, 32, 48), return_experts=True).expert_depth

    assert expert_depth.min() > network.config.initial_depth / 5
    assert expert_depth.max() < network.config.initial_depth * 5
    assert (expert_depth[:, -1] > expert_depth[:, 0]).all()


def negative_log_likelihood(network: Moe3dNet, images: Tensor, depth: Tensor) -> Tensor:
    outputs = network(images, return_experts=True)
    config = network.config
    return (
        -mixture_log_likelihood(
            outputs.expert_depth,
            outputs.expert_scale,
            outputs.gate_log_weights,
            depth,
            config.likelihood,
            config.mixture_variable,
        ).mean()
        + (outputs.pose_encoding - 0.1).pow(2).mean()
    )


def test_every_trainable_parameter_gets_a_gradient(network: Moe3dNet, images: Tensor) -> None:
    depth = 1 + 3 * images[:, 0]

    negative_log_likelihood(network, images, depth).backward()

    untouched = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert untouched == []


def test_a_few_steps_of_training_reduce_the_loss(untrained_network: Moe3dNet) -> None:
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    depth = 1 + 3 * images[:, 0]
    parameters = [p for p in untrained_network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3)
    losses = []

    for _ in range(12):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = negative_log_likelihood(untrained_network, images, depth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] - 0.2


def test_broken_symmetry_separates_the_gradients_of_equal_experts(tiny_network: Moe3dNet) -> None:
    weights = tiny_network.depth_head.scratch.output_conv2[0].weight
    with torch.no_grad():  # equal experts, as after loading VGGT
        for parameter in tiny_network.depth_head.scratch.output_conv2.parameters():
            half = parameter.shape[0] // 2
            parameter[half:] = parameter[:half]
    tiny_network.break_symmetry(7)
    images = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(3))

    negative_log_likelihood(tiny_network, images, 1 + images[:, 0]).backward()

    first, second = weights.grad.chunk(2)
    assert (first - second).abs().max() > 0.01 * first.abs().max()
