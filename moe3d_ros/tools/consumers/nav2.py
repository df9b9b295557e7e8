"""Costmaps of Nav2: which settings of their obstacle and voxel layers drop or spoil clouds."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from difflib import get_close_matches
import re

from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import late_transforms
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import TF_BUFFER_S
from moe3d_ros.tools.consumers.facts import Trouble

NAME = 'Nav2 costmap'
SOURCES = '.observation_sources'
QUEUE = 50  # of the filter of each source, fixed
# Other layers have other parameters under the same names.
_LAYERS = re.compile('(nav2_costmap_2d(::|/)(Obstacle|Voxel)Layer)?')
# Heights in m that points at 40 m reach in an ordinary field of view.
CLEARING_HEIGHTS_M = (-20.0, 20.0)


def recognises(consumer: Consumer) -> bool:
    """Return whether a node has the parameters of a costmap."""
    return {'plugins', 'global_frame', 'robot_base_frame'} <= set(consumer.parameters)


def frames(consumer: Consumer) -> list[tuple[str, str]]:
    """Return the parameters that name a frame into which clouds are transformed."""
    return [('global_frame', consumer.text('global_frame', 'map'))]


def troubles(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield what drops or spoils the clouds of all layers."""
    plugins = consumer.parameters.get('plugins')
    layers = [
        name.removesuffix(SOURCES)
        for name in sorted(consumer.parameters)
        if name.endswith(SOURCES)
    ]
    layers = [name for name in layers if _LAYERS.fullmatch(consumer.text(f'{name}.plugin', ''))]
    loaded = [layer for layer in layers if isinstance(plugins, Sequence) and layer in plugins]
    for layer in layers:
        if layer not in loaded:
            effect = f'{layer} is not among them and is not loaded.'
            yield Trouble('plugins', plugins, effect, f'Add {layer} to plugins.')
    topics: dict[str, list[str]] = {}
    for layer in loaded:
        yield from _layer(consumer, layer)
        for source in consumer.text(f'{layer}{SOURCES}').split():
            prefix = f'{layer}.{source}'
            topics.setdefault(consumer.text(f'{prefix}.topic', source), []).append(prefix)
    for topic, prefixes in topics.items():
        for prefix in prefixes:
            yield from _topic(consumer, outputs, prefix, topic, topics)
            if outputs.is_ours(topic):
                layer = prefix.rpartition('.')[0]
                yield from _source(consumer, outputs, layer, prefix, topic)
    yield from _clearing(consumer, outputs, topics)
    yield from _tolerance(consumer, outputs)


def _layer(consumer: Consumer, layer: str) -> Iterator[Trouble]:
    """Yield what is wrong with a layer as a whole."""
    if not consumer.flag(f'{layer}.enabled', True):
        effect, remedy = 'the layer marks and clears nothing.', 'Set it to true.'
        yield Trouble(f'{layer}.enabled', False, effect, remedy)
    if not consumer.text(f'{layer}{SOURCES}').split():
        effect, remedy = 'the layer hears nothing.', 'Name a source, and its parameters below.'
        yield Trouble(f'{layer}{SOURCES}', '', effect, remedy)
    top_m = consumer.number(f'{layer}.max_obstacle_height', 2.0)
    if top_m <= consumer.number(f'{layer}.min_obstacle_height', 0.0):
        effect, remedy = 'no point is low enough to be an obstacle.', 'Set it to 2.0.'
        yield Trouble(f'{layer}.max_obstacle_height', top_m, effect, remedy)
    if f'{layer}.z_voxels' in consumer.parameters:
        voxels = consumer.number(f'{layer}.z_voxels', 10)
        height_m = consumer.number(f'{layer}.z_resolution', 0.2)
        grid_m = consumer.number(f'{layer}.origin_z', 0.0) + voxels * height_m
        if grid_m < top_m - 1e-6:
            yield Trouble(
                f'{layer}.z_voxels',
                int(voxels),
                f'the voxels end at {grid_m:.2f} m: points between there and max_obstacle_height '
                f'({top_m:g} m) are no obstacles, and a camera above the end clears nothing.',
                'Raise z_resolution (there are 16 voxels at most).',
            )


def _topic(
    consumer: Consumer, outputs: Outputs, prefix: str, topic: str, used: Collection[str]
) -> Iterator[Trouble]:
    """Yield a topic that nobody publishes, or of another type than is declared."""
    ours = sorted(name for name in outputs.published if outputs.is_ours(name))
    if not topic.startswith('/'):
        similar = [name for name in ours if name.endswith(f'/{topic}')]
        if similar:
            effect = f'the namespace of {consumer.name} completes it, differently in each release.'
            remedy = f'Write the full name: {similar[0]}.'
            yield Trouble(f'{prefix}.topic', topic, effect, remedy)
        return
    if topic not in outputs.published:
        close = get_close_matches(topic, ours, n=1, cutoff=0.9)  # a letter or two
        free = [name for name in ours if name not in used]
        close = close or get_close_matches(topic, free, n=1, cutoff=0.5)
        remedy = f'Did you mean {close[0]}?' if close else 'Is its node active?'
        is_meant = bool(close) or outputs.is_ours(topic)
        yield Trouble(f'{prefix}.topic', topic, 'nobody publishes it.', remedy, severe=is_meant)
    data_type = consumer.text(f'{prefix}.data_type', 'LaserScan')
    if outputs.stream(topic).type == CLOUD and data_type != 'PointCloud2':
        effect = 'it waits for another type than the topic has, and hears nothing.'
        yield Trouble(f'{prefix}.data_type', data_type, effect, 'Set it to PointCloud2.')


def _source(
    consumer: Consumer, outputs: Outputs, layer: str, prefix: str, topic: str
) -> Iterator[Trouble]:
    """Yield what is wrong with a source that is a cloud of the node."""
    low_m = consumer.number(f'{prefix}.min_obstacle_height', 0.0)
    high_m = consumer.number(f'{prefix}.max_obstacle_height', 0.0)
    floor_m = consumer.number(f'{layer}.min_obstacle_height', 0.0)
    if high_m <= max(low_m, floor_m):
        yield Trouble(
            f'{prefix}.max_obstacle_height',
            high_m,
            f'every point above {high_m:g} m is discarded, for marking and for clearing '
            f'(the default is 0.0).',
            'Set it to 2.0 or more.',
        )
    for kind, farthest_m in (('obstacle', 2.5), ('raytrace', 3.0)):
        near, far = (f'{prefix}.{kind}_{end}_range' for end in ('min', 'max'))
        near_m, far_m = consumer.number(near, 0.0), consumer.number(far, farthest_m)
        if far_m <= near_m:
            yield Trouble(far, far_m, f'it is not above {near}: nothing is used.', 'Raise it.')
        elif kind == 'obstacle' and consumer.flag(f'{prefix}.marking', True):
            effect = f'points beyond {far_m:g} m are no obstacles.'
            yield Trouble(far, far_m, effect, 'Raise it if that is too near.', severe=False)
    yield from late_transforms(outputs, topic, QUEUE)
    frame, sensor_frame = outputs.stream(topic).frame, consumer.text(f'{prefix}.sensor_frame')
    if sensor_frame and frame and sensor_frame != frame:
        effect = f'rays start there instead of at the camera ({frame}).'
        yield Trouble(f'{prefix}.sensor_frame', sensor_frame, effect, "Set it to ''.")
    expected_s = consumer.number(f'{prefix}.expected_update_rate', 0.0)
    rate_hz = outputs.stream(topic).rate_hz
    if expected_s > 0 and 0 < rate_hz < 1 / expected_s:
        yield Trouble(
            f'{prefix}.expected_update_rate',
            expected_s,
            f'clouds come every {1 / rate_hz:.2f} s (it is in seconds): the costmap counts as out '
            f'of date and the robot stops.',
            f'Set it to {3 / rate_hz:.1f} or 0.0.',
        )


def _clearing(
    consumer: Consumer, outputs: Outputs, topics: dict[str, list[str]]
) -> Iterator[Trouble]:
    """Yield what keeps obstacles in the costmap that are there no longer."""
    clouds = [topic for topic in topics if outputs.is_ours(topic) and topic in outputs.published]
    for topic in (topic for topic in clouds if not topic.endswith('/points_clearing')):
        prefixes = topics[topic]
        if not any(consumer.flag(f'{prefix}.marking', True) for prefix in prefixes):
            effect = 'the cloud makes no obstacles.'
            yield Trouble(f'{prefixes[0]}.marking', False, effect, 'Set it to true.')
        if not any(consumer.flag(f'{prefix}.clearing', False) for prefix in prefixes):
            effect = 'what stood before a surface and is gone stays an obstacle.'
            yield Trouble(f'{prefixes[0]}.clearing', False, effect, 'Set it to true.')
        for prefix in prefixes:
            marks_m = consumer.number(f'{prefix}.obstacle_max_range', 2.5)
            clears_m = consumer.number(f'{prefix}.raytrace_max_range', 3.0)
            if consumer.flag(f'{prefix}.clearing', False) and clears_m < marks_m:
                effect = f'obstacles between {clears_m:g} and {marks_m:g} m are never cleared.'
                remedy = f'Set it to {marks_m + 0.5:g}.'
                yield Trouble(f'{prefix}.raytrace_max_range', clears_m, effect, remedy)
        far = f'{topic}_clearing'
        if far not in topics:
            yield Trouble(
                f'{prefixes[0].rpartition(".")[0]}{SOURCES}',
                consumer.text(f'{prefixes[0].rpartition(".")[0]}{SOURCES}'),
                'where there is no surface in range, points are NaN, and NaN and Inf never clear '
                '(inf_is_valid is for scans).',
                f'Add a source with topic {far}, clearing true and marking false.',
            )
    for topic in (topic for topic in clouds if topic.endswith('/points_clearing')):
        for prefix in topics[topic]:
            yield from _clearing_source(consumer, prefix)


def _clearing_source(consumer: Consumer, prefix: str) -> Iterator[Trouble]:
    """Yield what is wrong with a source of points that only say free space."""
    if consumer.flag(f'{prefix}.marking', True):
        effect, remedy = 'points of free space become obstacles.', 'Set it to false.'
        yield Trouble(f'{prefix}.marking', True, effect, remedy)
    if not consumer.flag(f'{prefix}.clearing', False):
        effect, remedy = 'the source does nothing.', 'Set it to true.'
        yield Trouble(f'{prefix}.clearing', False, effect, remedy)
    low, high = (f'{prefix}.{end}_obstacle_height' for end in ('min', 'max'))
    low_m, high_m = consumer.number(low, 0.0), consumer.number(high, 0.0)
    for name, value_m, limit_m, is_cut in (
        (low, low_m, CLEARING_HEIGHTS_M[0], low_m > CLEARING_HEIGHTS_M[0]),
        (high, high_m, CLEARING_HEIGHTS_M[1], high_m < CLEARING_HEIGHTS_M[1]),
    ):
        if is_cut:
            effect = 'far points beyond this height are discarded before they clear anything.'
            yield Trouble(name, value_m, effect, f'Set it to {5 * limit_m:g}.')


def _tolerance(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield transforms and clouds that come too late for the costmap."""
    tolerance_s = consumer.number('transform_tolerance', 0.3)
    odometry_s = outputs.stream(f'{outputs.node}/odometry').latency_s
    if outputs.sends_tf and odometry_s is not None and odometry_s > tolerance_s:
        yield Trouble(
            'transform_tolerance',
            tolerance_s,
            f'the pose of the robot comes {odometry_s:.2f} s after its stamp, and the costmap is '
            f'not updated.',
            f'Set it to {2 * odometry_s:.1f}, or let wheels and robot_localization send odom -> '
            f'base.',
        )
    if outputs.tf_lag_s is not None and outputs.tf_lag_s > TF_BUFFER_S:
        effect = 'no cloud finds its transform in time.'
        yield Trouble('transform_tolerance', tolerance_s, effect, 'Mend the clocks.')
