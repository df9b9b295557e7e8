"""Why TF cannot transform a message is said."""

from __future__ import annotations

from moe3d_ros.tools.live.transforms import TransformLog
import pytest

STAMPS_NS = [10_000_000_000, 11_000_000_000]


@pytest.fixture
def log() -> TransformLog:
    """Return odom -> base_link (10 to 11 s) -> camera_link -> camera_optical (static)."""
    made = TransformLog()
    made.add('base_link', 'camera_link', 0, is_static=True)
    made.add('camera_link', 'camera_optical', 0, is_static=True)
    for stamp_ns in STAMPS_NS:
        made.add('odom', 'base_link', stamp_ns, now_ns=stamp_ns + 200_000_000)
    return made


def test_joined_frames_have_no_problem_in_either_direction(log: TransformLog) -> None:
    assert not log.problem('odom', 'camera_optical', STAMPS_NS)
    assert not log.problem('camera_optical', 'odom', STAMPS_NS)
    assert not TransformLog().problem('odom', 'odom', STAMPS_NS)


def test_unknown_frame_is_named_with_those_that_there_are(log: TransformLog) -> None:
    text = log.problem('map', 'camera_optical', STAMPS_NS)

    assert 'no frame map' in text
    assert 'base_link, camera_link' in text
    assert 'none at all' in TransformLog().problem('map', 'camera', STAMPS_NS)


def test_two_trees_are_named_by_their_roots(log: TransformLog) -> None:
    log.add('map', 'beacon', 0, is_static=True)

    text = log.problem('map', 'camera_optical', STAMPS_NS)
    assert 'tree of odom' in text
    assert 'map in that of map' in text
    assert log.problem('beacon', 'camera_optical', STAMPS_NS)


def test_transform_that_stopped_before_the_messages_is_named(log: TransformLog) -> None:
    text = log.problem('odom', 'camera_optical', [12_500_000_000])

    assert 'the newest odom -> base_link of TF is 1.50 s older' in text


def test_messages_that_tf_has_forgotten_are_named(log: TransformLog) -> None:
    for stamp_ns in (100_000_000_000, 101_000_000_000):
        log.add('world', 'odom', stamp_ns)

    assert '89 s older than world -> odom' in log.problem('world', 'base_link', STAMPS_NS)


def test_static_transforms_hold_at_any_time(log: TransformLog) -> None:
    assert not log.problem('base_link', 'camera_optical', [10**18])


def test_frame_with_two_parents_is_named(log: TransformLog) -> None:
    assert not [*log.second_parents()]

    log.add('map', 'base_link', STAMPS_NS[0])

    (trouble,) = log.second_parents()
    assert trouble.setting == 'base_link'
    assert 'map and odom' in str(trouble.value)


def test_lags_are_those_of_transforms_that_move(log: TransformLog) -> None:
    log.add('base_link', 'lid', 0, is_static=True, now_ns=10**18)

    assert log.lags_s == [0.2, 0.2]


def test_ring_of_frames_ends(log: TransformLog) -> None:
    log.add('b', 'a', 0)
    log.add('a', 'b', 0)

    assert log.problem('odom', 'a', STAMPS_NS)
