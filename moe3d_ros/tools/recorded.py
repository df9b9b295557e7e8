"""What a recorder has heard of the node: complete frames, and the images that were dropped."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from moe3d_engine.bags.reader import read_decoded
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.errors import InputError
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.images import decode_values
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_ros.topics import drops_topic
from moe3d_ros.topics import NODE_NAME
from moe3d_ros.topics import output_topics
from moe3d_ros.topics import OutputTopics
import numpy as np

NODE = f'/{NODE_NAME}'
DROPS = drops_topic(NODE)
OUTPUTS = {metric: output_topics('camera', metric=metric, node=NODE) for metric in (True, False)}


@dataclass(frozen=True, slots=True, eq=False)
class PublishedFrame:
    """
    The outputs of one stamp, as the recorder received them.

    Parameters
    ----------
    stamp_ns : of the image that they belong to.
    depth : (H, W) float32; NaN = rejected or unknown, +Inf = beyond range.
    boundary_confidence : (H, W) float32.
    image : (H, W, 3) uint8, RGB.
    intrinsics : (3, 3) of the published camera_info.
    """

    stamp_ns: int
    depth: Float32Array
    boundary_confidence: Float32Array
    image: UInt8Array
    intrinsics: Float64Array


def recorded_topics(output: Path) -> tuple[OutputTopics, bool]:
    """
    Return the output topics of a recording, and whether its depth is in metres.

    Raises
    ------
    InputError
        If nothing was published.
    """
    topics = read_topics(output)
    for metric, names in OUTPUTS.items():
        if names.depth in topics:
            return names, metric
    raise InputError(f'{output} holds no depth: the node has published nothing. See node.log.')


def read_published(output: Path, limit: int) -> list[PublishedFrame]:
    """Return the first frames of a recorded output whose messages are complete."""
    names, _ = recorded_topics(output)
    parts = {
        names.depth: 'depth',
        names.camera_info: 'camera_info',
        names.boundary_confidence: 'boundary_confidence',
        names.color: 'color',
    }
    pending: dict[int, dict[str, Message]] = {}
    frames: list[PublishedFrame] = []
    for topic, _, message in read_decoded(output, parts):
        stamp = stamp_ns(message)
        messages = pending.setdefault(stamp, {})
        messages[parts[topic]] = message
        if len(messages) == len(parts):
            frames.append(_published_frame(stamp, pending.pop(stamp)))
            if len(frames) == limit:
                break
    return sorted(frames, key=lambda frame: frame.stamp_ns)


def read_drops(output: Path) -> dict[int, list[str]]:
    """Return why images were dropped, by their stamps in ns; a stamp may have come twice."""
    from moe3d_ros.outputs.drops import from_event

    drops: dict[int, list[str]] = defaultdict(list)
    if DROPS in read_topics(output):
        for _, _, message in read_decoded(output, [DROPS]):
            drop = from_event(message)
            drops[drop.stamp_ns].append(drop.reason.value)
    return dict(drops)


def _published_frame(stamp: int, messages: dict[str, Message]) -> PublishedFrame:
    """Return a frame from its four messages."""
    return PublishedFrame(
        stamp,
        decode_values(messages['depth']),
        decode_values(messages['boundary_confidence']),
        decode_raw(messages['color']),
        np.array(messages['camera_info'].k, np.float64).reshape(3, 3),
    )
