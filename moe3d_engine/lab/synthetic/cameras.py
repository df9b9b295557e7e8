"""Where the cameras stand: views that share content, and smooth paths, in free space."""

from __future__ import annotations

from typing import TypeAlias

from moe3d_engine.lab.synthetic.tracing import pixel_rays
from moe3d_engine.lab.synthetic.tracing import Tracer
from moe3d_engine.lab.synthetic.worlds.rooms import Stage
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

Rng: TypeAlias = np.random.Generator
_CLEARANCE_M = 0.45  # from the bounding boxes of things
NEAREST_M = 0.34  # smallest depth that a view may show
_COARSE_HW = (18, 24)
_FAR_M = 1000.0  # stands for the sky where overlap is measured


def random_intrinsics(
    rng: Rng, image_hw: tuple[int, int], off_centre: float = 0.0
) -> Float64Array:
    """
    Return square pixels, a horizontal field of view of 40 to 90 degrees, no skew.

    `off_centre` is the most that the principal point lies off the centre, relative to the width.
    """
    focal = image_hw[1] / 2 / np.tan(np.radians(rng.uniform(40, 90)) / 2)
    intrinsics = intrinsics_from_focal(float(focal), image_hw)
    if off_centre:
        intrinsics[:2, 2] += image_hw[1] * rng.uniform(-off_centre, off_centre, 2)
    return intrinsics


def intrinsics_from_focal(focal_px: float, image_hw: tuple[int, int]) -> Float64Array:
    """Return the matrix of a camera whose principal point is the image's centre."""
    height, width = image_hw
    return np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1.0]])


def look_at(position: Float64Array, target: Float64Array, roll: float = 0.0) -> Float64Array:
    """Return world_from_cam of a camera that looks at a point, the world's z being up."""
    forward = target - position
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1] = c * right + s * down, c * down - s * right
    pose[:3, 2], pose[:3, 3] = forward, position
    return pose


def place_views(
    rng: Rng, stage: Stage, tracer: Tracer, num_views: int, intrinsics: Float64Array
) -> Float64Array | None:
    """
    Return world_from_cam (V, 4, 4) of views that share content.

    None where the scene offers no good place within the tries.
    """
    coarse = coarse_intrinsics(intrinsics)
    for _ in range(40):
        target = stage.targets[int(rng.integers(len(stage.targets)))] + rng.normal(0, 0.1, 3)
        first = view_of(rng, stage, target, stage.distance_m)
        if first is None or not is_free(stage, first[:3, 3]):
            continue
        depth = good_depth(stage, tracer, coarse, first, int(rng.choice([4, 8, 12])))
        if depth is None:
            continue
        poses = [first]
        baseline = np.exp(rng.uniform(np.log(0.08), np.log(1.0)))
        for _ in range(24 * num_views):
            if len(poses) == num_views:
                return np.stack(poses)
            pose = _moved_view(rng, first, target, baseline)
            if not is_free(stage, pose[:3, 3]):
                baseline = max(0.06, baseline * 0.95)
                continue
            other = coarse_depth(tracer, coarse, pose)
            if other.min() > NEAREST_M and _overlap(coarse, first, depth, pose, other) > 0.4:
                poses.append(pose)
            else:
                baseline = max(0.06, baseline * 0.95)
    return None


def place_path(
    rng: Rng,
    stage: Stage,
    tracer: Tracer,
    num_frames: int,
    intrinsics: Float64Array,
    step_m: float = 0.05,
) -> Float64Array | None:
    """Return world_from_cam (V, 4, 4) of a walk to and fro before the first target, or None."""
    coarse = coarse_intrinsics(intrinsics)
    time = np.arange(num_frames)
    for _ in range(60):
        target = stage.targets[0] + rng.normal(0, 0.05, 3)
        first = view_of(rng, stage, target, (1.1, 2.2))
        if first is None or good_depth(stage, tracer, coarse, first, 14) is None:
            continue
        start = first[:3, 3] - target
        radius = float(np.hypot(start[0], start[1]))
        half_width_m = rng.uniform(0.5, 0.9)
        phase = time * step_m / half_width_m * np.pi / 2 / np.sqrt(2)
        angle = np.arctan2(start[1], start[0]) + half_width_m / radius * np.sin(phase)
        reach = radius * (1 + 0.12 * np.sin(0.37 * phase))
        positions = target + np.stack(
            [reach * np.cos(angle), reach * np.sin(angle), start[2] + 0.1 * np.sin(0.61 * phase)],
            axis=1,
        )
        gaze = target + 0.08 * np.stack(
            [np.sin(0.5 * phase), np.cos(0.43 * phase), 0.5 * np.sin(0.7 * phase)], axis=1
        )
        poses = np.stack([look_at(p, g) for p, g in zip(positions, gaze, strict=True)])
        free = all(is_free(stage, p) for p in positions)
        if free and all(coarse_depth(tracer, coarse, p).min() > NEAREST_M for p in poses[::4]):
            return poses
    return None


def view_of(
    rng: Rng, stage: Stage, target: Float64Array, distance_m: tuple[float, float]
) -> Float64Array | None:
    """Draw a camera that looks at a target from the allowed box, or None."""
    azimuth, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*distance_m)
    elevation = rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(0.1, 0.8)])
    offset = distance * np.array(
        [
            np.cos(azimuth) * np.cos(elevation),
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
        ]
    )
    position = target + offset
    if (position < stage.low).any() or (position > stage.high).any():
        return None
    return look_at(position, target + rng.normal(0, 0.1, 3), rng.normal(0, 0.04))


def _moved_view(
    rng: Rng, first: Float64Array, target: Float64Array, baseline_m: float
) -> Float64Array:
    """Draw a neighbour of the first view within about `baseline_m`, mostly sideways."""
    step = rng.normal(0, 1, 3) * (1.0, 0.45, 0.5)
    step *= np.clip(baseline_m * rng.uniform(0.4, 1.0), 0.05, 1.0) / np.linalg.norm(step)
    position = first[:3, 3] + first[:3, :3] @ step
    distance = float(np.linalg.norm(target - position))
    gaze = first[:3, 3] + first[:3, 2] * distance
    gaze = gaze + rng.uniform(-0.3, 0.7) * first[:3, :3] @ (step * (1, 1, 0))
    roll = rng.normal(0, 0.04)
    return look_at(position, gaze + rng.normal(0, 0.06 * distance, 3), roll)


def is_free(stage: Stage, position: Float64Array) -> bool:
    """Return whether a camera may stand here: in the box and clear of every thing."""
    if (position < stage.low).any() or (position > stage.high).any():
        return False
    boxes = stage.scene.part_boxes
    inside = (position > boxes[:, 0] - _CLEARANCE_M) & (position < boxes[:, 1] + _CLEARANCE_M)
    return not bool(inside.all(axis=1).any())


def coarse_intrinsics(intrinsics: Float64Array) -> Float64Array:
    """Return the intrinsics of the coarse image that the checks trace."""
    scale = np.array(
        [
            (_COARSE_HW[1] - 1) / (2 * intrinsics[0, 2]),
            (_COARSE_HW[0] - 1) / (2 * intrinsics[1, 2]),
            1.0,
        ]
    )
    return np.asarray(np.diag(scale) @ intrinsics)


def _coarse_hits(
    tracer: Tracer, coarse: Float64Array, pose: Float64Array
) -> tuple[Float32Array, NDArray[np.int32]]:
    """Return depth, with a finite sky, and the faces of a coarse image."""
    y, x = np.mgrid[: _COARSE_HW[0], : _COARSE_HW[1]]
    hits = tracer.first_hits(pose[:3, 3], pixel_rays(coarse, pose, x, y).reshape(-1, 3))
    return np.minimum(hits.distance, np.float32(_FAR_M)), hits.face


def coarse_depth(tracer: Tracer, coarse: Float64Array, pose: Float64Array) -> Float32Array:
    """Return the depth of a coarse image; the sky's is finite."""
    return _coarse_hits(tracer, coarse, pose)[0]


def good_depth(
    stage: Stage, tracer: Tracer, coarse: Float64Array, pose: Float64Array, least_things: int
) -> Float32Array | None:
    """Return the coarse depth of a view that shows enough things at useful distances."""
    depth, face = _coarse_hits(tracer, coarse, pose)
    part = stage.scene.face_part[face[face >= 0]]
    things = len(np.unique(stage.scene.part_object[part]))
    useful = 0.6 < np.median(depth) < 8 and depth.min() > NEAREST_M
    crowded = things >= least_things
    return depth if useful and crowded and (face < 0).mean() < 0.45 else None


def _overlap(
    coarse: Float64Array,
    first: Float64Array,
    first_depth: Float32Array,
    pose: Float64Array,
    depth: Float32Array,
) -> float:
    """Return the share of a view's pixels that the first view sees, too."""
    y, x = np.mgrid[: _COARSE_HW[0], : _COARSE_HW[1]]
    points = pixel_rays(coarse, pose, x, y).reshape(-1, 3) * depth[:, None] + pose[:3, 3]
    local = (points - first[:3, 3]) @ first[:3, :3]
    z = np.maximum(local[:, 2], 1e-6)
    u = np.rint(local[:, 0] / z * coarse[0, 0] + coarse[0, 2]).astype(int)
    v = np.rint(local[:, 1] / z * coarse[1, 1] + coarse[1, 2]).astype(int)
    inside = (local[:, 2] > 0) & (u >= 0) & (u < _COARSE_HW[1]) & (v >= 0) & (v < _COARSE_HW[0])
    index = np.where(inside, v * _COARSE_HW[1] + u, 0)
    same = np.abs(np.log(z / first_depth[index])) < 0.15
    return float((inside & same).mean())
