"""What a tracker says of images that it cannot follow, and of depth that comes late."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.errors import InputError
from moe3d_engine.lab.synthetic.sequences import DepthStandIn
from moe3d_engine.lab.synthetic.sequences import render_sequence
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.tracking.tracker import Tracker
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import MotionErrors
from moe3d_engine.types import PosePrior
from moe3d_engine.types import View
import numpy as np
import pytest

INTRINSICS = np.array([[270.0, 0.0, 160.0], [0.0, 270.0, 120.0], [0.0, 0.0, 1.0]])
STEP_NS = 100_000_000


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(ScaleEstimator(ScaleConfig(), metric_weights=True))


def view(number: int, hw: tuple[int, int] = (240, 320), *, calibrated: bool = True) -> View:
    noise = np.random.default_rng(0).integers(0, 256, (*hw, 3), np.uint8)
    return View(noise, INTRINSICS if calibrated else None, number * STEP_NS)


def test_image_of_another_shape_is_lost_and_begins_a_new_map(tracker: Tracker) -> None:
    tracker.track(view(1))

    changed = tracker.track(view(2, (240, 240)))

    assert changed.status is TrackingStatus.LOST
    assert 'shape' in changed.text
    assert tracker.track(view(3, (240, 240))).text


@pytest.mark.parametrize(
    ('bad', 'why'), [(view(2, calibrated=False), 'calibrated'), (view(2, (20, 320)), 'too thin')]
)
def test_image_that_cannot_be_tracked_is_lost_with_its_reason(
    bad: View, why: str, tracker: Tracker
) -> None:
    tracker.track(view(1))

    pose = tracker.track(bad)

    assert pose.status is TrackingStatus.LOST
    assert why in pose.text


def test_image_that_is_not_newer_is_refused(tracker: Tracker) -> None:
    tracker.track(view(2))

    with pytest.raises(InputError, match='order of their stamps'):
        tracker.track(view(2))


def test_map_that_odometry_begins_has_its_metre_from_the_second_keyframe_on(
    tracker: Tracker,
) -> None:
    sequence = render_sequence('walk', 1, 12)
    poses = [
        tracker.track(replace(image, pose=PosePrior(truth, 'odometry', MotionErrors(0.01))))
        for image, truth in zip(sequence.views, sequence.cam_from_world, strict=True)
    ]

    began = next(k for k, pose in enumerate(poses) if pose.scale.source == 'odometry')
    assert [pose.is_keyframe for pose in poses[: began + 1]].count(True) == 2
    assert poses[began].scale.std < 0.15  # the network's metres: .26
    assert not poses[began].scale.locked


def test_depth_that_comes_a_second_late_still_gives_the_unit(tracker: Tracker) -> None:
    sequence = render_sequence('walk', 1, 16)
    stand_in = DepthStandIn(sequence, 1)
    statuses = []
    for number, image in enumerate(sequence.views):
        statuses.append(tracker.track(image).status)
        if number == 10:
            tracker.add_depth(stand_in.result(0))

    assert set(statuses[:11]) == {TrackingStatus.STARTING}
    assert set(statuses[11:]) == {TrackingStatus.TRACKING}
