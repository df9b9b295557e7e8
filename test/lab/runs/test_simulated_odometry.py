"""Simulated odometry has the errors that were asked for, and no others."""

from __future__ import annotations

import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.geometry.rigid import vector_from_rotation
from moe3d_engine.lab.runs.poses.simulated_odometry import OdometryErrors
from moe3d_engine.lab.runs.poses.simulated_odometry import read_odometry_errors
from moe3d_engine.lab.runs.poses.simulated_odometry import simulate_odometry
from moe3d_engine.lab.runs.poses.simulated_odometry import SimulatedOdometry
from moe3d_engine.types import MotionErrors
import numpy as np
import pytest

EXACT = OdometryErrors(0.0, 0.0)


def walk(count: int = 2000, step_m: float = 0.1) -> np.ndarray:
    """Return world_from_cam of a camera that turns while it walks, in a world of its own."""
    angles = 0.02 * np.arange(count)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = rotation_from_vector(np.outer(angles, [0, 1, 0]))
    poses[1:, :3, 3] = np.cumsum(step_m * poses[:-1, :3, 2], axis=0)
    poses[:, :3, 3] += [4.0, 5.0, 6.0]
    return poses


def steps(poses: np.ndarray) -> np.ndarray:
    return invert_rigid(poses[:-1]) @ poses[1:]


def test_odometry_without_errors_is_the_truth_in_the_first_cameras_frame() -> None:
    world_from_cam = walk()

    odometry = simulate_odometry(world_from_cam, EXACT, 0)

    np.testing.assert_allclose(
        odometry, invert_rigid(world_from_cam[0]) @ world_from_cam, atol=1e-9
    )


def test_noise_is_that_share_of_each_step_and_that_turn() -> None:
    world_from_cam = walk()

    odometry = steps(simulate_odometry(world_from_cam, OdometryErrors(0.05, 0.3), 0))

    true = steps(world_from_cam)
    shift_m = odometry[:, :3, 3] - true[:, :3, 3]
    turn = vector_from_rotation(np.swapaxes(true[:, :3, :3], 1, 2) @ odometry[:, :3, :3])
    np.testing.assert_allclose(shift_m.std(axis=0), 0.005, rtol=0.1)
    np.testing.assert_allclose(shift_m.mean(axis=0), 0.0, atol=5e-4)
    np.testing.assert_allclose(np.degrees(turn.std(axis=0)), 0.3, rtol=0.1)


def test_owner_knows_of_the_noise_but_neither_of_bias_nor_slip() -> None:
    spoilt = SimulatedOdometry(OdometryErrors(0.05, 0.3, bias=0.2, slip=0.1), 0)

    assert spoilt.known_errors == MotionErrors(0.05, math.radians(0.3))
    assert SimulatedOdometry(EXACT, 0).known_errors.way_share > 0


def test_bias_lengthens_every_step_alike() -> None:
    odometry = steps(simulate_odometry(walk(), OdometryErrors(0.0, 0.0, bias=0.03), 0))

    np.testing.assert_allclose(np.linalg.norm(odometry[:, :3, 3], axis=1), 0.103)


def test_slip_spoils_the_length_of_so_many_steps() -> None:
    odometry = steps(simulate_odometry(walk(), OdometryErrors(0.0, 0.0, slip=0.1), 0))

    lengths_m = np.linalg.norm(odometry[:, :3, 3], axis=1)
    slipped = ~np.isclose(lengths_m, 0.1)
    assert slipped.mean() == pytest.approx(0.1, abs=0.02)
    assert lengths_m.max() <= 0.2
    assert lengths_m[slipped].min() < 0.02


def test_seed_decides_the_odometry() -> None:
    first, again, other = (
        simulate_odometry(walk(50), OdometryErrors(), seed) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


def test_camera_that_rests_is_given_no_translation() -> None:
    rest = np.tile(np.eye(4), (20, 1, 1))

    odometry = simulate_odometry(rest, OdometryErrors(0.1, 1.0), 0)

    np.testing.assert_array_equal(odometry[:, :3, 3], 0.0)


def test_description_is_read_by_name_and_the_rest_keeps_its_default() -> None:
    assert read_odometry_errors('') == OdometryErrors()
    assert read_odometry_errors('noise=.02,slip=.1') == OdometryErrors(noise=0.02, slip=0.1)


@pytest.mark.parametrize(
    'text', ['noise', 'noise=', 'nose=1', 'noise=1;slip=0', 'slip=2', 'noise=nan', 'bias=-1']
)
def test_description_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r'noise.*rotation_deg.*bias.*slip'):
        read_odometry_errors(text)


def test_poses_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r'\(N, 4, 4\)'):
        simulate_odometry(np.eye(4), OdometryErrors(math.pi), 0)
