"""Trackers are judged by what they say of the images that they were given, run by run."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
import numpy as np
import pytest

pytest.importorskip('scipy')
pytest.importorskip('evo')

from moe3d_engine.lab.metrics.tracking import tracking_figures
from moe3d_engine.lab.reports.facts import FACTS
from moe3d_engine.lab.runs.poses.simulated_odometry import OdometryErrors
from moe3d_engine.lab.runs.poses.tracking_run import TrackingJudge
from moe3d_engine.lab.runs.poses.tracking_run import TrackingOptions
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.tracking.stream import TrackedView
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Scale
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult

HW = (24, 32)
K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])
NUM_FRAMES = 40


def true_pose(number: int) -> np.ndarray:
    """Return world_from_cam of a camera that walks round a table."""
    angle = 2 * np.pi * number / NUM_FRAMES
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_vector([0, angle, 0])
    pose[:3, 3] = -np.cos(angle), 0.1 * np.sin(2 * angle), np.sin(angle)
    return pose


class Follower:
    """Believes its odometry and calls what lacks one lost; every fourth image is a keyframe."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.depths: list[ViewResult] = []
        self.references: list[ReferenceDepth] = []

    def track(self, view: View) -> TrackedView | Drop:
        if self.views and view.stamp_ns == self.views[-1].stamp_ns:
            return Drop(DropReason.STALE_STAMP, view.stamp_ns)
        self.views.append(view)
        known = view.pose is not None
        pose = TrackedPose(
            view.stamp_ns, view.camera, view.frame_id,
            TrackingStatus.TRACKING if known else TrackingStatus.LOST,
            view.pose.cam_from_world if known else np.eye(4),
            1e-4 * np.eye(6), np.zeros(6), np.eye(6),
            Scale(1.0, 0.01, 'odometry', metric=True, state='locked'),
            is_keyframe=len(self.views) % 4 == 1,
        )  # fmt: skip
        return TrackedView(view, pose)

    def add_depth(self, result: ViewResult) -> None:
        self.depths.append(result)

    def add_reference(self, reference: ReferenceDepth) -> None:
        self.references.append(reference)

    def sparse_points(self, stamp_ns: int) -> SparsePoints:
        """See 20 points of a wall at 3 m; the last one lies outside the image."""
        pixels = np.stack([np.arange(20.0), np.arange(20.0)], axis=1)
        pixels[-1] = 1000.0, -5.0
        return SparsePoints(pixels, np.full(20, 3.0), np.zeros((20, 3)))


def judged(options: TrackingOptions, without: int = -1) -> tuple[TrackingJudge, list[Follower]]:
    """Judge followers of a walk on which the true pose of one image is missing."""
    followers = [Follower() for _ in range(options.runs)]
    judge = TrackingJudge(followers, options)
    gray = np.full((*HW, 3), 128, np.uint8)
    ones = np.ones(HW, np.float32)
    for number in range(NUM_FRAMES):
        view = View(gray, K, 100_000_000 * (number + 1))
        judge.track(view, None if number == without else true_pose(number))
        judge.add_depth(ViewResult(view, gray, K, ones, ones, ones, np.eye(4)))
    return judge, followers


def test_odometry_reaches_the_tracker_in_a_frame_of_its_own() -> None:
    judge, (follower,) = judged(TrackingOptions(odometry=OdometryErrors(0.0, 0.0)))

    assert all(view.pose is not None for view in follower.views)
    assert follower.views[0].pose is not None
    np.testing.assert_array_equal(follower.views[0].pose.cam_from_world, np.eye(4))
    assert follower.views[0].pose.source == 'odometry'
    figures = tracking_figures(judge.tracks()[0])
    assert figures['ate_se3_percent'] == pytest.approx(0.0, abs=1e-6)
    assert figures['lost'] == 0.0


def test_without_odometry_the_tracker_is_told_no_pose() -> None:
    judge, (follower,) = judged(TrackingOptions())

    assert all(view.pose is None for view in follower.views)
    assert tracking_figures(judge.tracks()[0])['lost'] == 1.0


def test_image_without_true_pose_has_no_odometry_and_is_left_out_of_the_errors() -> None:
    judge, (follower,) = judged(TrackingOptions(odometry=OdometryErrors(0.0, 0.0)), without=7)

    assert [number for number, view in enumerate(follower.views) if view.pose is None] == [7]
    (track,) = judge.tracks()
    assert len(track.stamps_ns) == NUM_FRAMES
    assert np.count_nonzero(track.known) == NUM_FRAMES - 1
    assert tracking_figures(track)['ate_se3_percent'] == pytest.approx(0.0, abs=1e-6)


def test_runs_differ_in_odometry_and_grain_and_repeat() -> None:
    options = TrackingOptions(runs=3, odometry=OdometryErrors())

    (judge, followers), (again, _) = judged(options), judged(options)

    tracks = judge.tracks()
    errors = [tracking_figures(track)['ate_se3_percent'] for track in tracks]
    assert len({*errors}) == 3
    assert errors == [tracking_figures(track)['ate_se3_percent'] for track in again.tracks()]
    first, *others = (follower.views[0].image.astype(float) for follower in followers)
    assert np.ptp(first) == 0.0
    for grainy in others:
        assert np.std(grainy) == pytest.approx(1.0, rel=0.1)
    assert np.abs(others[0] - others[1]).max() > 0


def test_further_runs_get_the_depth_of_the_images_that_they_have_seen() -> None:
    _, (first, *others) = judged(TrackingOptions(runs=3))

    assert not first.depths  # the session has given it already
    for follower in others:
        assert [depth.view for depth in follower.depths] == follower.views


def test_image_that_the_tracker_drops_is_not_judged() -> None:
    judge, (follower,) = judged(TrackingOptions())

    assert isinstance(judge.track(follower.views[-1], None), Drop)

    assert len(judge.tracks()[0].stamps_ns) == NUM_FRAMES


def test_what_comes_after_a_jump_back_is_tracked_but_not_judged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge, (follower,) = judged(TrackingOptions())
    newest = follower.views[-1]

    for stamp_ns in (newest.stamp_ns - 2_000_000_000, newest.stamp_ns + 1):
        judge.track(replace(newest, stamp_ns=stamp_ns), true_pose(0))

    assert len(follower.views) == NUM_FRAMES + 2
    assert len(judge.tracks()[0].stamps_ns) == NUM_FRAMES
    assert caplog.text.count('Stamps go back') == 1


@pytest.mark.parametrize('asked', [True, False])
def test_true_depth_is_given_where_asked_for_and_judges_the_scale_always(asked: bool) -> None:
    judge, followers = judged(TrackingOptions(runs=2, reference_depth=asked))
    depth_m = np.full(HW, 2.5, np.float32)
    depth_m[:, :4] = np.nan
    newest = followers[0].views[-1]

    judge.track(replace(newest, stamp_ns=newest.stamp_ns + 1), None, depth_m)

    for track, follower in zip(judge.tracks(), followers, strict=True):
        assert np.isnan(track.depth_error[:-1]).all()
        assert track.depth_error[-1] == pytest.approx(np.log(3.0 / 2.5))
        points = [reference.points_cam for reference in follower.references]
        assert [len(p) for p in points] == ([HW[0] * (HW[1] - 4)] if asked else [])
        assert all((p[:, 2] == 2.5).all() for p in points)


def test_time_of_keyframes_is_told_apart() -> None:
    judge, _ = judged(TrackingOptions())

    figures = judge.cpu_figures()

    assert set(figures) == {'track_cpu_ms', 'track_cpu_p95_ms', 'keyframe_cpu_ms'}
    assert set(figures) <= set(FACTS)
    assert all(value >= 0 for value in figures.values())


def test_pose_of_the_first_camera_is_where_both_paths_begin() -> None:
    judge, _ = judged(TrackingOptions(odometry=OdometryErrors(0.0, 0.0)))

    (track,) = judge.tracks()

    expected = invert_rigid(true_pose(0)) @ true_pose(NUM_FRAMES - 1)
    np.testing.assert_allclose(track.odom_from_cam[-1], expected, atol=1e-9)


def test_no_run_is_refused() -> None:
    with pytest.raises(ConfigError, match='--runs is at least 1; got 0'):
        TrackingOptions(runs=0)
