"""Poses of odometry at the stamps of images."""

from __future__ import annotations

from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.tracking.pose_buffer import interpolate
from moe3d_engine.tracking.pose_buffer import KEPT_NS
from moe3d_engine.tracking.pose_buffer import MAX_POSES
from moe3d_engine.tracking.pose_buffer import PoseBuffer
from moe3d_engine.types import Float64Array
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.spatial.transform import Slerp

MS = 1_000_000


def pose_at(x: float, rotvec: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Float64Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[0, 3] = Rotation.from_rotvec(rotvec).as_matrix(), x
    return matrix


def test_poses_are_interpolated_between_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    for angle in (1e-9, 1e-3, 0.5, 3.1):
        axis = rng.normal(size=3)
        rotvecs = np.array([[0.2, -0.1, 0.4], axis / np.linalg.norm(axis) * angle])
        first = Rotation.from_rotvec(rotvecs[0])
        last = first * Rotation.from_rotvec(rotvecs[1])
        poses = [pose_at(1.0), pose_at(3.0)]
        poses[0][:3, :3], poses[1][:3, :3] = first.as_matrix(), last.as_matrix()

        between = interpolate(*poses, 0.3)

        expected = Slerp([0, 1], Rotation.concatenate([first, last]))(0.3).as_matrix()
        np.testing.assert_allclose(between[:3, :3], expected, atol=1e-9)
        np.testing.assert_allclose(between[:3, 3], [1.6, 0.0, 0.0])


def test_nothing_is_said_outside_of_what_is_known() -> None:
    buffer = PoseBuffer()
    assert buffer.at(0) is None
    for k in (100, 200):
        buffer.add(k * MS, pose_at(k))

    known = [buffer.at(k * MS) is not None for k in (99, 100, 150, 200, 201)]

    assert known == [False, True, True, True, False]


def test_nothing_is_said_within_a_long_gap() -> None:
    buffer = PoseBuffer()
    for k in (0, 100, 700, 800):
        buffer.add(k * MS, pose_at(k))

    assert [buffer.at(k * MS) is None for k in (50, 100, 400, 700, 750)] == [0, 0, 1, 0, 0]


def test_the_cameras_pose_goes_through_the_extrinsics() -> None:
    base_from_cam = pose_at(0.2, (-np.pi / 2, 0.0, 0.0))
    buffer = PoseBuffer()
    buffer.add(0, pose_at(0.0))
    buffer.add(100 * MS, pose_at(1.0, (0.0, 0.0, 0.4)))

    prior = buffer.prior_at(50 * MS, base_from_cam)

    assert prior is not None
    assert prior.source == 'odometry'
    expected = np.linalg.inv(pose_at(0.5, (0.0, 0.0, 0.2)) @ base_from_cam)
    np.testing.assert_allclose(prior.cam_from_world, expected, atol=1e-12)
    assert buffer.prior_at(200 * MS, base_from_cam) is None


def test_stamps_that_go_back_by_more_than_a_second_begin_anew() -> None:
    buffer = PoseBuffer()
    for k in (5000, 5100, 0, 100):
        buffer.add(k * MS, pose_at(k))

    assert buffer.at(5050 * MS) is None
    pose = buffer.at(50 * MS)
    assert pose is not None
    assert pose[0, 3] == pytest.approx(50)


@pytest.mark.parametrize('stamp_ms', [100, 0])
def test_a_pose_that_is_not_newer_is_refused(stamp_ms: int) -> None:
    buffer = PoseBuffer()
    buffer.add(100 * MS, pose_at(0.0))

    with pytest.raises(InputError, match='before the last one'):
        buffer.add(stamp_ms * MS, pose_at(1.0))


@pytest.mark.parametrize(
    'matrix',
    [pose_at(np.nan), np.diag([1.0, 1.0, -1.0, 1.0]), np.diag([2.0, 1.0, 1.0, 1.0]), np.eye(3),
     np.diag([1.0, 1.0, 1.0, 2.0])],
)  # fmt: skip
def test_what_is_no_pose_is_refused(matrix: Float64Array) -> None:
    with pytest.raises(ShapeError):
        PoseBuffer().add(0, matrix)


def test_memory_is_bounded_by_time_and_number() -> None:
    slow, fast = PoseBuffer(), PoseBuffer()
    for k in range(300):
        slow.add(k * 100 * MS, pose_at(k))
    for k in range(MAX_POSES + 50):
        fast.add(k, np.eye(4))

    assert len(slow._stamps) == len(slow._poses) == KEPT_NS // (100 * MS) + 1
    assert len(fast._stamps) == len(fast._poses) == MAX_POSES


def test_a_buffer_that_is_cleared_knows_nothing() -> None:
    buffer = PoseBuffer()
    buffer.add(0, np.eye(4))
    buffer.clear()

    assert buffer.at(0) is None


def test_a_pose_is_due_only_while_odometry_may_still_bring_it() -> None:
    buffer = PoseBuffer()
    assert not buffer.is_due(0)

    buffer.add(1000 * MS, np.eye(4))

    assert [buffer.is_due(k * MS) for k in (900, 1000, 1001, 1500, 1501)] == [0, 0, 1, 1, 0]
