"""What cameras of a rig see together gives metres, and tells a camera that was knocked."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.lab.synthetic.sequences import DepthStandIn
from moe3d_engine.lab.synthetic.sequences import render_sequence
from moe3d_engine.lab.synthetic.sequences.room import make_room
from moe3d_engine.lab.synthetic.sequences.troubles import TROUBLES
from moe3d_engine.mapping import pairs
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.observer import INTERVAL_NS
from moe3d_engine.rig.observer import RigObserver
from moe3d_engine.rig.observer import triangulated_depth
from moe3d_engine.rig.observer import URGENT_NS
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.tracking.stream import TrackedView
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
import numpy as np
import pytest

LEFT_FROM_FRONT = moved(np.eye(4), np.array([0.25, 0.01, 0.0, 0.02, 0.1, 0.0]))
RIG = Rig({'front': np.eye(4), 'left': invert_rigid(LEFT_FROM_FRONT)})
NUM_FRAMES = 40


def render_rig(seed: int = 1) -> tuple[list[View], list[View], DepthStandIn]:
    """Return a walk as both cameras of the rig see it, and the network's depth of the first."""
    sequence = render_sequence('walk', seed, NUM_FRAMES)
    kind = TROUBLES['walk']
    world = make_room(np.random.default_rng([seed, 0]), kind.look, None)
    path = kind.path(np.random.default_rng([seed, 1]))
    rng = np.random.default_rng(seed)
    front, left = [], []
    for index, view in enumerate(sequence.views):
        assert view.intrinsics is not None
        pose = LEFT_FROM_FRONT @ invert_rigid(path(index / kind.rate_hz))
        grey = world.picture(pose, view.intrinsics, view.image.shape[:2], {}).grey
        noisy = np.clip(grey + rng.normal(0, 1.5, grey.shape), 0, 255).astype(np.uint8)
        front.append(View(view.image, view.intrinsics, view.stamp_ns, 'f', 'front'))
        image = np.repeat(noisy[..., None], 3, axis=2)
        left.append(View(image, view.intrinsics, view.stamp_ns, 'l', 'left'))
    return front, left, DepthStandIn(sequence, seed)


@pytest.fixture(scope='module')
def walk() -> tuple[list[View], list[View], DepthStandIn]:
    """Return a walk as both cameras see it."""
    return render_rig()


def test_rig_locks_metres_that_the_network_does_not_know(
    walk: tuple[list[View], list[View], DepthStandIn],
) -> None:
    front, left, stand_in = walk
    tracking = StreamTracker(
        ScaleEstimator(ScaleConfig('rig'), metric_weights=True), 'tracking', threaded=False
    )
    observer = RigObserver(RIG)
    for index, view in enumerate(front):
        assert isinstance(tracking.track(view), TrackedView)
        if index % 5 == 0:
            tracking.add_depth(stand_in.result(index)._replace(view=view))
        if index % 3 == 0:
            for reference in observer.observe([view, left[index]]).references:
                tracking.add_reference(reference)
    points = tracking.sparse_points(front[-1].stamp_ns)
    assert points is not None
    place = np.rint(points.pixels).astype(int)
    truth = stand_in._sequence.depth[-1][place[:, 1], place[:, 0]]

    assert tracking.scale.source == 'rig'
    assert tracking.scale.locked
    assert tracking.scale.std < 0.02
    assert abs(np.median(np.log(points.depth / truth))) < 0.03


def test_stated_accuracy_of_the_extrinsics_decides_whether_metres_are_locked(
    walk: tuple[list[View], list[View], DepthStandIn],
) -> None:
    front, left, _ = walk
    rough = Rig(RIG.rig_from_camera, position_std_m=0.02)

    found = RigObserver(rough).observe([front[0], left[0]]).references

    assert found[0].source == 'rig'
    assert found[0].common_log_std == pytest.approx(2**0.5 * 0.02 / 0.25, rel=0.01)


def test_knocked_camera_gives_no_metres_and_is_told(
    walk: tuple[list[View], list[View], DepthStandIn],
) -> None:
    front, left, _ = walk
    wrong = moved(LEFT_FROM_FRONT, np.array([0, 0, 0, 0, np.radians(2.0), 0]))
    observer = RigObserver(Rig({'front': np.eye(4), 'left': invert_rigid(wrong)}))
    said = []
    for moment in range(10):  # one of 4 s each
        views = [later(v[4 * moment], 4 * moment) for v in (front, left)]
        said.append(observer.observe(views))

    assert said[-1].misplaced[0].turn_deg == pytest.approx(2.0, abs=0.3)
    assert not any(observation.references for observation in said[5:])


def test_good_extrinsics_are_never_complained_about(
    walk: tuple[list[View], list[View], DepthStandIn],
) -> None:
    front, left, _ = walk
    observer = RigObserver(RIG)

    said = [observer.observe([later(v[4 * k], 4 * k) for v in (front, left)]) for k in range(10)]

    assert not any(observation.misplaced for observation in said)
    assert all(observation.references for observation in said)


def later(view: View, time_s: int) -> View:
    """Return a view with another stamp."""
    return View(view.image, view.intrinsics, time_s * 1_000_000_000, view.frame_id, view.camera)


def test_cameras_that_see_different_things_say_nothing() -> None:
    rng = np.random.default_rng(0)
    matrix = np.array([[270.0, 0, 160], [0, 270.0, 120], [0, 0, 1]])

    def noise(camera: str) -> View:
        blobs = rng.integers(0, 256, (40, 54, 3), np.uint8)
        image = np.asarray(cv2.resize(blobs, (320, 240), interpolation=cv2.INTER_CUBIC), np.uint8)
        return View(image, matrix, 1, camera=camera)

    found = RigObserver(RIG).observe([noise('front'), noise('left')])

    assert found == ((), ())


def test_comparisons_are_rare_once_the_scale_is_locked() -> None:
    observer = RigObserver(RIG)
    black = View(np.zeros((60, 80, 3), np.uint8), np.eye(3), 10**10)

    assert observer.is_due(5, urgent=False)
    observer.observe([black])

    assert not observer.is_due(10**10 + INTERVAL_NS - 1, urgent=False)
    assert observer.is_due(10**10 + INTERVAL_NS, urgent=False)
    assert observer.is_due(10**10 + URGENT_NS, urgent=True)
    assert observer.is_due(10**10 - 1, urgent=False)


def test_triangulated_depth_is_that_of_the_points() -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform((-1, -1, 1), (1, 1, 4), (50, 3))
    first = points[:, :2] / points[:, 2:]
    seen = points @ LEFT_FROM_FRONT[:3, :3].T + LEFT_FROM_FRONT[:3, 3]
    second = seen[:, :2] / seen[:, 2:]

    np.testing.assert_allclose(
        triangulated_depth(first, second, LEFT_FROM_FRONT, 400.0), points[:, 2]
    )


def test_far_and_wrong_points_have_no_depth() -> None:
    points: Float64Array = np.array([[0.0, 0.0, 500.0], [0.1, 0.1, 2.0]])
    first = points[:, :2] / points[:, 2:]
    seen = points @ LEFT_FROM_FRONT[:3, :3].T + LEFT_FROM_FRONT[:3, 3]
    second = seen[:, :2] / seen[:, 2:]
    second[1, 1] += 0.1

    assert np.isnan(triangulated_depth(first, second, LEFT_FROM_FRONT, 400.0)).all()


def test_features_of_older_opencv_lie_where_those_of_newer_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenCV before 4.8 has no precise upscaling; what it lacks is put right."""
    if not pairs.HAS_PRECISE_UPSCALE:
        pytest.skip('this OpenCV is an older one')
    gray = cv2.cvtColor(render_set(5001, num_views=1, image_hw=(180, 240)).rgb[0], 7)
    newer = pairs.find_features(gray).pixels

    def apart(older: Float64Array) -> Sequence[float]:
        steps = older[:, None] - newer[None]
        nearest = np.abs(steps).sum(axis=2).argmin(axis=1)
        near: Float64Array = steps[np.arange(len(older)), nearest]
        return np.median(near[np.abs(near).max(axis=1) < 0.5], axis=0).tolist()

    monkeypatch.setattr(pairs, 'HAS_PRECISE_UPSCALE', False)

    assert np.abs(apart(pairs.find_features(gray).pixels)).max() < 0.02
    monkeypatch.setattr(pairs, 'IMPRECISE_PX', 0.0)
    assert np.min(apart(pairs.find_features(gray).pixels)) > 0.08
