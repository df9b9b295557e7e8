"""octomap_server (ROS 2): which of its settings drop or spoil a cloud."""

from __future__ import annotations

from collections.abc import Iterator

from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import late_transforms
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
from moe3d_ros.tools.consumers.facts import unheard_inputs

NAME = 'octomap_server'
QUEUE = 5  # of its filter, fixed
RANGE = 'sensor_model.max_range'
RANGE_REMEDY = f'Set {RANGE} to the range that the depth is good for, such as 8.0.'
REMAPS = {'/cloud_in': 'points'}


def recognises(consumer: Consumer) -> bool:
    """Return whether a node has the parameters of octomap_server."""
    return RANGE in consumer.parameters


def frames(consumer: Consumer) -> list[tuple[str, str]]:
    """Return the parameters that name a frame into which clouds are transformed."""
    found = [('frame_id', consumer.text('frame_id', 'map'))]
    if consumer.flag('filter_ground_plane', False):
        found.append(('base_frame_id', consumer.text('base_frame_id', 'base_footprint')))
    return found


def troubles(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield what drops or spoils the clouds."""
    yield from unheard_inputs(consumer, outputs, REMAPS)
    clouds = [topic for topic in consumer.inputs_of(CLOUD) if outputs.is_ours(topic)]
    for topic in clouds:
        yield from late_transforms(outputs, topic, QUEUE)
    max_range_m = consumer.number(RANGE, -1.0)
    if max_range_m < 0:
        is_clearing = any(topic.endswith('/points_clearing') for topic in clouds)
        yield Trouble(
            RANGE,
            max_range_m,
            'every point is an obstacle, however far'
            + (', those that only say free space included.' if is_clearing else ' and unsure.'),
            RANGE_REMEDY,
        )
    elif max_range_m < 1.0:
        effect = f'nothing farther than {max_range_m:g} m becomes an obstacle.'
        yield Trouble(RANGE, max_range_m, effect, RANGE_REMEDY)
    yield from _cuts(consumer)


def _cuts(consumer: Consumer) -> Iterator[Trouble]:
    """Yield limits of the cloud that leave nothing."""
    for axis, limit_m in (('x', 1e308), ('y', 1e308), ('z', 100.0)):
        names = f'point_cloud_min_{axis}', f'point_cloud_max_{axis}'
        low, high = consumer.number(names[0], -limit_m), consumer.number(names[1], limit_m)
        if low >= high:
            remedy = f'Set {names[0]} below {names[1]}.'
            yield Trouble(names[0], low, f'{names[1]} is {high:g}: no point is left.', remedy)
    low, high = (
        consumer.number(f'point_cloud_{end}_z', d) for end, d in (('min', -100.0), ('max', 100.0))
    )
    if consumer.flag('filter_ground_plane', False) and not low <= 0.0 <= high:
        yield Trouble(
            'filter_ground_plane',
            True,
            'the ground is cut away before it is looked for.',
            'Let point_cloud_min_z and point_cloud_max_z enclose 0.',
        )
