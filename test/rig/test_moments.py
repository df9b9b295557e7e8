"""Images of several cameras become moments, and each of them is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from moe3d_engine.errors import ConfigError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.rig.moments import MAX_WAITING
from moe3d_engine.rig.moments import MomentConfig
from moe3d_engine.rig.moments import Moments
from moe3d_engine.rig.moments import Sorted
import numpy as np
import pytest

MS = 1_000_000
PERIOD_NS = 33 * MS
CAMERAS = ('front', 'left', 'right')
FIRST_NS = 1_731_846_203_417_293_651


class Feed:
    """Moments, and what has come out of them; items are numbers of images."""

    def __init__(self, cameras: Iterable[str] = CAMERAS, **config: float) -> None:
        self.moments = Moments[int](tuple(cameras), MomentConfig(**config))
        self.sets: list[tuple[str, ...]] = []
        self.stamps: list[dict[str, int]] = []
        self.reasons: Counter[tuple[str, DropReason]] = Counter()
        self.texts: list[str] = []
        self.came: list[int] = []
        self.gone: list[int] = []

    def add(self, camera: str, stamp_ns: int, now_ns: int | None = None) -> None:
        """Hand in an image; it arrives at its stamp, unless another time is given."""
        self.came.append(len(self.came))
        when_ns = stamp_ns if now_ns is None else now_ns
        self.take(self.moments.add(camera, FIRST_NS + stamp_ns, self.came[-1], when_ns))

    def take(self, result: Sorted[int]) -> None:
        """Note what comes out."""
        if result.moment:
            self.sets.append(tuple(image.camera for image in result.moment))
            self.stamps.append({i.camera: i.stamp_ns - FIRST_NS for i in result.moment})
        self.gone += [image.item for image in result.moment]
        for unused in result.unused:
            self.gone.append(unused.image.item)
            self.reasons[unused.image.camera, unused.reason] += 1
            self.texts.append(unused.text)

    def is_accounted_for(self) -> bool:
        """Whether each image has come out once, after the end."""
        self.take(self.moments.clear())
        return sorted(self.gone) == self.came


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_images_of_one_stamp_are_a_moment_in_any_order(order: tuple[int, ...]) -> None:
    feed = Feed()
    for frame in range(20):
        for camera in order:
            feed.add(CAMERAS[camera], frame * PERIOD_NS)

    assert feed.sets == [CAMERAS] * 20
    assert not feed.reasons
    assert feed.is_accounted_for()


def test_stamps_of_a_moment_differ_by_the_tolerance_at_most() -> None:
    feed = Feed(tolerance_s=0.005)
    feed.add('front', 0)
    feed.add('left', 4 * MS)
    feed.add('right', -4 * MS)  # within the tolerance of the first, not of the second
    feed.add('right', 29 * MS)

    assert len(feed.sets) == 1
    assert len(feed.sets[0]) == 2
    assert feed.is_accounted_for()


def test_silent_camera_holds_the_others_up_once_and_joins_again() -> None:
    feed = Feed(silent_s=0.5)
    for frame in range(150):
        for camera in CAMERAS:
            if camera != 'left' or not 30 <= frame < 100:
                feed.add(camera, frame * PERIOD_NS)
        if frame == 80:
            assert feed.moments.silent(frame * PERIOD_NS) == ('left',)
    stamps = [stamps['front'] for stamps in feed.stamps]
    full = [s['front'] for s in feed.stamps if len(s) == 3]

    assert max(np.diff(stamps)) <= 500 * MS + 2 * PERIOD_NS
    assert sum(len(s) == 2 for s in feed.stamps) > 50
    assert [stamp // PERIOD_NS for stamp in full[30:]] == list(range(100, 150))
    assert feed.moments.silent(149 * PERIOD_NS) == ()
    assert feed.is_accounted_for()


@pytest.mark.parametrize('apart_ms', [0, 200])
def test_cameras_that_are_slower_than_patience_are_not_silent(apart_ms: int) -> None:
    feed = Feed(silent_s=0.5)
    for frame in range(12):  # one image in 2 s
        order = CAMERAS if frame % 2 else CAMERAS[::-1]
        for place, camera in enumerate(order):
            stamp_ns = frame * 2000 * MS
            feed.add(camera, stamp_ns, stamp_ns + place * apart_ms * MS)

    assert feed.sets == [CAMERAS] * 12
    assert not feed.reasons
    assert feed.moments.silent(12 * 2000 * MS) == ()
    assert feed.is_accounted_for()


def test_first_camera_may_be_the_silent_one() -> None:
    feed = Feed(silent_s=0.5)
    for frame in range(150):
        for camera in CAMERAS:
            if camera != 'front' or not 30 <= frame < 100:
                feed.add(camera, frame * PERIOD_NS)

    assert feed.sets[:30] == [CAMERAS] * 30
    assert feed.sets.count(('left', 'right')) > 50
    assert feed.sets[-45:] == [CAMERAS] * 45
    assert feed.is_accounted_for()


def test_camera_that_never_came_is_waited_for_no_longer_than_a_silent_one() -> None:
    feed = Feed(silent_s=0.5)
    for frame in range(40):
        for camera in CAMERAS[:2]:
            feed.add(camera, frame * PERIOD_NS)

    assert feed.stamps[0]['front'] <= 550 * MS
    assert set(feed.sets) == {('front', 'left')}
    assert feed.is_accounted_for()


def test_lost_image_costs_its_camera_one_moment_and_the_others_none() -> None:
    feed = Feed()
    for frame in range(30):
        for camera in CAMERAS:
            if (camera, frame) != ('right', 10):
                feed.add(camera, frame * PERIOD_NS)

    # When the next image shows the loss, its own moment is complete: the latest wins.
    assert feed.sets == [CAMERAS] * 29
    assert feed.reasons == {(c, DropReason.UNMATCHED): 1 for c in ('front', 'left')}
    assert feed.is_accounted_for()


def test_camera_out_of_step_is_told_and_holds_nobody_up() -> None:
    feed = Feed(tolerance_s=0.005, silent_s=0.5)
    for frame in range(60):
        feed.add('front', frame * PERIOD_NS)
        feed.add('right', frame * PERIOD_NS)
        feed.add('left', frame * PERIOD_NS + 15 * MS)
    now_ns = 60 * PERIOD_NS

    assert feed.moments.out_of_step(now_ns) == ('left',)
    assert feed.moments.silent(now_ns) == ()
    assert feed.sets.count(('front', 'right')) >= 55
    assert feed.reasons['left', DropReason.UNMATCHED] >= 55
    assert any('front +18.0 ms' in text and 'rig.tolerance_s' in text for text in feed.texts)
    assert feed.is_accounted_for()


@pytest.mark.parametrize('offset_s', [-1000, -2, 2, 1000])
@pytest.mark.parametrize('wrong', CAMERAS)
def test_clock_of_one_camera_that_is_wrong_stalls_nobody(offset_s: int, wrong: str) -> None:
    feed = Feed(silent_s=0.5)
    for frame in range(120):
        for camera in CAMERAS:
            if camera != wrong or frame < 60:  # later it has gone
                shift = offset_s * 1000 * MS if camera == wrong else 0
                feed.add(camera, frame * PERIOD_NS + shift, now_ns=frame * PERIOD_NS)
    right = [camera for camera in CAMERAS if camera != wrong]

    assert feed.sets[-40:] == [tuple(right)] * 40
    assert len(feed.sets) > 85
    assert feed.is_accounted_for()


def test_jump_back_begins_anew() -> None:
    feed = Feed()
    for lap in range(2):
        for frame in range(40):
            for camera in CAMERAS:
                feed.add(camera, frame * PERIOD_NS, now_ns=(lap * 40 + frame) * PERIOD_NS)

    assert feed.sets == [CAMERAS] * 80
    assert feed.is_accounted_for()


def test_older_image_of_a_camera_is_stale() -> None:
    feed = Feed()
    feed.add('front', 100 * MS)
    feed.add('front', 90 * MS, now_ns=101 * MS)

    assert feed.reasons == {('front', DropReason.STALE_STAMP): 1}


def test_wild_publisher_is_bounded() -> None:
    feed = Feed(silent_s=10.0)
    for image in range(3 * MAX_WAITING):
        feed.add('front', image * MS, now_ns=image)

    assert feed.reasons == {('front', DropReason.QUEUE_FULL): 2 * MAX_WAITING}


@pytest.mark.parametrize('seed', range(40))
def test_any_order_of_arrival_keeps_the_rules(seed: int) -> None:
    """Delays, losses, silences, jitter, jumps and wrong clocks, all at random."""
    rng = np.random.default_rng(seed)
    cameras = CAMERAS[: rng.integers(1, 4)]
    tolerance_ns = int(rng.integers(0, 12)) * MS
    feed = Feed(cameras, tolerance_s=tolerance_ns / 1e9, silent_s=float(rng.uniform(0.05, 0.6)))
    arrivals = []
    for camera in cameras:
        delay, jitter = rng.uniform(0, 0.3) * 1e9, rng.uniform(0, 0.1) * 1e9
        quiet = rng.integers(0, 200, 2)
        shift = int(rng.choice([0, 0, 0, 7 * MS, 5_000 * MS]))
        for frame in range(200):
            if rng.uniform() < 0.1 or quiet.min() < frame < quiet.max():
                continue
            stamp = frame * PERIOD_NS + shift + int(rng.normal(0, 1) * MS)
            stamp -= int(frame > 150 and seed % 3 == 0) * 140 * PERIOD_NS
            now_ns = frame * PERIOD_NS + int(delay + rng.uniform(0, jitter))
            arrivals.append((now_ns, camera, stamp))
    for now_ns, camera, stamp in sorted(arrivals):
        feed.add(camera, stamp, now_ns)
        if rng.uniform() < 0.05:
            feed.take(feed.moments.expire(now_ns))

    for names, stamps in zip(feed.sets, feed.stamps, strict=True):
        assert list(names) == [camera for camera in cameras if camera in names]
        assert max(stamps.values()) - min(stamps.values()) <= tolerance_ns
    assert feed.sets
    assert feed.is_accounted_for()


@pytest.mark.parametrize('cameras', [(), ('a', 'a')])
def test_rig_without_cameras_or_with_one_twice_is_refused(cameras: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match='different cameras'):
        Moments[int](cameras, MomentConfig())


@pytest.mark.parametrize('config', [{'tolerance_s': -0.1}, {'tolerance_s': 2}, {'silent_s': 0}])
def test_times_that_are_none_are_refused(config: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(config))):
        MomentConfig(**config)
