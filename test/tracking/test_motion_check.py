"""Vision against odometry, in simulation."""

from __future__ import annotations

import math

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.motion_check import MIN_KEYFRAMES
from moe3d_engine.mapping.motion_check import MotionCheck
from moe3d_engine.mapping.motion_check import MotionDisagreement
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import Scale
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

FACTOR = 1.3
LOCKED = Scale(FACTOR, 0.01, 'odometry', True, 'locked')
ESTIMATING = Scale(FACTOR, 0.26, 'network', True, 'estimating')
RELATIVE = Scale(1.0, math.inf, 'none', False, 'estimating')


def walk(num_poses: int, step_m: float = 0.08, turn_deg: float = 3.0) -> list[Float64Array]:
    """Return world_from_cam along a curved way."""
    step = np.eye(4)
    step[:3, :3] = Rotation.from_euler('y', turn_deg, degrees=True).as_matrix()
    step[2, 3] = step_m
    poses = [np.eye(4)]
    for _ in range(num_poses - 1):
        poses.append(poses[-1] @ step)
    return poses


def check(
    seen: list[Float64Array], said: list[Float64Array], scale: Scale = LOCKED, seed: int = 0
) -> list[MotionDisagreement | None]:
    """Return what the check says of each keyframe; vision's positions are noisy."""
    rng, judge, found = np.random.default_rng(seed), MotionCheck(), []
    for k, (vision, odometry) in enumerate(zip(seen, said, strict=True)):
        in_map = vision.copy()
        in_map[:3, 3] = in_map[:3, 3] / FACTOR + rng.normal(0, 0.01, 3)
        prior = PosePrior(invert_rigid(odometry), 'odometry')
        found.append(judge.observe(k * 100_000_000, in_map, 0.01, 0.005, prior, scale))
    return found


@pytest.mark.parametrize('scale', [LOCKED, ESTIMATING, RELATIVE])
def test_noise_is_no_disagreement(scale: Scale) -> None:
    rng = np.random.default_rng(1)
    said = [np.eye(4)]
    for before, after in zip(walk(400), walk(400)[1:], strict=False):
        step = invert_rigid(before) @ after
        step[:3, 3] *= 1 + rng.normal(0, 0.02)
        said.append(said[-1] @ step)

    assert not any(check(walk(400), said, scale))


@pytest.mark.parametrize('scale', [LOCKED, ESTIMATING])
def test_wheels_that_spin_while_the_camera_stands_are_noticed_with_numbers(scale: Scale) -> None:
    found = check([np.eye(4)] * 30, walk(30, turn_deg=0.0), scale)

    assert found[-1] is not None
    assert found[-1].odometry_m > 0.7
    assert found[-1].vision_m < 0.1
    assert '0.8' in str(found[-1])


@pytest.mark.parametrize('scale', [LOCKED, ESTIMATING, RELATIVE])
def test_another_direction_is_noticed(scale: Scale) -> None:
    sideways = [m.copy() for m in walk(30, turn_deg=0.0)]
    for matrix in sideways:
        matrix[:3, 3] = matrix[[2, 0, 1], 3]

    assert check(walk(30, turn_deg=0.0), sideways, scale)[-1]


def test_another_rotation_is_noticed() -> None:
    found = check([np.eye(4)] * 30, walk(30, step_m=0.0, turn_deg=1.0))

    assert found[-1] is not None
    assert found[-1].rotation_sigmas > 4 > found[-1].translation_sigmas


def test_another_length_is_noticed_only_as_far_as_the_scale_is_known() -> None:
    longer = walk(30, step_m=0.1)

    assert check(walk(30), longer, LOCKED)[-1]
    assert not any(check(walk(30), longer, ESTIMATING))


def test_a_single_bad_keyframe_is_not_reported() -> None:
    said = walk(60)
    seen = walk(60)
    seen[30] = seen[30] @ np.array([[1.0, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

    found = check(seen, said)

    assert MIN_KEYFRAMES > 1
    assert not any(found[:40])


def test_a_restart_forgets() -> None:
    judge = MotionCheck()
    prior = PosePrior(np.eye(4), 'odometry')
    far = np.eye(4)
    far[0, 3] = 9.0
    judge.observe(0, np.eye(4), 0.01, 0.005, prior, LOCKED)
    judge.restart()

    assert not any(judge.observe(k, far, 0.01, 0.005, prior, LOCKED) for k in range(1, 9))
