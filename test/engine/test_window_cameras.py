"""What the network is told of the cameras of a window: poses, trust, and tracked points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from moe3d_engine.network import Engine
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import View
from moe3d_engine.window import WindowConfig
from moe3d_engine.window_cameras import GIVEN
from moe3d_engine.window_cameras import has_moved
from moe3d_engine.window_cameras import KnownCameras
from moe3d_engine.window_cameras import window_cameras
import numpy as np
import pytest
from sweeping_backend import SweepingBackend

LENS = np.array([[40.0, 0, 20.5], [0, 40.0, 13.5], [0, 0, 1]])
INPUT_HW = (28, 42)


def pose_at(x: float, turn_rad: float = 0.0) -> Float64Array:
    pose = np.eye(4)
    pose[0, 0] = pose[2, 2] = np.cos(turn_rad)
    pose[0, 2], pose[2, 0] = np.sin(turn_rad), -np.sin(turn_rad)
    pose[0, 3] = -x
    return pose


def view_at(x: float, source: str = 'odometry', stamp_ns: int = 0) -> View:
    image = np.full((*INPUT_HW, 3), 51, np.uint8)
    return View(image, LENS, stamp_ns, pose=PosePrior(pose_at(x), source))


def test_the_farther_a_camera_the_less_its_pose_is_trusted() -> None:
    cameras = window_cameras([LENS] * 3, [pose_at(x) for x in (0.0, 0.2, 0.8)], [0], GIVEN)
    assert cameras is not None
    assert 1 > cameras.trust[0] > cameras.trust[1] > cameras.trust[2] > 0.5


def test_a_view_without_pose_or_lens_is_not_trusted() -> None:
    cameras = window_cameras(
        [LENS, LENS, None, LENS], [pose_at(0), None, pose_at(1), pose_at(2)], [0], GIVEN
    )
    assert cameras is not None
    np.testing.assert_array_equal(cameras.trust > 0, [True, False, False, True])


def test_there_is_nothing_to_compare_one_view_with() -> None:
    assert window_cameras([LENS], [pose_at(0)], [0], GIVEN) is None
    assert window_cameras([LENS, LENS], [pose_at(0), None], [0], GIVEN) is None
    assert window_cameras([LENS, LENS, LENS], [None, pose_at(0), pose_at(1)], [0], GIVEN) is None


@pytest.mark.parametrize(
    ('x', 'turn_deg', 'moved'), [(0.1, 0, False), (0.2, 0, True), (0, 5, False), (0, 10, True)]
)
def test_a_camera_has_moved_by_its_parallax_or_its_turn(
    x: float, turn_deg: float, moved: bool
) -> None:
    assert has_moved(pose_at(x, np.radians(turn_deg)), pose_at(0), depth=2.0) is moved


def test_poses_of_another_source_are_of_another_world() -> None:
    known = KnownCameras(INPUT_HW, None)
    cameras = known.of_window([view_at(0), view_at(0.3, 'rig'), view_at(0.5)], [2])
    assert cameras is not None
    np.testing.assert_array_equal(cameras.trust > 0, [True, False, True])
    assert known.has_moved(view_at(0), view_at(0.3, 'rig')) is None
    assert known.has_moved(view_at(0), view_at(0.3)) is True


@pytest.mark.parametrize('sweeps', [True, False])
def test_only_a_network_that_compares_views_is_told_of_cameras(
    fake_backend: type, sweeps: bool
) -> None:

    backend = SweepingBackend(fake_backend())
    backend.spec = replace(backend.spec, sweeps=sweeps)
    config = SessionConfig(window=WindowConfig(max_views=2), poses='network')
    session = Session(Engine(backend), config)
    for number in range(2):
        session.push([view_at(0.4 * number, stamp_ns=number * 1_000_000_000)])
    first, second = backend.told
    assert first is None
    assert (second is not None) == sweeps
    if second is not None:
        assert (second.trust > 0).all()
        np.testing.assert_allclose(second.cam_from_world[1], pose_at(0.4))


def test_a_stream_that_is_not_tracked_yet_is_not_compared(fake_backend: type) -> None:

    backend = SweepingBackend(fake_backend())
    session = Session(Engine(backend), SessionConfig(poses='tracking'))
    view = View(view_at(0).image, LENS, 1)
    session.tracking.track(view)
    session.push([view])
    assert backend.told[0] is not None
    assert not backend.told[0].trust.any()
    session.close()


def test_the_network_finds_the_cameras_of_images_that_are_no_stream(fake_backend: type) -> None:
    backend = SweepingBackend(fake_backend())
    session = Session(Engine(backend), SessionConfig(poses='tracking'))
    session.reconstruct([View(view_at(0).image, LENS), View(view_at(0).image, LENS)])
    assert backend.told == [None]
    session.close()


def test_the_network_is_told_of_the_points_that_a_view_comes_with() -> None:
    points = SparsePoints(np.array([[23.0, 15.0]]), np.array([3.0]), np.zeros((1, 3)))
    views = [view_at(0), replace(view_at(0.5), points=points)]
    cameras = KnownCameras(INPUT_HW, None).of_window(views, [1, 0])
    assert cameras is not None
    assert cameras.hint is not None
    assert cameras.hint[0, 0, 3, 5] == pytest.approx(np.log(3.0))
    assert not cameras.hint[1].any()


class MapOfFront:
    """Knows the camera `front` in a map that has been refined since: the world is moved."""

    def __init__(self, moved: Float64Array) -> None:
        self._moved = moved

    def follows(self, view: View) -> bool:
        return view.camera == 'front'

    def cam_from_map(self, stamps: Sequence[int]) -> list[Float64Array | None]:
        return [pose_at(0.1 * stamp) @ self._moved for stamp in stamps]

    def sparse_points(self, stamp: int) -> SparsePoints | None:
        """Return a point that each image of an even stamp sees, 3 units ahead."""
        if stamp % 2:
            return None
        return SparsePoints(np.array([[23.0, 15.0]]), np.array([3.0]), np.zeros((1, 3)))


def test_cameras_of_a_rig_stand_in_the_map_beside_the_tracked_one() -> None:
    moved = pose_at(0.7, 0.3)
    views = []
    for stamp in (1, 2):
        for camera, beside in (('front', 0.0), ('left', 0.4), ('right', -0.4)):
            pose = PosePrior(pose_at(beside) @ pose_at(0.1 * stamp), 'tracking')
            image = np.zeros((*INPUT_HW, 3), np.uint8)
            views.append(View(image, LENS, stamp, camera=camera, pose=pose))
    tracking: Any = MapOfFront(moved)

    known = KnownCameras(INPUT_HW, tracking).of_window(views, [3, 4, 5])

    assert known is not None
    for view, pose in zip(views, known.cam_from_world, strict=True):
        assert view.pose is not None
        np.testing.assert_allclose(pose, view.pose.cam_from_world @ moved, atol=1e-12)
    assert (known.trust > 0.5).all()


def test_cameras_of_a_rig_that_stands_are_compared_where_the_rig_says() -> None:
    tracking: Any = MapOfFront(np.eye(4))  # its map has other metres, and a point of them
    image = np.zeros((*INPUT_HW, 3), np.uint8)
    views = [
        View(image, LENS, 2, camera=camera, pose=PosePrior(pose_at(x), 'rig'))
        for camera, x in (('front', 0.0), ('left', 0.4))
    ]

    known = KnownCameras(INPUT_HW, tracking).of_window(views, [0, 1])

    assert known is not None
    np.testing.assert_allclose(known.cam_from_world, [pose_at(0.0), pose_at(0.4)])
    assert (known.trust > 0.5).all()
    assert known.hint is None


def test_the_network_is_told_of_the_points_that_the_tracked_camera_sees() -> None:
    tracking: Any = MapOfFront(np.eye(4))
    known = KnownCameras(INPUT_HW, tracking)
    image = np.zeros((*INPUT_HW, 3), np.uint8)
    views = [View(image, LENS, 1, camera='front'), View(image, LENS, 2, camera='front')]

    cameras = known.of_window(views, [1])

    assert cameras is not None
    assert cameras.hint is not None
    log_depth, certainty = cameras.hint[0]
    assert certainty[3, 5] == 1.0
    assert log_depth[3, 5] == pytest.approx(np.log(3.0))
    assert certainty.sum() == pytest.approx(3.0)  # its own cell and four half as sure
    assert known.of_window(views, [0]).hint is None  # this image has seen none
    beside = [View(image, LENS, 2, camera='left'), View(image, LENS, 2, camera='front')]
    assert known.of_window([*views, *beside], [2]).hint is None
