"""robot_localization (EKF, UKF): which of its settings drop or spoil odometry and poses."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
import re

from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble

NAME = 'robot_localization'
AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw')
NUM_STATES = 15  # poses, their velocities, accelerations
_CONFIG = re.compile(r'(odom|pose)\d+_config')


def recognises(consumer: Consumer) -> bool:
    """Return whether a node has the parameters of a filter of robot_localization."""
    return {'two_d_mode', 'base_link_frame', 'odom_frame'} <= set(consumer.parameters)


def frames(consumer: Consumer) -> list[tuple[str, str]]:
    """Return the frame into which poses are transformed; none where only velocities are fused."""
    configs = [value for name, value in consumer.parameters.items() if _CONFIG.fullmatch(name)]
    if not any(isinstance(used, Sequence) and any(used[:6]) for used in configs):
        return []
    odom = consumer.text('odom_frame', 'odom')
    return [('world_frame', consumer.text('world_frame', odom))]


def troubles(consumer: Consumer, outputs: Outputs) -> Iterator[Trouble]:
    """Yield what drops or spoils odometry and poses."""
    sources = [
        (name, consumer.absolute(value))
        for name, value in sorted(consumer.parameters.items())
        if name.rstrip('0123456789') in ('odom', 'pose')
        and name[-1].isdigit()
        and isinstance(value, str)
    ]
    for name, topic in sources:
        if topic not in outputs.published:
            remedy = f'Set {name} to {outputs.node}/odometry.'
            yield Trouble(name, topic, 'nobody publishes it.', remedy)
        elif outputs.is_ours(topic):
            yield from _source(consumer, outputs, name, topic)
    if not any(outputs.is_ours(topic) for _, topic in sources):
        remedy = f'Set odom0 to {outputs.node}/odometry if it should be.'
        yield Trouble('odom0', None, 'odometry of moe3d is not fused.', remedy, severe=False)
    if consumer.flag('publish_tf', True) and outputs.sends_tf:
        yield Trouble(
            'publish_tf',
            True,
            f'{outputs.node} sends the transform to the base as well: two parents fight.',
            f'Set tf.publish of {outputs.node} to false.',
        )


def _source(consumer: Consumer, outputs: Outputs, name: str, topic: str) -> Iterator[Trouble]:
    """Yield what is wrong with one input that is fed by the node."""
    config = consumer.parameters.get(f'{name}_config')
    used = list(config) if isinstance(config, Sequence) and not isinstance(config, str) else []
    if len(used) != NUM_STATES or not any(used):
        effect = 'nothing of it is fused' + (
            ', it is not even subscribed to.' if not any(used) else '.'
        )
        remedy = f'Set {name}_config to {NUM_STATES} values, true where it is to be fused.'
        yield Trouble(f'{name}_config', config, effect, remedy)
        return
    if name.startswith('pose'):
        yield Trouble(
            name,
            topic,
            f'it is the pose of the camera, but is taken for that of '
            f'{consumer.text("base_link_frame", "base_link")}.',
            f'Use odom0: {outputs.node}/odometry.',
        )
        return
    yield from _axes(consumer, outputs, name, topic, used)
    yield from _lag(consumer, outputs, topic)
    rate_hz, step_hz = outputs.stream(topic).rate_hz, consumer.number('frequency', 30.0)
    queue = consumer.number(f'{name}_queue_size', 10)
    if step_hz > 0 and rate_hz / step_hz > queue:
        effect = f'{rate_hz / step_hz:.0f} messages come between two steps of the filter.'
        remedy = f'Set it to {2 * round(rate_hz / step_hz)}.'
        yield Trouble(f'{name}_queue_size', int(queue), effect, remedy)


def _axes(
    consumer: Consumer, outputs: Outputs, name: str, topic: str, used: Sequence[object]
) -> Iterator[Trouble]:
    """Yield axes that are dropped, trusted blindly or of another frame."""
    stream = outputs.stream(topic)
    if consumer.flag('two_d_mode', False) and any(used[2:5]):
        axes = [axis for axis, is_used in zip(AXES[2:5], used[2:5], strict=True) if is_used]
        effect = f'{", ".join(axes)} of {topic} are thrown away.'
        remedy = 'Set two_d_mode to false where the ground is not flat.'
        yield Trouble('two_d_mode', True, effect, remedy, severe=False)
    variances = (*stream.pose_variances, *stream.twist_variances)
    names = [*AXES, *(f'v{axis}' for axis in AXES)]
    for axis, is_used, variance in zip(names, used, variances, strict=False):
        if is_used and variance <= 0:
            becomes = '1e-9, blind trust' if variance == 0 else 'its absolute value'
            effect = f'its variance {variance:g} becomes {becomes}.'
            remedy = f'Set {axis} of {name}_config to false.'
            yield Trouble(f'{name}_config', axis, effect, remedy)
    base = consumer.text('base_link_frame', 'base_link')
    if (
        any(used[:6])
        and stream.child_frame not in ('', base)
        and not consumer.flag(f'{name}_pose_use_child_frame', False)
    ):
        yield Trouble(
            f'{name}_pose_use_child_frame',
            False,
            f'the pose is of {stream.child_frame}, but is taken for that of {base}.',
            'Set it to true, or tell moe3d poses.base_from_camera.',
        )


def _lag(consumer: Consumer, outputs: Outputs, topic: str) -> Iterator[Trouble]:
    """Yield a filter that does not go back to the time of late messages."""
    latency_s = outputs.stream(topic).latency_s
    frequency_hz = consumer.number('frequency', 30.0)
    if latency_s is None or frequency_hz <= 0 or latency_s <= 1 / frequency_hz:
        return
    history_s = consumer.number('history_length', 0.0)
    if not consumer.flag('smooth_lagged_data', False):
        yield Trouble(
            'smooth_lagged_data',
            False,
            f'odometry comes {latency_s:.2f} s after its stamp and is fused as if it were of now.',
            f'Set it to true, and history_length to {max(1.0, 2 * latency_s):.1f}.',
        )
    elif history_s < latency_s:
        effect = f'odometry comes {latency_s:.2f} s after its stamp: the filter cannot go back.'
        yield Trouble('history_length', history_s, effect, f'Set it to {2 * latency_s:.1f}.')
