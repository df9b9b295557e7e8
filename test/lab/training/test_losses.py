"""The losses: where they weigh, what they prefer, what they ignore."""

from __future__ import annotations

from dataclasses import replace
import math

from moe3d_engine.lab.training.config import learning_rate_factor
from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.losses import boundary_weights
from moe3d_engine.lab.training.losses import camera_loss
from moe3d_engine.lab.training.losses import expert_loss
from moe3d_engine.lab.training.losses import expert_targets
from moe3d_engine.lab.training.losses import find_surfaces
from moe3d_engine.lab.training.losses import gradient_loss
from moe3d_engine.lab.training.losses import mixture_loss
from moe3d_engine.lab.training.losses import side_loss
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model import preset
import pytest
import torch
from torch import Tensor

STEP_EDGE = torch.ones(1, 1, 9, 12)
STEP_EDGE[..., 6:] = 2.0
CONFIG = replace(preset('moe3d-small'), num_experts=2)


def outputs_of(near: Tensor, far: Tensor) -> NetworkOutputs:
    """Return outputs of two experts with scale .05 and equal weights."""
    depth = torch.stack([near, far], dim=2)
    nothing = torch.zeros(1)
    return NetworkOutputs(
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        expert_depth=depth,
        expert_scale=torch.full_like(depth, 0.05),
        gate_log_weights=torch.full_like(depth, 0.5).log(),
    )


def test_boundary_weight_covers_two_pixels_on_either_side_of_a_step() -> None:
    weights = boundary_weights(STEP_EDGE, weight=5.0)

    assert (weights[..., 4:8] == 5.0).all()
    assert (weights[..., :4] == 1.0).all()
    assert (weights[..., 8:] == 1.0).all()


def test_plane_at_a_grazing_angle_is_no_step() -> None:
    plane = 1.04 ** torch.arange(9.0)[:, None].expand(1, 1, 9, 12)

    assert (boundary_weights(plane, weight=5.0) == 1.0).all()
    torch.testing.assert_close(find_surfaces(plane).near, plane)


def test_both_surfaces_are_flat_across_a_step_and_the_truth_elsewhere() -> None:
    surfaces = find_surfaces(STEP_EDGE)

    assert (surfaces.near[..., :9] == 1.0).all()
    assert (surfaces.far[..., 3:] == 2.0).all()
    assert (surfaces.near[..., 9:] == 2.0).all()
    assert (surfaces.far[..., :3] == 1.0).all()
    assert torch.equal(surfaces.on_near[..., 3:9], STEP_EDGE[..., 3:9] == 1.0)


def test_surface_that_a_pixel_lies_on_keeps_its_true_depth() -> None:
    slanted = STEP_EDGE * 1.01 ** torch.arange(9.0)[:, None]
    surfaces = find_surfaces(slanted)

    own = torch.where(surfaces.on_near, surfaces.near, surfaces.far)
    torch.testing.assert_close(own, slanted)


def test_mixture_loss_is_smallest_at_the_true_depth() -> None:
    weights = torch.ones_like(STEP_EDGE)
    losses = [
        mixture_loss(outputs_of(s * STEP_EDGE, s * STEP_EDGE), STEP_EDGE, weights, CONFIG)
        for s in (0.9, 1.0, 1.1)
    ]

    assert losses[1] < min(losses[0], losses[2])


def test_one_right_expert_of_two_is_better_than_the_mean_of_both_surfaces() -> None:
    near, far, *_ = find_surfaces(STEP_EDGE)
    weights = boundary_weights(STEP_EDGE, weight=5.0)
    mean = (near + far) / 2

    split = mixture_loss(outputs_of(near, far), STEP_EDGE, weights, CONFIG)
    blended = mixture_loss(outputs_of(mean, mean), STEP_EDGE, weights, CONFIG)

    assert split < blended


def test_expert_loss_teaches_near_first_and_far_last() -> None:
    surfaces = find_surfaces(STEP_EDGE)
    near, far = surfaces.near, surfaces.far
    wanted = expert_targets(STEP_EDGE, surfaces, num_experts=2)
    weights = torch.ones_like(STEP_EDGE)

    def loss(first: Tensor, second: Tensor) -> float:
        return float(expert_loss((torch.stack([first, second], 2) / wanted).log(), weights))

    assert loss(near, far) == 0.0
    assert loss(far, near) > 0.0
    assert loss(1.1 * near, 1.1 * far) == pytest.approx(math.log(1.1), rel=1e-4)


def test_single_head_is_taught_the_truth() -> None:
    surfaces = find_surfaces(STEP_EDGE)

    assert torch.equal(expert_targets(STEP_EDGE, surfaces, 1), STEP_EDGE[:, :, None])


def test_gradient_loss_ignores_scale_and_unknown_depth_but_sees_a_blurred_step() -> None:
    log_step = STEP_EDGE.log()[:, :, None]
    blurred = torch.cat([log_step[..., 1:], log_step[..., -1:]], -1) / 2 + log_step / 2
    known = torch.ones_like(STEP_EDGE)
    unknown = known.clone()
    unknown[..., 4:8] = 0.0

    assert gradient_loss(torch.full_like(log_step, 0.3), known) == 0.0
    assert gradient_loss(blurred - log_step, known) > 0.0
    assert gradient_loss(blurred - log_step, unknown) == 0.0


def test_side_loss_asks_on_which_surface_a_pixel_lies_whatever_the_depth_there() -> None:
    surfaces = find_surfaces(STEP_EDGE)
    known = torch.ones_like(STEP_EDGE)
    outputs = outputs_of(9 * surfaces.near, 9 * surfaces.far)
    right = torch.stack([surfaces.on_near, ~surfaces.on_near], 2).float().clamp(1e-6, 1).log()

    undecided = float(side_loss(outputs, surfaces, known))
    assert undecided == pytest.approx(math.log(2), rel=1e-5)
    assert side_loss(outputs._replace(gate_log_weights=right), surfaces, known) < 1e-5
    assert side_loss(outputs, surfaces, 0 * known) == 0.0


def test_camera_loss_takes_a_quaternion_and_its_negative_for_one_rotation() -> None:
    target = torch.tensor([[[0.1, 0.2, 0.3, 0.0, 0.6, 0.0, 0.8, 1.0, 1.2]]])
    negated = target.clone()
    negated[..., 3:7] *= -1

    assert camera_loss(negated, target) == 0.0
    assert camera_loss(target + 0.1, target) > 0.0


def test_learning_rate_rises_stays_and_falls() -> None:
    config = TrainConfig(data='', held_out='', run='', steps=100, warmup_steps=10, decay_share=0.5)

    assert learning_rate_factor(0, config) == pytest.approx(0.1)
    assert learning_rate_factor(30, config) == 1.0
    assert learning_rate_factor(75, config) == pytest.approx(0.5)
    assert learning_rate_factor(100, config) == 0.01
