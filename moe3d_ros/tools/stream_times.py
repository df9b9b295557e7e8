"""How long images were under way, and how fast depth came, by the recorder's clock."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from moe3d_engine.bags.reader import read_messages
from moe3d_engine.bags.reader import serialized_stamp_ns
from moe3d_ros.tools.bags.replay import ReplaySummary
from moe3d_ros.tools.recorded import recorded_topics
import numpy as np


class StreamTimes(NamedTuple):
    """Times of the depth images of one recording."""

    latency_ms: dict[int, float]  # by the stamp of the image in ns
    rate_hz: float  # NaN below two images


def stream_times(
    output: Path, image_topic: str, bag: Path, sent: ReplaySummary, rate: float
) -> StreamTimes:
    """
    Return latencies and output rate.

    Latency runs from the time at which the replay had to send an image, by its schedule, to the
    time at which the recorder had its depth.

    Parameters
    ----------
    output : the recorded bag.
    image_topic, bag, sent, rate : what was played.

    Raises
    ------
    InputError
        If nothing was published.
    """
    depth_topic = recorded_topics(output)[0].depth
    received_ns = {
        serialized_stamp_ns(message.data): message.log_ns
        for message in read_messages(output, [depth_topic])
    }
    due_ns = {
        serialized_stamp_ns(message.data): sent.first_sent_ns
        + (message.log_ns - sent.first_log_ns) / rate
        for message in read_messages(bag, [image_topic])
    }
    latency_ms = {stamp: 1e-6 * (at_ns - due_ns[stamp]) for stamp, at_ns in received_ns.items()}
    times_s = 1e-9 * np.array(sorted(received_ns.values()), np.float64)
    rate_hz = (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else math.nan
    return StreamTimes(latency_ms, rate_hz)
