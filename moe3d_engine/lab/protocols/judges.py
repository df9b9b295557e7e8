"""Figures of one sequence under a protocol, by task."""

from __future__ import annotations

from collections.abc import Sequence
import math

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.resample import maps_on_source
from moe3d_engine.geometry.resample import SourceMaps
from moe3d_engine.intake.files import read_image_view
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import SceneImage
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
from moe3d_engine.lab.metrics.mapping import fuse_depth
from moe3d_engine.lab.metrics.poses import trajectory_errors
from moe3d_engine.lab.metrics.reconstruction import estimate_normals
from moe3d_engine.lab.metrics.reconstruction import f_score
from moe3d_engine.lab.metrics.reconstruction import reconstruction_metrics
from moe3d_engine.lab.metrics.reconstruction import refine_icp
from moe3d_engine.lab.metrics.reconstruction import umeyama
from moe3d_engine.lab.protocols.alignment import align_maps
from moe3d_engine.lab.protocols.alignment import moved_cameras
from moe3d_engine.lab.protocols.catalogue import Protocol
from moe3d_engine.lab.protocols.maps import central
from moe3d_engine.lab.protocols.maps import cubic_weights
from moe3d_engine.lab.protocols.maps import native_maps
from moe3d_engine.lab.protocols.maps import PointMaps
from moe3d_engine.lab.protocols.maps import predict
from moe3d_engine.lab.protocols.maps import reference_maps
from moe3d_engine.lab.protocols.maps import resize_map
from moe3d_engine.lab.protocols.maps import true_depth
from moe3d_engine.lab.protocols.maps import without_rejected
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.session import Session
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

# Methods of a record. Published: flying points removed, native resolution.
RAW = 'raw'  # all pixels, native resolution
RAW_RESIZED = 'raw-resized'  # all pixels, resized as the reference code does: its own protocol
PUBLISHED_RESIZED = 'published-resized'
MIN_POINTS = 30  # normals are estimated from so many neighbours


def judge_points(
    session: Session,
    scenes: Scenes,
    protocol: Protocol,
    frames: Sequence[SceneFrame],
) -> dict[str, Figures]:
    """Judge the point maps of frames, aligned as one, in the four ways of the methods."""
    assert protocol.size_hw is not None
    images = [scenes.read(frame) for frame in frames]
    prediction = predict(session, [image.rgb for image in images])
    limits_m = _limits_m(protocol)
    resized = reference_maps(prediction, images, protocol.size_hw, limits_m)
    native = native_maps(prediction, images, limits_m)
    share_hw = (1.0, 1.0)
    if protocol.window_hw is not None:
        share_hw = (
            protocol.window_hw[0] / protocol.size_hw[0],
            protocol.window_hw[1] / protocol.size_hw[1],
        )
    if not np.isfinite(native.points_gt).any():
        raise InputError('No pixel has a true depth within the limits of the protocol.')
    return {
        name: _cloud_figures(maps, protocol, _pose(images[0]), share_hw)
        for name, maps in (
            (RAW_RESIZED, resized),
            (RAW, native),
            (PUBLISHED_RESIZED, without_rejected(resized)),
            (PUBLISHED, without_rejected(native)),
        )
    }


def judge_depth(
    session: Session,
    scenes: Scenes,
    protocol: Protocol,
    frames: Sequence[SceneFrame],
) -> dict[str, Figures]:
    """
    Judge depth maps of frames that are aligned and weighted as one.

    `raw-resized` is resized with a cubic filter as the reference does; `raw` and `published` are
    sampled at the pixels of the ground truth without blending surfaces.
    """
    images = [scenes.read(frame) for frame in frames]
    prediction = predict(session, [image.rgb for image in images])
    depth_gt = np.stack([image.depth_m for image in images])
    size_hw, fitted_from_source = depth_gt.shape[1:], prediction.fitted_from_source
    cubic = [
        resize_map(depth, fitted_from_source, size_hw, cubic_weights)
        for depth in prediction.depth_raw
    ]
    sampled = [
        maps_on_source(SourceMaps(raw, depth, np.zeros_like(depth)), fitted_from_source, size_hw)
        for raw, depth in zip(prediction.depth_raw, prediction.depth, strict=True)
    ]
    maps = {
        RAW_RESIZED: np.stack(cubic),
        RAW: np.stack([item.depth_raw for item in sampled]),
        PUBLISHED: np.stack([item.depth for item in sampled]),
    }
    return {name: _depth_figures(depth, depth_gt, protocol) for name, depth in maps.items()}


def _depth_figures(depth: Float32Array, depth_gt: Float32Array, protocol: Protocol) -> Figures:
    """Return errors, each weighted by the valid pixels when they are pooled."""
    metrics = depth_metrics(
        depth,
        depth_gt,
        align=protocol.alignment,
        max_depth=protocol.max_depth_m,
        clip_max=protocol.clip_max_m,
    )
    valid = float(metrics.valid_pixels)
    known = np.isfinite(depth_gt) & (depth_gt > 0)
    if protocol.max_depth_m is not None:
        known &= depth_gt < protocol.max_depth_m
    values = {name: getattr(metrics, name) for name in protocol.metrics}
    shares = {name: (value * valid if valid else 0.0, valid) for name, value in values.items()}
    return Figures(shares={**shares, 'retained': (valid, float(known.sum()))})


def _cloud_figures(
    maps: PointMaps,
    protocol: Protocol,
    world_from_first: Float64Array,
    share_hw: tuple[float, float],
) -> Figures:
    """Return Acc, Comp and NC after alignment and refinement; NaN where too little is left."""
    nothing = dict.fromkeys(protocol.metrics, math.nan)
    if _overlap(maps).sum() < MIN_POINTS:
        return Figures(nothing)
    maps = central(align_maps(maps, protocol.alignment, world_from_first), share_hw)
    known, seen = np.isfinite(maps.points_gt[..., 0]), _overlap(maps)
    retained = {'retained': (float(seen.sum()), float(known.sum()))}
    if seen.sum() < MIN_POINTS:
        return Figures(nothing, retained)
    assert protocol.icp_m is not None
    points = maps.points[seen].astype(np.float64)
    points_gt = maps.points_gt[known].astype(np.float64)
    gt_from_points = refine_icp(points, points_gt, protocol.icp_m)
    points = transform_points(gt_from_points, points)
    metrics = reconstruction_metrics(
        points, points_gt, estimate_normals(points), estimate_normals(points_gt)
    )
    return Figures({name: getattr(metrics, name) for name in protocol.metrics}, retained)


def _overlap(maps: PointMaps) -> NDArray[np.bool_]:
    """Return the pixels that have both points."""
    overlap: NDArray[np.bool_] = np.isfinite(maps.points[..., 0] + maps.points_gt[..., 0])
    return overlap


def judge_tsdf(
    session: Session,
    scenes: Scenes,
    protocol: Protocol,
    frames: Sequence[SceneFrame],
) -> dict[str, Figures]:
    """Judge the surface that all depth maps of the frames give when they are fused."""
    images = [scenes.read(frame) for frame in frames]
    prediction = predict(session, [image.rgb for image in images])
    maps = native_maps(prediction, images, _limits_m(protocol))
    cam_from_world = invert_rigid(np.stack([_pose(image) for image in images]))
    depth_gt = true_depth(maps.points_gt, cam_from_world)
    intrinsics_gt = [prediction.fitted_from_source @ _intrinsics(image) for image in images]
    assert protocol.voxel_m is not None
    surface_gt = fuse_depth(
        list(depth_gt), intrinsics_gt, list(cam_from_world), voxel_m=protocol.voxel_m
    )
    figures = {}
    for name, chosen, depth in (
        (RAW, maps, prediction.depth_raw),
        (PUBLISHED, without_rejected(maps), prediction.depth),
    ):
        both = _overlap(chosen)
        if both.sum() < MIN_POINTS:
            figures[name] = Figures(dict.fromkeys(protocol.metrics, math.nan))
            continue
        points, points_gt = chosen.points[both], chosen.points_gt[both]
        similarity = umeyama(points.astype(np.float64), points_gt.astype(np.float64))
        surface = fuse_depth(
            list(np.float32(similarity.scale) * depth),
            list(prediction.intrinsics),
            list(moved_cameras(prediction.cam_from_world, similarity)),
            voxel_m=protocol.voxel_m,
        )
        figures[name] = _surface_figures(surface, surface_gt, protocol)
    return figures


def _surface_figures(
    surface: Float64Array, surface_gt: Float64Array, protocol: Protocol
) -> Figures:
    """Return the figures of fused surfaces."""
    assert protocol.threshold_m is not None
    metrics = reconstruction_metrics(surface, surface_gt)
    score = f_score(surface, surface_gt, protocol.threshold_m)
    values = {
        'acc_mean': metrics.acc_mean,
        'comp_mean': metrics.comp_mean,
        'tsdf_precision': score.precision,
        'f_score': score.f_score,
    }
    return Figures({name: values[name] for name in protocol.metrics})


def judge_trajectory(
    session: Session,
    scenes: Scenes,
    protocol: Protocol,
    frames: Sequence[SceneFrame],
) -> dict[str, Figures]:
    """Judge the poses of frames from colour alone."""
    prediction = predict(session, [read_image_view(frame.rgb).image for frame in frames])
    true_poses = [frame.world_from_cam for frame in frames]
    known = [i for i, pose in enumerate(true_poses) if pose is not None]
    errors = trajectory_errors(
        invert_rigid(prediction.cam_from_world[known]),
        np.stack([pose for pose in true_poses if pose is not None]),
    )
    figures = Figures({name: getattr(errors, name) for name in protocol.metrics})
    return {PUBLISHED: figures}


def _pose(image: SceneImage) -> Float64Array:
    """Return the pose of a frame that needs one."""
    if image.world_from_cam is None:
        raise InputError('A frame that the protocol uses has no known pose.')
    return image.world_from_cam


def _intrinsics(image: SceneImage) -> Float64Array:
    """Return the intrinsics of a frame that needs them."""
    if image.intrinsics is None:
        raise InputError('A frame has no known intrinsics; the protocol needs them.')
    return image.intrinsics


def _limits_m(protocol: Protocol) -> tuple[float, float]:
    """Return the true depths that count."""
    assert protocol.min_depth_m is not None
    assert protocol.max_depth_m is not None
    return protocol.min_depth_m, protocol.max_depth_m
