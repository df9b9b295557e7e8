"""Why a mapper sees nothing: the graph, its clocks and TF, and the settings of consumers."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
import time
from typing import TYPE_CHECKING

from moe3d_engine.cli.doctor import Check
from moe3d_engine.errors import Moe3dError
from moe3d_ros.tools.bags.plain_node import plain_node
from moe3d_ros.tools.consumers.catalogue import RULES
from moe3d_ros.tools.consumers.catalogue import Rules
from moe3d_ros.tools.consumers.catalogue import rules_for
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
from moe3d_ros.tools.live.endpoints import mismatches
from moe3d_ros.tools.live.graph import Ends
from moe3d_ros.tools.live.graph import ends_of
from moe3d_ros.tools.live.graph import inputs_of
from moe3d_ros.tools.live.graph import published_topics
from moe3d_ros.tools.live.graph import topic_types
from moe3d_ros.tools.live.listen import CLOCK
from moe3d_ros.tools.live.listen import HEARD_TYPES
from moe3d_ros.tools.live.listen import Listener
from moe3d_ros.tools.live.parameters import ask_all
from moe3d_ros.tools.live.parameters import nodes_with_parameters
from moe3d_ros.tools.live.parameters import read_parameters
from moe3d_ros.tools.live.stream_rules import clock_troubles
from moe3d_ros.tools.live.stream_rules import pair_troubles
from moe3d_ros.tools.live.stream_rules import stream_troubles
from moe3d_ros.tools.live.transforms import TransformLog

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

DISCOVERY_S = 4.0  # the middleware took up to 3.7 s on a busy machine
PARAMETERS_S = 6.0  # for all nodes together
STATE_S = 2.0
NO_TF = (
    'tf2_msgs is not installed for this Python, so TF was not looked at. Source the setup file of '
    'the ROS distribution.'
)


@dataclass(frozen=True, slots=True)
class Seen:
    """
    All that was seen of the graph.

    Parameters
    ----------
    outputs : the node's streams, and the other inputs of its consumers.
    ends : publishers and subscriptions by topic.
    consumers : with the rules for each.
    use_sim_time : by node.
    state : of the node's life cycle; empty where it did not answer.
    transforms : None where TF could not be heard.
    """

    outputs: Outputs
    ends: Mapping[str, Ends]
    consumers: list[tuple[Rules, Consumer]]
    use_sim_time: Mapping[str, bool]
    state: str
    transforms: TransformLog | None


def live_checks(node_name: str, seconds: float) -> list[Check]:
    """
    Look at the running graph and say what drops or spoils the outputs of a node.

    Parameters
    ----------
    node_name : full name of the node, such as `/moe3d`.
    seconds : how long to listen. Discovery and questions take up to twelve more.

    Raises
    ------
    ConfigError
        If the environment of ROS is not valid.
    """
    from rclpy.executors import SingleThreadedExecutor

    with plain_node('moe3d_doctor') as node:
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        try:
            seen = look(node, executor, f'/{node_name.strip("/")}', seconds)
        finally:
            executor.shutdown()
    return list(report(seen))


def look(node: Node, executor: Executor, node_name: str, seconds: float) -> Seen:
    """Collect what there is to see; see `live_checks`."""
    end_s = time.monotonic() + DISCOVERY_S
    while time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)
    own = node.get_fully_qualified_name()
    names = [name for name in nodes_with_parameters(node) if name != own]
    parameters = read_parameters(node, executor, names, PARAMETERS_S)
    consumers = []
    for name, values in parameters.items():
        consumer = Consumer(name, values, inputs_of(node, name))
        rules = rules_for(consumer)
        if rules is not None and name != node_name:
            consumers.append((rules, consumer))
    types = topic_types(node)
    topics = {topic for topic in types if topic.startswith(f'{node_name}/')}
    for _, consumer in consumers:
        topics |= {topic for topic, kind in consumer.inputs.items() if kind in HEARD_TYPES}
    topics |= {CLOCK} & set(types)
    ends = {topic: ends_of(node, topic) for topic in sorted(topics)}
    listener = Listener(node, {topic: publishers for topic, (publishers, _) in ends.items()})
    listener.listen(executor, seconds)
    transforms = listener.transforms
    lags_s = sorted(transforms.lags_s) if transforms is not None else []
    outputs = Outputs(
        streams=listener.streams(),
        published=published_topics(node, types),
        node=node_name,
        sends_tf=parameters.get(node_name, {}).get('tf.publish') is True,
        tf_lag_s=lags_s[int(0.95 * (len(lags_s) - 1))] if lags_s else None,
    )
    simulated = {name: values.get('use_sim_time') is True for name, values in parameters.items()}
    state = _state(node, executor, node_name)
    return Seen(outputs, ends, consumers, simulated, state, transforms)


def report(seen: Seen) -> Iterator[Check]:
    """Yield a check for each trouble, and one for each part that has none."""
    outputs = seen.outputs
    yield _node_check(seen)
    is_heard = any(stream.stamps_ns for stream in outputs.streams.values())
    well = 'stamps, frames and camera_info are right' if is_heard else 'nothing came to be judged'
    yield from _checks('streams', well, _streams(outputs))
    ends = [trouble for topic, pair in seen.ends.items() for trouble in mismatches(topic, *pair)]
    count = sum(len(subscriptions) for _, subscriptions in seen.ends.values())
    yield from _checks('connections', f'{count} subscriptions match their publishers', ends)
    clock = clock_troubles(seen.use_sim_time, CLOCK in outputs.published)
    yield from _checks('clock', 'all nodes go by the same', clock)
    if seen.transforms is None:
        yield Check('TF', False, f'{NO_TF}{_needed_frames(seen)}', required=False)
    else:
        second = seen.transforms.second_parents()
        yield from _checks('TF', 'every frame has one parent', second)
    if not seen.consumers:
        known = ', '.join(rules.NAME for rules in RULES)
        yield Check('consumers', True, f'none of those that are known is running ({known})')
    for rules, consumer in seen.consumers:
        found = [*rules.troubles(consumer, outputs), *_frames(rules, consumer, seen)]
        yield from _checks(consumer.name, f'{rules.NAME}: nothing drops or spoils data', found)


def _node_check(seen: Seen) -> Check:
    """Say whether the node is there and what it publishes."""
    outputs = seen.outputs
    ours = [topic for topic in outputs.streams if outputs.is_ours(topic)]
    name = outputs.node
    if not ours:
        others = sorted(
            {t.split('/moe3d/')[0] + '/moe3d' for t in outputs.published if '/moe3d/' in t}
        )
        hint = f' There is {", ".join(others)}: name it with --node.' if others else ''
        return Check(
            name,
            False,
            f'nothing is published below this name.{hint or " Start the node, with the same"}'
            f'{"" if hint else " ROS_DOMAIN_ID, or name it with --node."}',
        )
    if seen.state and seen.state != 'active':
        remedy = f'ros2 lifecycle set {name} activate'
        return Check(name, False, f'the node is {seen.state} and publishes nothing: {remedy}')
    heard = [topic for topic in ours if outputs.streams[topic].stamps_ns]
    if not heard:
        text = 'nothing arrives on any of its topics. Look at /diagnostics, and at its input: '
        return Check(name, False, f'{text}moe3d doctor --image-topic TOPIC')
    if any('/relative_depth/' in topic for topic in ours):
        text = 'depth is relative and goes out under relative_depth, which no mapper takes.'
        return Check(name, False, f'{text} Give it metres: scale.source, scale.factor.')
    rates = ', '.join(f'{t.removeprefix(name)} {outputs.streams[t].rate_hz:.1f} Hz' for t in heard)
    return Check(name, True, rates)


def _streams(outputs: Outputs) -> Iterator[Trouble]:
    """Yield what is wrong with streams, whoever consumes them."""
    for topic, stream in sorted(outputs.streams.items()):
        yield from stream_troubles(topic, stream)
    yield from pair_troubles(outputs)


def _frames(rules: Rules, consumer: Consumer, seen: Seen) -> Iterator[Trouble]:
    """Yield frames into which the consumer cannot transform what it hears."""
    log = seen.transforms
    if log is None:
        return
    for setting, target in rules.frames(consumer):
        for topic in consumer.inputs:
            stream = seen.outputs.stream(topic)
            if not seen.outputs.is_ours(topic) or not stream.frame:
                continue
            text = log.problem(target, stream.frame, stream.stamps_ns)
            if text:
                remedy = f'Let somebody send it, or name another frame in {setting}.'
                yield Trouble(setting, target, f'{topic} is dropped: {text}', remedy)
                break


def _needed_frames(seen: Seen) -> str:
    """Name the frames that TF has to join, for who looks himself."""
    needed = sorted(
        {
            f'{stream.frame} -> {target} ({consumer.name} {setting})'
            for rules, consumer in seen.consumers
            for setting, target in rules.frames(consumer)
            for stream in map(seen.outputs.stream, consumer.inputs)
            if stream.frame not in ('', target)
        }
    )
    return f' It has to join {", ".join(needed)}.' if needed else ''


def _checks(name: str, all_well: str, troubles: Iterable[Trouble]) -> Iterator[Check]:
    """Yield a failed check for each severe trouble, one that informs for the others."""
    found = list(troubles)
    for trouble in found:
        yield Check(f'{name} {trouble.setting}', not trouble.severe, trouble.text)
    if not any(trouble.severe for trouble in found):
        yield Check(name, True, all_well)


def _state(node: Node, executor: Executor, node_name: str) -> str:
    """Return the state of the node's life cycle; empty where it does not answer."""
    from lifecycle_msgs.srv import GetState

    if f'{node_name}/get_state' not in dict(node.get_service_names_and_types()):
        return ''
    end_s = time.monotonic() + STATE_S
    questions = {node_name: GetState.Request()}
    answers = ask_all(node, executor, GetState, '/get_state', questions, end_s)
    return str(answers[node_name].current_state.label) if answers else ''


def guarded_live_checks(node_name: str, seconds: float) -> list[Check]:
    """Return `live_checks`, or one failed check that says what is wrong with ROS here."""
    try:
        return live_checks(node_name, seconds)
    except (Moe3dError, ImportError) as error:
        return [Check('rclpy', False, str(error))]
