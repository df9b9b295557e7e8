"""nvblox_node of Isaac ROS: which of its settings drop or spoil depth."""

from __future__ import annotations

from collections.abc import Iterator

from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import late_transforms
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
from moe3d_ros.tools.consumers.facts import unheard_inputs

NAME = 'nvblox'
QUEUE = 'maximum_input_queue_length'
MAPPERS = ('static_mapper', 'dynamic_mapper')
DEPTH_ENCODINGS = ('32FC1', '16UC1', 'mono16')
COLOR_ENCODINGS = ('rgb8', 'bgra8')
DEPTH_REMAPS = {
    '/camera_0/depth/image': 'depth/image_rect',
    '/camera_0/depth/camera_info': 'depth/camera_info',
}
COLOR_REMAPS = {
    '/camera_0/color/image': 'color/image_rect',
    '/camera_0/color/camera_info': 'depth/camera_info',
}


def recognises(consumer: Consumer) -> bool:
    """Return whether a node has the parameters of nvblox_node."""
    return {QUEUE, 'global_frame', 'mapping_type'} <= set(consumer.parameters)


def frames(consumer: Consumer) -> list[tuple[str, str]]:
    """Return the parameters that name a frame into which depth is transformed."""
    return [('global_frame', consumer.text('global_frame', 'odom'))]


def troubles(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield what drops or spoils depth and colour."""
    use_color = consumer.flag('use_color', True)
    remaps = DEPTH_REMAPS | (COLOR_REMAPS if use_color else {})
    yield from unheard_inputs(consumer, outputs, remaps)
    if not consumer.flag('use_depth', True):
        yield Trouble('use_depth', False, 'no depth is integrated.', 'Set use_depth to true.')
    rate_hz = consumer.number('integrate_depth_rate_hz', 40.0)
    if rate_hz <= 0:
        effect, remedy = 'no depth is integrated.', 'Set integrate_depth_rate_hz to 40.0.'
        yield Trouble('integrate_depth_rate_hz', rate_hz, effect, remedy)
    yield from _poses(consumer)
    queue = int(consumer.number(QUEUE, 10))
    for topic in consumer.inputs_of(IMAGE):
        if outputs.is_ours(topic):
            yield from late_transforms(outputs, topic, queue)
        yield from _encoding(topic, outputs)
    for mapper in MAPPERS:
        yield from _mapper(consumer, mapper)
    for topic in consumer.inputs_of(CLOUD):
        if outputs.is_ours(topic):
            effect = 'its cloud input takes lidars with a fixed number of beams, no camera.'
            remedy = 'Give it the depth image, and set use_lidar to false.'
            yield Trouble(topic, 'its lidar', effect, remedy)


def _poses(consumer: Consumer) -> Iterator[Trouble]:
    """Yield ways of poses that lose images."""
    by_tf = consumer.flag('use_tf_transforms', True)
    if consumer.flag('use_topic_transforms', False):
        yield Trouble(
            'use_topic_transforms',
            True,
            'an image takes the first pose at or after its stamp, not interpolated, and is '
            'dropped if that is more than 100 ms off.',
            'Set use_topic_transforms to false and use_tf_transforms to true.',
        )
    elif not by_tf:
        effect, remedy = 'no image finds its pose.', 'Set use_tf_transforms to true.'
        yield Trouble('use_tf_transforms', False, effect, remedy)


def _encoding(topic: str, outputs: Outputs) -> Iterator[Trouble]:
    """Yield an encoding of depth or colour that is not taken."""
    encoding = outputs.stream(topic).encoding
    for role, taken in (('/depth/', DEPTH_ENCODINGS), ('/color/', COLOR_ENCODINGS)):
        if role in topic and encoding and encoding not in taken:
            effect = f'only {", ".join(taken)} are taken.'
            yield Trouble(topic, encoding, effect, 'Remap it to an output of moe3d.')


def _mapper(consumer: Consumer, mapper: str) -> Iterator[Trouble]:
    """Yield what a mapper does to depth before it integrates it."""
    name = f'{mapper}.do_depth_preprocessing'
    if consumer.flag(name, False):
        pixels = int(consumer.number(f'{mapper}.depth_preprocessing_num_dilations', 3))
        yield Trouble(
            name,
            True,
            f'every hole grows by {pixels} pixels on each side, though edges are rejected '
            f'already; thin things vanish at this resolution.',
            f'Set {name} to false.',
        )
    name = f'{mapper}.projective_integrator_max_integration_distance_m'
    if name in consumer.parameters:
        range_m = consumer.number(name, 5.0)
        effect = f'depth beyond {range_m:g} m is not integrated.'
        yield Trouble(name, range_m, effect, 'Raise it if that is too near.', severe=range_m < 1.0)
