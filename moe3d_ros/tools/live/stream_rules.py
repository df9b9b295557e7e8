"""What must hold of the node's streams, whoever consumes them; and of clocks."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from itertools import pairwise

from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Stream
from moe3d_ros.tools.consumers.facts import TF_BUFFER_S
from moe3d_ros.tools.consumers.facts import Trouble

PAIRED = 0.7  # share of stamps; the ends of the listening interval cut pairs apart
FUTURE_S = 0.1


def stream_troubles(topic: str, stream: Stream) -> Iterator[Trouble]:
    """Yield what makes every consumer drop the messages of a topic."""
    stamps_ns = stream.stamps_ns
    if 0 in stamps_ns:
        effect = 'the stamp is 0: rtabmap drops it, TF takes it for "the newest".'
        yield Trouble(topic, 0, effect, 'The camera driver must stamp its images.')
    backward = sum(b <= a for a, b in pairwise(stamps_ns))
    if backward:
        yield Trouble(
            topic,
            f'{backward} of {len(stamps_ns)} stamps',
            'they are not newer than the one before: rtabmap and robot_localization drop them.',
            'Look for a second publisher, or a bag that has begun anew.',
        )
    if stamps_ns and not stream.frame:
        effect, remedy = 'no consumer can transform it.', 'The driver must set frame_id.'
        yield Trouble(topic, 'without frame_id', effect, remedy)
    latency_s = stream.latency_s
    if latency_s is not None and latency_s > TF_BUFFER_S:
        yield Trouble(
            topic,
            f'{latency_s:.1f} s late',
            f'TF keeps {TF_BUFFER_S:g} s: every transform has been forgotten.',
            'If it comes from a bag, play it with --clock and set use_sim_time everywhere.',
        )
    if latency_s is not None and latency_s < -FUTURE_S:
        yield Trouble(
            topic,
            f'{-latency_s:.1f} s ahead',
            'its stamps are in the future: TF must wait for each, and queues run over.',
            'Synchronise the clocks (chrony), or set use_sim_time everywhere or nowhere.',
        )


def pair_troubles(outputs: Outputs) -> Iterator[Trouble]:
    """Yield depth images without a camera_info of their stamp and size."""
    for topic, stream in sorted(outputs.streams.items()):
        if not outputs.is_ours(topic) or not topic.endswith('/image_rect'):
            continue
        info = f'{topic.rpartition("/")[0].replace("/color", "/depth")}/camera_info'
        infos = outputs.stream(info)
        shared = len(set(stream.stamps_ns) & set(infos.stamps_ns))
        if info not in outputs.published:
            effect, remedy = 'consumers wait for a camera_info.', 'Is another node named so?'
            yield Trouble(info, 'without a publisher', effect, remedy)
        elif stream.stamps_ns and shared < PAIRED * len(stream.stamps_ns) - 1:
            yield Trouble(
                info,
                f'{shared} of {len(stream.stamps_ns)} stamps',
                f'the others are not those of {topic}: exact synchronisation drops them.',
                'Look for a second publisher, or lost messages (config/fastdds.xml).',
            )
        if infos.size and stream.size and infos.size != stream.size:
            effect = f'{topic} has {stream.size}: rays go wrong.'
            yield Trouble(info, infos.size, effect, 'Look for a second publisher.')


def clock_troubles(use_sim_time: Mapping[str, bool], is_clock_there: bool) -> Iterator[Trouble]:
    """
    Yield nodes that wait for a clock, and those that go by another one than the rest.

    Parameters
    ----------
    use_sim_time : by node.
    is_clock_there : whether somebody publishes /clock.
    """
    simulated = sorted(node for node, value in use_sim_time.items() if value)
    real = sorted(node for node, value in use_sim_time.items() if not value)
    if simulated and not is_clock_there:
        yield Trouble(
            'use_sim_time',
            True,
            f'nobody publishes /clock: the time of {", ".join(simulated)} stands at 0.',
            'Play the bag with --clock, or set use_sim_time to false.',
        )
    elif simulated and real:
        yield Trouble(
            'use_sim_time',
            False,
            f'{", ".join(real)} go by the wall clock, {", ".join(simulated)} by /clock: TF drops '
            f'what crosses.',
            'Set use_sim_time alike everywhere.',
        )
