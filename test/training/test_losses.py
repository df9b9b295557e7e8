"""The losses: where they weigh, what they prefer, what they ignore."""

from __future__ import annotations

from dataclasses import replace
import math

from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model import preset
from moe3d_engine.training.config import learning_rate_factor
from moe3d_engine.training.config import TrainConfig
from moe3d_engine.training.losses import boundary_weights
from moe3d_engine.training.losses import camera_loss
from moe3d_engine.training.losses import interior_loss
from moe3d_engine.training.losses import local_extrema
from moe3d_engine.training.losses import mixture_loss
from moe3d_engine.training.losses import teacher_loss
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
    weights = boundary_weights(*local_extrema(STEP_EDGE), weight=5.0)

    assert (weights[..., 4:8] == 5.0).all()
    assert (weights[..., :4] == 1.0).all()
    assert (weights[..., 8:] == 1.0).all()


def test_mixture_loss_is_smallest_at_the_true_depth() -> None:
    weights = torch.ones_like(STEP_EDGE)
    losses = [
        mixture_loss(outputs_of(s * STEP_EDGE, s * STEP_EDGE), STEP_EDGE, weights, CONFIG)
        for s in (0.9, 1.0, 1.1)
    ]

    assert losses[1] < min(losses[0], losses[2])


def test_one_right_expert_of_two_is_better_than_the_mean_of_both_surfaces() -> None:
    near, far = local_extrema(STEP_EDGE)
    weights = boundary_weights(near, far, weight=5.0)
    mean = (near + far) / 2

    split = mixture_loss(outputs_of(near, far), STEP_EDGE, weights, CONFIG)
    blended = mixture_loss(outputs_of(mean, mean), STEP_EDGE, weights, CONFIG)

    assert split < blended


def test_teacher_loss_is_zero_for_experts_on_the_nearest_and_the_farthest_surface() -> None:
    near, far = local_extrema(STEP_EDGE)
    weights = torch.ones_like(STEP_EDGE)

    assert teacher_loss(outputs_of(near, far), near, far, weights) == 0.0
    assert teacher_loss(outputs_of(far, near), near, far, weights) > 0.0


def test_interior_loss_sees_every_expert_but_no_boundary() -> None:
    near, far = local_extrema(STEP_EDGE)

    assert interior_loss(outputs_of(near, far), STEP_EDGE, near, far) == 0.0
    wrong = interior_loss(outputs_of(STEP_EDGE, 1.1 * STEP_EDGE), STEP_EDGE, near, far)
    assert float(wrong) == pytest.approx(0.5 * math.log(1.1), rel=1e-4)


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
