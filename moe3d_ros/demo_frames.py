"""What the node published in the demo, the ground truth on its pixels, and depth unrejected."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe3d_engine.backends.open import open_backend
from moe3d_engine.errors import InputError
from moe3d_engine.image_messages import decode_compressed
from moe3d_engine.image_messages import decode_raw
from moe3d_engine.messages import Message
from moe3d_engine.messages import stamp_ns
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.resample import resample_nearest
from moe3d_engine.types import DepthScale
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.views import ViewWindow
from moe3d_ros.bags import CameraTopics
from moe3d_ros.bags import read_decoded
from moe3d_ros.bags import read_topics
from moe3d_ros.parameters import NodeConfig
from moe3d_ros.rectification import open_rectifier
import numpy as np
from numpy.typing import NDArray

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
    if camera.depth is None:
        return None
    wanted = {frame.stamp_ns: frame for frame in frames}
    found: dict[int, Float32Array] = {}
    infos: dict[int, Message] = {}
    for topic, _, message in read_decoded(bag, (camera.camera_info, camera.depth)):
        stamp = stamp_ns(message)
        if stamp not in wanted:
            continue
        if topic == camera.camera_info:
            infos[stamp] = message
        else:
            found[stamp] = _depth_metres(message)
    sampled = []
    for stamp, frame in wanted.items():
        if stamp not in found or stamp not in infos:
            sampled.append(np.full(frame.depth.shape, np.nan, np.float32))
            continue
        rectifier = open_rectifier(infos[stamp], found[stamp].shape)
        if rectifier.maps is not None:
            return None
        sampled.append(
            resample_nearest(
                found[stamp], rectifier.intrinsics, frame.intrinsics, frame.depth.shape
            )
        )
    return np.stack(sampled) if found else None


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
    window = ViewWindow(min(config.max_views, backend.spec.max_views), config.keyframe_interval_s)
    depth_raw, depth = [], []
    try:
        for view in _read_views(bag, camera, set(stamps)):
            views = window.push(view)
            result = reconstructor.reconstruct(views, [len(views) - 1])
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
        _pixels(messages['depth'], '<f4'),
        _pixels(messages['boundary_confidence'], '<f4'),
        decode_raw(messages['color']),
        np.array(messages['camera_info'].k, np.float64).reshape(3, 3),
    )


def _pixels(message: Message, dtype: str) -> NDArray[Any]:
    """Return the (H, W) values of a single-channel image; rows may be padded."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    row_bytes = message.width * np.dtype(dtype).itemsize
    return np.ascontiguousarray(rows[:, :row_bytes]).view(dtype)


def _depth_metres(message: Message) -> Float32Array:
    """Return a depth image in metres; NaN = unknown (REP 118)."""
    order = '>' if message.is_bigendian else '<'
    if message.encoding == '16UC1':
        millimetres = _pixels(message, f'{order}u2').astype(np.float32)
        return np.where(millimetres > 0, millimetres * np.float32(1e-3), np.float32(np.nan))
    depth: Float32Array = _pixels(message, f'{order}f4').astype(np.float32)
    return depth


def _read_views(bag: Path, camera: CameraTopics, stamps: set[int]) -> Iterator[View]:
    """Yield the rectified views of some stamps, in their order."""
    is_compressed = read_topics(bag)[camera.image].type.endswith('CompressedImage')
    decode = decode_compressed if is_compressed else decode_raw
    pending: dict[int, dict[str, Message]] = {}
    for topic, _, message in read_decoded(bag, (camera.image, camera.camera_info)):
        stamp = stamp_ns(message)
        if stamp not in stamps:
            continue
        messages = pending.setdefault(stamp, {})
        messages[topic] = message
        if len(messages) == 2:
            image = decode(messages[camera.image])
            rectifier = open_rectifier(messages[camera.camera_info], image.shape[:2])
            frame_id = messages[camera.image].header.frame_id
            yield View(rectifier.rectify(image), rectifier.intrinsics, stamp, frame_id)
            del pending[stamp]
