"""Tracking through rendered troubles: what goes wrong is said, and what is benign goes right."""

from __future__ import annotations

from functools import cache

from moe3d_engine.lab.synthetic.sequences import DepthStandIn
from moe3d_engine.lab.synthetic.sequences import render_sequence
from moe3d_engine.lab.synthetic.sequences import TROUBLES
from moe3d_engine.lab.synthetic.sequences.trial import attempt
from moe3d_engine.lab.synthetic.sequences.trial import Trial
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.tracking.stream import TrackedView
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np
import pytest

NUM_FRAMES = 40
SEED = 1
LOST, STARTING = TrackingStatus.LOST, TrackingStatus.STARTING
# Troubles under which the camera never leaves the map, and the ATE that is allowed.
BENIGN = {
    'walk': 0.02, 'low_contrast': 0.02, 'exposure_ramps': 0.02, 'exposure_jumps': 0.02,
    'blur_9': 0.02, 'slow_walk': 0.02, 'forward': 0.02, 'stand_then_walk': 0.02,
    'half_rate': 0.02,
}  # fmt: skip
AT_REST = ('standing', 'hovering', 'turn')
# Troubles in which a pixel more or less decides: the same images go another way on another CPU.
HARD = ('board_25', 'board_40', 'board_60', 'repeated_texture', 'few_features', 'blur_21')
UNDETECTED = 0.08  # of all their frames; 14 of 1,800 were seen over five seeds


class Stream:
    """A camera's stream, whose images are all in order or begin anew."""

    def __init__(self) -> None:
        scale = ScaleEstimator(ScaleConfig(), metric_weights=True)
        self._tracker = StreamTracker(scale, 'tracking', threaded=False)

    def track(self, view: View) -> TrackedPose:
        tracked = self._tracker.track(view)
        assert isinstance(tracked, TrackedView), tracked
        return tracked.pose

    def add_depth(self, result: ViewResult) -> None:
        self._tracker.add_depth(result)


@cache
def trial_of(trouble: str) -> Trial:
    sequence = render_sequence(trouble, SEED, NUM_FRAMES)
    return attempt(Stream(), sequence, DepthStandIn(sequence, SEED))


@pytest.mark.parametrize('trouble', [name for name in TROUBLES if name not in HARD])
def test_no_failure_goes_undetected(trouble: str) -> None:
    assert not failures(trouble)


def test_hardly_any_failure_goes_undetected_where_a_pixel_decides() -> None:
    found = {trouble: failures(trouble) for trouble in HARD}

    assert sum(len(frames) for frames in found.values()) <= UNDETECTED * NUM_FRAMES * len(HARD)


def failures(trouble: str) -> dict[int, str]:
    trial = trial_of(trouble)
    return {
        int(index): f'{np.linalg.norm(trial.error_m[index]):.2f} m wrong after '
        f'{trial.travelled_m[index]:.2f} m'
        for index in trial.undetected
    }


@pytest.mark.parametrize('trouble', TROUBLES)
def test_every_pose_can_be_published(trouble: str) -> None:
    for pose in trial_of(trouble).poses:
        rotation = pose.cam_from_odom[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        for covariance in (pose.covariance, pose.velocity_covariance):
            assert np.linalg.eigvalsh(covariance)[0] > 0
        assert np.isfinite(pose.cam_from_odom).all()
        assert np.isfinite(pose.velocity).all()


@pytest.mark.parametrize('trouble', TROUBLES)
def test_lost_pose_says_why(trouble: str) -> None:
    assert all(pose.text for pose in trial_of(trouble).poses if pose.status is LOST)


@pytest.mark.parametrize('trouble', BENIGN)
def test_benign_motion_is_never_lost(trouble: str) -> None:
    trial = trial_of(trouble)
    assert trial.share(LOST) == 0
    assert trial.share(STARTING) < 0.55


@pytest.mark.parametrize(('trouble', 'ate'), BENIGN.items())
def test_benign_motion_is_known_to_some_hundredths_of_the_way(trouble: str, ate: float) -> None:
    assert trial_of(trouble).ate < ate


@pytest.mark.parametrize('trouble', BENIGN)
def test_covariance_is_no_excuse(trouble: str) -> None:
    trial = trial_of(trouble)
    for pose, way_m, tracked in zip(trial.poses, trial.travelled_m, trial.tracked, strict=True):
        if tracked:
            position_std = np.sqrt(np.linalg.eigvalsh(pose.covariance[:3, :3])[-1])
            assert position_std < 0.5 * way_m + 0.2


@pytest.mark.parametrize('trouble', AT_REST)
def test_camera_at_rest_stays_where_it_is(trouble: str) -> None:
    trial = trial_of(trouble)
    assert trial.share(LOST) == 0
    assert np.linalg.norm(trial.error_m, axis=1).max() < 0.05


def test_turn_on_the_spot_is_known_to_a_degree() -> None:
    trial = trial_of('turn')
    for pose, true in zip(trial.poses, trial.sequence.cam_from_world, strict=True):
        difference = pose.cam_from_odom[:3, :3] @ true[:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(difference) - 1) / 2, -1, 1))) < 1


def test_covered_lens_is_lost_from_the_first_dark_image_on() -> None:
    poses = trial_of('covered').poses
    first = NUM_FRAMES // 2
    assert all(pose.status is LOST for pose in poses[first : first + 10])
    assert all(pose.status is not LOST for pose in poses[:first])
    assert poses[-1].status is not LOST


def test_gap_of_a_second_is_lost_in_the_first_image_after_it() -> None:
    trial = trial_of('gaps')
    stamps = [view.stamp_ns for view in trial.sequence.views]
    after = np.flatnonzero(np.diff(stamps) > 1e9) + 1
    assert len(after) == 2
    assert all(trial.poses[index].status is not TrackingStatus.TRACKING for index in after)


def test_camera_that_changes_its_resolution_is_followed_on() -> None:
    trial = trial_of('resized')
    assert trial.share(LOST) == 0
    assert trial.ate < 0.02


def test_stamps_that_go_back_begin_a_new_way_at_its_own_origin() -> None:
    poses = trial_of('looped').poses
    half = NUM_FRAMES // 2
    assert poses[half].status is STARTING
    np.testing.assert_allclose(poses[half].cam_from_odom, np.eye(4), atol=1e-9)
