"""Poses of tracking become those of REP 103 and REP 105, errors and rates included."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
from moe3d_ros.outputs.odom_frame import BODY_FROM_OPTICAL
from moe3d_ros.outputs.odom_frame import OdomFrame

STEP = 1e-6
METRES = Scale(1.0, 0.01, 'fixed', metric=True, state='locked')


def rigid(vector: tuple[float, ...], translation: tuple[float, ...]) -> Float64Array:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation_from_vector(np.array(vector)), translation
    return pose


def small_difference(after: Float64Array, before: Float64Array) -> Float64Array:
    """Return translation and small rotation about fixed axes that lead from one to the other."""
    turn = after[:3, :3] @ before[:3, :3].T
    angles = [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    return np.concatenate([after[:3, 3] - before[:3, 3], 0.5 * np.array(angles)])


def spread(seed: int) -> Float64Array:
    half = np.random.default_rng(seed).normal(size=(6, 6))
    return 1e-4 * (half @ half.T)


def tracked(
    tracking_from_cam: Float64Array,
    status: TrackingStatus = TrackingStatus.TRACKING,
    velocity: Float64Array | None = None,
    covariance: Float64Array | None = None,
) -> TrackedPose:
    return TrackedPose(
        1,
        'camera',
        'optical',
        status,
        invert_rigid(tracking_from_cam),
        spread(1) if covariance is None else covariance,
        np.zeros(6) if velocity is None else velocity,
        spread(2),
        METRES,
    )


TILTED = rigid((0.3, -0.2, 0.1), (0.4, 0.1, 0.6))
BASE_FROM_CAMERA = TILTED @ BODY_FROM_OPTICAL
SOMEWHERE = rigid((0.5, 1.1, -0.4), (1.0, -2.0, 3.0))


@pytest.mark.parametrize(
    ('optical', 'expected'),
    [((0, 0, 1), (1, 0, 0)), ((-1, 0, 0), (0, 1, 0)), ((0, -1, 0), (0, 0, 1))],
    ids=['forward is x', 'left is y', 'up is z'],
)
def test_axes_of_odom_are_those_of_rep_103(
    optical: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    camera, child = OdomFrame().motions(tracked(rigid((0, 0, 0), optical)))

    np.testing.assert_allclose(camera.odom_from_child[:3, 3], expected, atol=1e-12)
    assert child is camera


def test_base_begins_at_the_origin_of_odom() -> None:
    camera, base = OdomFrame(BASE_FROM_CAMERA).motions(tracked(np.eye(4)))

    np.testing.assert_allclose(base.odom_from_child, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(camera.odom_from_child, BASE_FROM_CAMERA, atol=1e-12)


def test_base_and_camera_stay_where_they_are_on_each_other() -> None:
    camera, base = OdomFrame(BASE_FROM_CAMERA).motions(tracked(SOMEWHERE))

    base_from_camera = invert_rigid(base.odom_from_child) @ camera.odom_from_child
    np.testing.assert_allclose(base_from_camera, BASE_FROM_CAMERA, atol=1e-12)


@pytest.mark.parametrize('base_from_camera', [None, BASE_FROM_CAMERA], ids=['camera', 'base'])
def test_covariance_is_what_small_errors_of_the_camera_do(
    base_from_camera: Float64Array | None,
) -> None:
    frame = OdomFrame(base_from_camera)
    _, child = frame.motions(tracked(SOMEWHERE))
    jacobian = np.empty((6, 6))
    for column, error in enumerate(STEP * np.eye(6)):
        moved = SOMEWHERE.copy()
        moved[:3, :3] = rotation_from_vector(error[3:]) @ moved[:3, :3]
        moved[:3, 3] += error[:3]
        _, other = frame.motions(tracked(moved))
        difference = small_difference(other.odom_from_child, child.odom_from_child)
        jacobian[:, column] = difference / STEP

    expected = jacobian @ spread(1) @ jacobian.T
    np.testing.assert_allclose(child.covariance, expected, rtol=1e-4, atol=2e-9)


@pytest.mark.parametrize('base_from_camera', [None, BASE_FROM_CAMERA], ids=['camera', 'base'])
def test_twist_is_how_the_child_moves_in_its_own_axes(
    base_from_camera: Float64Array | None,
) -> None:
    velocity = np.array([0.5, -0.3, 1.0, 0.2, 0.7, -0.4])
    frame = OdomFrame(base_from_camera)
    _, before = frame.motions(tracked(SOMEWHERE, velocity=velocity))
    moved = SOMEWHERE @ rigid(tuple(STEP * velocity[3:]), tuple(STEP * velocity[:3]))
    _, after = frame.motions(tracked(moved))

    step = invert_rigid(before.odom_from_child) @ after.odom_from_child
    rates = small_difference(step, np.eye(4)) / STEP
    np.testing.assert_allclose(before.velocity, rates, atol=1e-4)


def test_covariance_of_the_twist_is_what_errors_of_the_camera_do() -> None:
    frame = OdomFrame(BASE_FROM_CAMERA)
    columns = [frame.motions(tracked(SOMEWHERE, velocity=unit))[1].velocity for unit in np.eye(6)]
    jacobian = np.stack(columns, axis=1)
    _, base = frame.motions(tracked(SOMEWHERE))

    expected = jacobian @ spread(2) @ jacobian.T
    np.testing.assert_allclose(base.velocity_covariance, expected, rtol=1e-6, atol=2e-9)


def test_a_turning_camera_before_the_base_makes_the_base_move_aside() -> None:
    """Camera half a metre ahead, turning left about the vertical on its spot."""
    ahead = BODY_FROM_OPTICAL.copy()
    ahead[0, 3] = 0.5
    velocity = np.array([0, 0, 0, 0, -1.0, 0])
    _, base = OdomFrame(ahead).motions(tracked(np.eye(4), velocity=velocity))

    np.testing.assert_allclose(base.velocity, [0, -0.5, 0, 0, 0, 1], atol=1e-12)


@pytest.mark.parametrize('base_from_camera', [None, BASE_FROM_CAMERA], ids=['camera', 'base'])
def test_lost_pose_is_the_last_one_with_variances_nobody_trusts(
    base_from_camera: Float64Array | None,
) -> None:
    frame = OdomFrame(base_from_camera)
    lost = tracked(SOMEWHERE, TrackingStatus.LOST, velocity=np.ones(6))
    known = frame.motions(tracked(SOMEWHERE))

    for motion, before in zip(frame.motions(lost), known, strict=True):
        assert np.array_equal(motion.odom_from_child, before.odom_from_child)
        assert np.array_equal(motion.covariance, 9999.0 * np.eye(6))
        assert np.array_equal(motion.velocity_covariance, 9999.0 * np.eye(6))
        assert not motion.velocity.any()


def test_covariances_are_symmetric_and_positive_even_where_tracking_claims_certainty() -> None:
    certain = tracked(SOMEWHERE, covariance=np.zeros((6, 6)))

    for motion in OdomFrame(BASE_FROM_CAMERA).motions(certain):
        for covariance in (motion.covariance, motion.velocity_covariance):
            assert np.array_equal(covariance, covariance.T)
            assert np.linalg.eigvalsh(covariance).min() > 0
