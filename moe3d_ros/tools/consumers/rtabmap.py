"""rtabmap_ros: which of its settings drop or spoil depth and odometry."""

from __future__ import annotations

from collections.abc import Iterator
import math

from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import ODOMETRY
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
from moe3d_ros.tools.consumers.facts import unheard_inputs

NAME = 'rtabmap'
LOST = 9999.0  # a variance that says so
INSTEAD_OF_DEPTH = ('subscribe_rgbd', 'subscribe_stereo', 'subscribe_sensor_data')
REMAPS = {
    '/rgb/image': 'color/image_rect',
    '/rgb/camera_info': 'depth/camera_info',
    '/depth/image': 'depth/image_rect',
    '/odom': 'odometry',
}


def recognises(consumer: Consumer) -> bool:
    """Return whether a node has the parameters of rtabmap."""
    return {'subscribe_depth', 'approx_sync', 'frame_id'} <= set(consumer.parameters)


def frames(consumer: Consumer) -> list[tuple[str, str]]:
    """Return the parameters that name a frame into which the camera is transformed."""
    named = [('frame_id', consumer.text('frame_id', 'base_link'))]
    odom = consumer.text('odom_frame_id')
    return [*named, ('odom_frame_id', odom)] if odom else named


def troubles(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield what drops or spoils depth, colour and odometry."""
    yield from unheard_inputs(consumer, outputs, REMAPS)
    yield from _subscriptions(consumer, outputs)
    yield from _stamps(consumer, outputs)
    yield from _queues(consumer, outputs)
    yield from _colour(consumer, outputs)
    for topic in consumer.inputs_of(ODOMETRY):
        yield from _covariance(topic, outputs)
    yield from _staleness(consumer, outputs)


def _subscriptions(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield inputs that are switched off, or waited for in vain."""
    for name in INSTEAD_OF_DEPTH:
        if consumer.flag(name, False):
            effect = 'the depth image is not subscribed to.'
            yield Trouble(name, True, effect, f'Set {name} to false.')
    for name in ('subscribe_depth', 'subscribe_rgb'):
        if not consumer.flag(name, True):
            effect = 'depth and colour are not taken together.'
            yield Trouble(name, False, effect, f'Set {name} to true.')
    if consumer.flag('subscribe_odom_info', False):
        infos = [topic for topic in consumer.inputs if topic.endswith('/odom_info')]
        if not any(topic in outputs.published for topic in infos):
            yield Trouble(
                'subscribe_odom_info',
                True,
                'each image waits for an odom_info, which only odometry of rtabmap publishes.',
                'Set subscribe_odom_info to false.',
            )


def _stamps(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield exact synchronisation of inputs whose stamps differ."""
    if consumer.flag('approx_sync', True):
        return
    inputs = [*consumer.inputs_of(IMAGE), *consumer.inputs_of(ODOMETRY)]
    heard = {topic: set(outputs.stream(topic).stamps_ns) for topic in inputs}
    depth = next((t for t in inputs if outputs.is_ours(t) and t.endswith('/depth/image_rect')), '')
    for topic, stamps_ns in heard.items():
        if stamps_ns and heard.get(depth) and not heard[depth] & stamps_ns:
            yield Trouble(
                'approx_sync',
                False,
                f'no stamp of {topic} is one of {depth}: no image is ever complete.',
                'Feed it from outputs of moe3d, whose stamps are equal, or set it to true.',
            )


def _queues(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield queues that odometry runs through before its depth has come."""
    depths = [t for t in consumer.inputs_of(IMAGE) if outputs.is_ours(t) and '/depth/' in t]
    latencies_s = [outputs.stream(topic).latency_s or 0.0 for topic in depths]
    for topic in consumer.inputs_of(ODOMETRY):
        waiting = outputs.stream(topic).rate_hz * max(latencies_s, default=0.0)
        for name in ('sync_queue_size', 'topic_queue_size'):
            size = consumer.number(name, 10)
            if waiting > size:
                yield Trouble(
                    name,
                    int(size),
                    f'{waiting:.0f} messages of {topic} come before the depth of the first, which '
                    f'has been dropped by then.',
                    f'Set {name} to {2 * math.ceil(waiting)}.',
                )


def _colour(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield colour whose pixels are not those of the depth."""
    images = consumer.inputs_of(IMAGE)
    depths = [topic for topic in images if outputs.is_ours(topic) and '/depth/' in topic]
    for topic in images if depths else []:
        if outputs.is_ours(topic):
            continue
        colour, depth = (outputs.stream(name).size for name in (topic, depths[0]))
        ratios = (
            {colour[0] // depth[0], colour[1] // depth[1]}
            if colour and depth and 0 not in depth
            else {0}
        )
        remedy = f'Remap rgb/image to {depths[0].replace("/depth/", "/color/")}.'
        if len(ratios) > 1:
            effect = f'the ratios to the depth ({sorted(ratios)}) differ in x and y: it aborts.'
            yield Trouble(topic, colour, effect, remedy)
        else:
            effect = 'its pixels are not those of the depth, which is cropped and resized.'
            yield Trouble(topic, 'the colour', effect, remedy)


def _covariance(topic: str, outputs: Outputs) -> Iterator[Trouble]:
    """Yield covariances that are ignored, or begin a new map."""
    stream = outputs.stream(topic)
    if not stream.pose_variances or not stream.twist_variances:
        return
    pose, twist = stream.pose_variances[0], stream.twist_variances[0]
    variance = pose / 2 if twist <= 0 or twist == LOST else twist
    if pose >= LOST and twist >= LOST:
        effect, remedy = 'odometry is lost: a new map begins.', 'Find out why tracking is lost.'
        yield Trouble(topic, pose, effect, remedy)
    elif not math.isfinite(variance) or variance <= 0 or variance == 1.0:
        yield Trouble(
            topic,
            twist,
            'such a variance of twist and pose is ignored, and a fixed one is taken.',
            'The source of odometry must say how sure it is.',
        )


def _staleness(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield a limit of gaps that ordinary pauses between images exceed, and the rate it takes."""
    rate_hz = consumer.number('Rtabmap/DetectionRate', 1.0)
    factor = consumer.number('staleness_factor', 0.0)
    for topic in consumer.inputs_of(IMAGE):
        depth_hz = outputs.stream(topic).rate_hz
        if factor > 0 and rate_hz > 0 and 0 < depth_hz < rate_hz / factor:
            effect = f'images come every {1 / depth_hz:.1f} s, and each gap begins a new map.'
            yield Trouble('staleness_factor', factor, effect, 'Set staleness_factor to 0.0.')
            return
