"""Settings of rtabmap that drop or spoil depth and odometry are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moe3d_ros.tools.consumers import rtabmap
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import ODOMETRY
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Stream
from moe3d_ros.tools.consumers.facts import Trouble
import pytest

Find = Callable[..., list[Trouble]]
DEPTH, COLOR = '/moe3d/camera/depth/image_rect', '/moe3d/camera/color/image_rect'
ODOM = '/moe3d/odometry'
INPUTS = {DEPTH: IMAGE, COLOR: IMAGE, ODOM: ODOMETRY}


def with_stream(outputs: Outputs, topic: str, stream: Stream) -> Outputs:
    streams = {**outputs.streams, topic: stream}
    return replace(outputs, streams=streams, published=frozenset(streams))


def with_variances(outputs: Outputs, pose: float, twist: float) -> Outputs:
    stream = replace(
        outputs.streams[ODOM], pose_variances=(pose,) * 6, twist_variances=(twist,) * 6
    )
    return with_stream(outputs, ODOM, stream)


@pytest.mark.parametrize('approx_sync', [True, False])
def test_rtabmap_on_remapped_topics_has_no_trouble(find: Find, approx_sync: bool) -> None:
    assert not find(rtabmap, {'approx_sync': approx_sync}, INPUTS)


@pytest.mark.parametrize(
    ('name', 'value', 'effect'),
    [
        ('subscribe_depth', False, 'not taken together'),
        ('subscribe_rgb', False, 'not taken together'),
        ('subscribe_rgbd', True, 'not subscribed'),
        ('subscribe_stereo', True, 'not subscribed'),
        ('subscribe_odom_info', True, 'waits for an odom_info'),
        ('sync_queue_size', 5, 'has been dropped by then'),
        ('topic_queue_size', 5, 'has been dropped by then'),
    ],
)
def test_rtabmap_setting_that_drops_data_is_named(
    find: Find, name: str, value: object, effect: str
) -> None:
    (trouble,) = find(rtabmap, {name: value}, INPUTS)

    assert (trouble.setting, trouble.value) == (name, value)
    assert effect in trouble.effect


def test_exact_synchronisation_with_odometry_of_other_stamps_is_named(
    find: Find, outputs: Outputs
) -> None:
    wheels = replace(outputs.streams[ODOM], stamps_ns=tuple(s + 7 for s in range(100)))
    heard = with_stream(outputs, '/wheels', wheels)
    inputs = {DEPTH: IMAGE, COLOR: IMAGE, '/wheels': ODOMETRY}

    (trouble,) = find(rtabmap, {'approx_sync': False}, inputs, heard)
    assert trouble.setting == 'approx_sync'
    assert '/wheels' in trouble.effect
    assert not find(rtabmap, {'approx_sync': True}, inputs, heard)


@pytest.mark.parametrize(
    ('size', 'effect'), [((640, 480), 'not those of the depth'), ((640, 300), 'it aborts')]
)
def test_colour_of_other_pixels_than_the_depth_is_named(
    find: Find, outputs: Outputs, size: tuple[int, int], effect: str
) -> None:
    heard = with_stream(outputs, '/front/image_raw', replace(outputs.streams[COLOR], size=size))

    (trouble,) = find(rtabmap, {}, {DEPTH: IMAGE, '/front/image_raw': IMAGE}, heard)
    assert effect in trouble.effect
    assert COLOR in trouble.remedy


@pytest.mark.parametrize(
    ('pose', 'twist', 'effect'),
    [
        (0.5, 1.0, 'ignored'),
        (0.0, 0.0, 'ignored'),
        (2.0, 0.0, 'ignored'),
        (float('nan'), float('nan'), 'ignored'),
        (9999.0, 9999.0, 'a new map begins'),
    ],
)
def test_covariance_that_rtabmap_ignores_or_takes_for_lost_is_named(
    find: Find, outputs: Outputs, pose: float, twist: float, effect: str
) -> None:
    (trouble,) = find(rtabmap, {}, INPUTS, with_variances(outputs, pose, twist))

    assert effect in trouble.effect


def test_staleness_limit_below_the_time_between_images_is_named(find: Find) -> None:
    parameters = {'staleness_factor': 1.0, 'Rtabmap/DetectionRate': '10'}

    (trouble,) = find(rtabmap, parameters, INPUTS)
    assert trouble.setting == 'staleness_factor'
    assert not find(rtabmap, parameters | {'staleness_factor': 0.0}, INPUTS)


def test_rtabmap_whose_inputs_were_not_remapped_is_told_how(find: Find) -> None:
    inputs = {'/rgb/image': IMAGE, '/depth/image': IMAGE, '/odom': ODOMETRY}
    remedies = ' '.join(trouble.remedy for trouble in find(rtabmap, {}, inputs))

    for remap in (f'rgb/image:={COLOR}', f'depth/image:={DEPTH}', f'odom:={ODOM}'):
        assert remap in remedies


def test_odometry_that_rtabmap_takes_from_tf_needs_its_frame() -> None:
    consumer = Consumer('/rtabmap', {'odom_frame_id': 'odom'})

    assert rtabmap.frames(consumer) == [('frame_id', 'base_link'), ('odom_frame_id', 'odom')]
