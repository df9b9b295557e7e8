"""What the node published in the demo, the ground truth on its pixels, and depth unrejected."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from moe3d_engine.backends.open import open_backend
from moe3d_engine.bags.frames import FrameTopics
from moe3d_engine.bags.frames import read_frames
from moe3d_engine.bags.frames import true_depth
from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.bags.reader import read_decoded
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.camera_stream import CameraStream
from moe3d_engine.errors import InputError
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.images import decode_values
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.types import DepthScale
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_ros.parameters import NodeConfig
import numpy as np

PREFIX = '/moe3d/camera'
DEPTH_TOPICS = {
    DepthScale.METRIC: f'{PREFIX}/depth/image_rect',
    DepthScale.RELATIVE: f'{PREFIX}/relative_depth/image_rect',
}


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


def published_depth_topic(output: Path) -> tuple[str, DepthScale]:
    """
    Return the depth topic of a recorded output, and what its unit is.

    Raises
    ------
    InputError
        If nothing was published.
    """
    topics = read_topics(output)
    for scale, name in DEPTH_TOPICS.items():
        if name in topics:
            return name, scale
    raise InputError(f'{output} holds no depth: the node has published nothing. See node.log.')


def read_published(output: Path, limit: int) -> list[PublishedFrame]:
    """Return the first frames of a recorded output whose messages are complete."""
    depth_topic, _ = published_depth_topic(output)
    parts = {
        depth_topic: 'depth',
        depth_topic.rpartition('/')[0] + '/camera_info': 'camera_info',
        f'{PREFIX}/boundary_confidence': 'boundary_confidence',
        f'{PREFIX}/color/image_rect': 'color',
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


def read_ground_truth(
    bag: Path, camera: CameraTopics, frames: Collection[PublishedFrame]
) -> Float32Array | None:
    """
    Return the true depth (V, H, W) in metres on the pixels of the published frames.

    NaN where it is unknown. None if the bag has none, or if its images must be rectified: depth
    then lies on other pixels than the published one.
    """
    topics = FrameTopics(camera, None, None)
    wanted = {frame.stamp_ns: frame for frame in frames}
    sampled: dict[int, Float32Array] = {}
    for found in read_frames(bag, topics):
        frame = wanted.get(found.stamp_ns)
        if frame is None or found.info is None or found.depth is None:
            continue
        depth = true_depth(found, topics, frame.intrinsics, frame.depth.shape)
        if depth is None:
            return None
        sampled[found.stamp_ns] = depth
    if not sampled:
        return None
    unknown = np.full(next(iter(sampled.values())).shape, np.nan, np.float32)
    return np.stack([sampled.get(frame.stamp_ns, unknown) for frame in frames])


def rerun(
    bag: Path,
    camera: CameraTopics,
    stamps: Collection[int],
    config: NodeConfig,
    on_progress: Callable[[], object],
) -> tuple[Float32Array, Float32Array]:
    """
    Reconstruct the published frames once more, offline, in the windows that the node saw.

    A frame that the node dropped was never in a window, so the published stamps determine them.

    Returns
    -------
    depth_raw, depth : (V, H, W) each, before and after rejection, in the order of the stamps.
    """
    backend = open_backend(config.backend, config.weights, threads=config.threads)
    reconstructor = Reconstructor(backend, config.reconstructor)
    stream = CameraStream(
        reconstructor,
        compressed=read_topics(bag)[camera.image].type == COMPRESSED_IMAGE,
        max_views=min(config.max_views, backend.spec.max_views),
        keyframe_interval_s=config.keyframe_interval_s,
    )
    wanted = set(stamps)
    depth_raw, depth = [], []
    try:
        for frame in read_frames(bag, FrameTopics(camera._replace(depth=None), None, None)):
            if frame.stamp_ns not in wanted or frame.info is None:
                continue
            result = stream.reconstruct(stream.view_of(frame.image, frame.info))
            depth_raw.append(result.depth_raw[0])
            depth.append(result.depth[0])
            on_progress()
    finally:
        reconstructor.close()
    return np.stack(depth_raw), np.stack(depth)


def _published_frame(stamp: int, messages: dict[str, Message]) -> PublishedFrame:
    """Return a frame from its four messages."""
    return PublishedFrame(
        stamp,
        decode_values(messages['depth']),
        decode_values(messages['boundary_confidence']),
        decode_raw(messages['color']),
        np.array(messages['camera_info'].k, np.float64).reshape(3, 3),
    )
