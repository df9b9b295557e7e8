"""Many images at once: overlapping windows in one world, results on the images' own pixels."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import logging
import math

from moe3d_engine.clouds import fuse_cloud
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.fit import check_same_size
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.resample import maps_on_source
from moe3d_engine.geometry.resample import SourceMaps
from moe3d_engine.sequences.joint_depth import compared
from moe3d_engine.sequences.joint_poses import are_few
from moe3d_engine.sequences.joint_poses import BY_NETWORK
from moe3d_engine.sequences.joint_poses import with_joint_poses
from moe3d_engine.sequences.tracked_sequence import is_stream
from moe3d_engine.sequences.tracked_sequence import reconstruct_stream
from moe3d_engine.sequences.tracked_sequence import say_what_is_placed
from moe3d_engine.session import Session
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import Scale
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceResult:
    """
    The reconstruction of V images on their own pixels, and its cloud.

    Parameters
    ----------
    depth_raw : (V, H, W) float32 before rejection; NaN where the network saw nothing (cropped).
    depth : (V, H, W) float32; NaN = rejected, unknown or cropped, +Inf = beyond range.
    boundary_confidence : (V, H, W) float32 in [0, 1]; 0 where `depth` is NaN.
    cam_from_world : (V, 4, 4) float64; the world is the first image's camera frame. NaN where
        nobody knows the pose; then the image is not in the cloud.
    intrinsics : (V, 3, 3) float64 in pixels of the images.
    points_world : (N, 3) float32, the cloud at the network's resolution.
    colors : (N, 3) uint8, RGB.
    scale : unit of depths, translations and points.
    pose_sources : of each view, `matches` between the images, `tracking` of a stream, the
        `network`, or `none`.
    """

    depth_raw: Float32Array
    depth: Float32Array
    boundary_confidence: Float32Array
    cam_from_world: Float64Array
    intrinsics: Float64Array
    points_world: Float32Array
    colors: UInt8Array
    scale: Scale
    pose_sources: tuple[str, ...]


def plan_windows(num_views: int, max_views: int) -> list[tuple[int, ...]]:
    """
    Return windows of at most `max_views` indices that cover all views and all start with view 0.

    Raises
    ------
    ConfigError
        If several windows are needed but a window has no room for the shared view.
    """
    if num_views <= max_views:
        return [tuple(range(num_views))]
    if max_views < 2:
        raise ConfigError(
            f'{num_views} views in windows of {max_views} share no view; allow at least 2.'
        )
    others = np.array_split(np.arange(1, num_views), math.ceil((num_views - 1) / (max_views - 1)))
    return [(0, *chunk.tolist()) for chunk in others]


def reconstruct_windows(
    session: Session, views: Sequence[View], max_views: int
) -> Iterator[Reconstruction]:
    """Yield the windows that cover all views in order; each view is published once."""
    session.reset()
    for number, window in enumerate(plan_windows(len(views), max_views)):
        publish = range(1 if number else 0, len(window))  # all windows share the first view
        yield session.reconstruct([views[index] for index in window], publish)


def reconstruct_sequence(
    session: Session,
    views: Sequence[View],
    max_views: int,
    on_progress: Callable[[int], object] = lambda num_views: None,
) -> SequenceResult:
    """
    Reconstruct any number of images of one size.

    Parameters
    ----------
    session : used and left with the last window's state.
    views : V views; the first gives the world's frame.
    max_views : most views in a window. More images are reconstructed in several windows that
        share the first view, so that all poses are in its frame. Up to 8 images are then placed by
        matches between all of them (`joint_poses`), and a network that sweeps compares them once
        more from there (`joint_depth`). More are tracked, if the session tracks and they are of
        one calibrated camera in the order of their stamps (`tracked_sequence`); else the network
        gives the poses, poor ones where an image sees nothing of what the first one sees.
    on_progress : called after each window with the number of views it added.

    Returns
    -------
    SequenceResult

    Raises
    ------
    ShapeError
        If there are no views or they differ in size.
    """
    if not views:
        raise ShapeError('A reconstruction needs at least 1 view; got none.')
    check_same_size(views)
    results, sources = _placed(session, views, max_views, on_progress)
    maps: list[SourceMaps] = []
    poses, intrinsics, clouds = [], [], []
    for result in results:
        for slot, index in enumerate(result.published):
            source_maps, source_intrinsics = _on_source(result, slot)
            maps.append(source_maps)
            intrinsics.append(source_intrinsics)
            poses.append(result.cam_from_world[index])
        if np.isfinite(result.cam_from_world).all():
            clouds.append(fuse_cloud(result))
    return SequenceResult(
        depth_raw=np.stack([m.depth_raw for m in maps]),
        depth=np.stack([m.depth for m in maps]),
        boundary_confidence=np.stack([m.boundary_confidence for m in maps]),
        cam_from_world=np.stack(poses),
        intrinsics=np.stack(intrinsics),
        points_world=np.concatenate([np.zeros((0, 3), np.float32), *(p for p, _ in clouds)]),
        colors=np.concatenate([np.zeros((0, 3), np.uint8), *(c for _, c in clouds)]),
        scale=result.scale,
        pose_sources=tuple(sources),
    )


def _placed(
    session: Session,
    views: Sequence[View],
    max_views: int,
    on_progress: Callable[[int], object],
) -> tuple[Iterable[Reconstruction], Sequence[str]]:
    """Return reconstructions that publish each view once, and the source of each view's pose."""
    if are_few(len(views)):
        windows = list(_counted(reconstruct_windows(session, views, max_views), on_progress))
        windows, sources, placed = with_joint_poses(windows)
        if session.engine.spec.sweeps:
            return compared(session, placed, windows, max_views), sources
        return windows, sources
    if len(views) > 1 and session.tracking is not None and is_stream(views):
        stream = list(reconstruct_stream(session, views, on_progress))
        by = [source for _, source in stream]
        say_what_is_placed(by)
        return [result for result, _ in stream], by
    if len(views) > 1:
        logger.warning(
            "%d images are too many to match them all: their poses are the network's.", len(views)
        )
    found = reconstruct_windows(session, views, max_views)
    return _counted(found, on_progress), (BY_NETWORK,) * len(views)


def _counted(
    results: Iterable[Reconstruction], on_progress: Callable[[int], object]
) -> Iterator[Reconstruction]:
    """Yield windows and say after each one how many views it has added."""
    for result in results:
        yield result
        on_progress(len(result.published))


def _on_source(result: Reconstruction, slot: int) -> tuple[SourceMaps, Float64Array]:
    """Return a published view's maps and intrinsics on its source pixels."""
    source_hw = result.views[result.published[slot]].image.shape[:2]
    fitted_from_source = fit_geometry(source_hw, result.depth.shape[1:]).fitted_from_source
    maps = SourceMaps(result.depth_raw[slot], result.depth[slot], result.boundary_confidence[slot])
    source_intrinsics = np.linalg.inv(fitted_from_source) @ result.intrinsics[slot]
    return maps_on_source(maps, fitted_from_source, source_hw), source_intrinsics
