"""What is published is continuous, whatever the map beneath it does, and says how sure it is."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import motion_between
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.tracking.odometry_frame import Odometry
from moe3d_engine.tracking.odometry_frame import OdometryFrame
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
import numpy as np

STEP = np.array([0.08, 0.0, 0.02, 0.0, 0.03, 0.0])  # of the camera in its own frame
SURE = np.eye(6) * 1e6


def scale(factor: float = 1.0, std: float = 0.0) -> Scale:
    """Return a scale in metres."""
    return Scale(factor, std, 'odometry', metric=True, state='estimating')


class Walk:
    """A camera that moves by STEP through a map whose only keyframe is where it began."""

    def __init__(self) -> None:
        self.keyframe = Keyframe(0, np.eye(4), np.empty(0, np.int64), np.empty((0, 2)), np.eye(3))
        self.frame = OdometryFrame()
        self.frame.begin_map(self.keyframe, 1.0)
        self.map_from_cam = np.eye(4)

    def step(
        self,
        scale: Scale,
        correction: Float64Array | None = None,
        way_std: float | None = None,
    ) -> Odometry:
        """Move on; a correction is what the map then says beyond the motion."""
        before = self.map_from_cam
        after = before @ moved(np.eye(4), STEP)
        if correction is not None:
            before, after = moved(before, correction), moved(after, correction)
        self.map_from_cam = after
        return self.frame.advance(
            invert_rigid(before) @ after, invert_rigid(after), self.keyframe, scale, SURE, 0.1,
            way_std=way_std,
        )  # fmt: skip


def test_first_poses_are_those_of_the_map() -> None:
    walk = Walk()

    poses = [walk.step(scale()).odom_from_cam for _ in range(5)]

    np.testing.assert_allclose(poses[-1], walk.map_from_cam, atol=1e-12)


def test_correction_of_the_map_arrives_in_small_steps() -> None:
    walk = Walk()
    walk.step(scale())
    before = walk.frame.odom_from_cam

    corrected = walk.step(scale(), np.array([0.0, 0.2, 0.0, 0.0, 0.0, 0.0])).odom_from_cam

    expected = before @ moved(np.eye(4), STEP)
    jump = np.linalg.norm(motion_between(expected, corrected)[:3])
    assert 0.0 < jump <= 0.31 * np.linalg.norm(STEP[:3])
    for _ in range(30):
        walk.step(scale())
    np.testing.assert_allclose(walk.frame.odom_from_cam, walk.map_from_cam, atol=1e-9)


def test_scale_acts_on_what_follows_and_not_on_what_was_published() -> None:
    walk = Walk()
    for _ in range(5):
        walk.step(scale(1.0))
    before = walk.frame.odom_from_cam
    walk.keyframe = Keyframe(
        1, invert_rigid(walk.map_from_cam), np.empty(0, np.int64), np.empty((0, 2)), np.eye(3)
    )

    after = walk.step(scale(2.0)).odom_from_cam

    way = (invert_rigid(before) @ after)[:3, 3]
    np.testing.assert_allclose(way, 2.0 * moved(np.eye(4), STEP)[:3, 3], atol=0.011)


def test_covariance_is_positive_and_grows_with_the_way() -> None:
    walk = Walk()

    covariances = [walk.step(scale(std=0.1)).covariance for _ in range(20)]

    for covariance in covariances:
        assert np.linalg.eigvalsh(covariance).min() > 0
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-15)
    traces = [np.trace(c[:3, :3]) for c in covariances]
    assert traces == sorted(traces)


def test_doubt_about_the_scale_lies_along_the_way() -> None:
    straight = Walk()
    sure, unsure = straight.step(scale()).covariance, Walk().step(scale(std=0.26)).covariance

    way = straight.map_from_cam[:3, 3]
    added = unsure - sure

    np.testing.assert_allclose(added[:3, :3], 0.26**2 * np.outer(way, way), atol=1e-12)


def test_odometry_makes_ways_surer_and_turns_no_less_sure() -> None:
    alone, held, hardly_held = Walk(), Walk(), Walk()

    by_vision = alone.step(scale()).covariance
    by_both = held.step(scale(), way_std=0.002).covariance
    by_bad_odometry = hardly_held.step(scale(), way_std=10.0).covariance

    assert (np.diag(by_both)[:3] < 0.1 * np.diag(by_vision)[:3]).all()
    assert (np.diag(by_both)[:3] <= 0.002**2 + 1e-7).all()
    np.testing.assert_allclose(by_both[3:, 3:], by_vision[3:, 3:], rtol=1e-6)
    np.testing.assert_allclose(by_bad_odometry, by_vision, rtol=1e-3, atol=1e-12)


def test_lost_camera_stays_and_its_covariance_explodes() -> None:
    walk = Walk()
    before = walk.step(scale())

    lost = walk.frame.hold(0.5)

    np.testing.assert_allclose(lost.odom_from_cam, before.odom_from_cam, atol=1e-12)
    assert np.sqrt(lost.covariance[0, 0]) > 0.4


def test_covariance_of_before_comes_back_only_when_the_place_is_confirmed() -> None:
    walk = Walk()
    before = walk.step(scale())
    walk.frame.hold(0.5)

    walk.frame.found_again(before.covariance)

    assert np.sqrt(walk.step(scale()).covariance[0, 0]) > 0.4
    walk.frame.confirm()
    assert np.sqrt(walk.step(scale()).covariance[0, 0]) < 0.05


def test_velocity_is_that_of_the_camera_in_its_own_frame() -> None:
    odometry = Walk().step(scale())

    np.testing.assert_allclose(odometry.velocity, 10.0 * STEP, rtol=1e-6, atol=1e-9)
    assert np.linalg.eigvalsh(odometry.velocity_covariance).min() > 0
