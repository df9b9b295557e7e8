"""Known cameras of posed views, with errors such as tracking makes."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.types import Float64Array
from moe3d_engine.types import WindowCameras
import numpy as np

POSES = ('unknown', 'true', 'perturbed')
ROTATION_DEG, TRANSLATION_SHARE = 0.2, 0.03  # of perturbed poses


def perturbed(
    cam_from_world: Float64Array,
    rng: np.random.Generator,
    rotation_deg: float,
    translation_share: float,
) -> Float64Array:
    """
    Return poses (V, 4, 4) with errors relative to the first view, which keeps its own.

    Parameters
    ----------
    cam_from_world : (V, 4, 4).
    rotation_deg : deviation of each turn, in all.
    translation_share : deviation of each move, in all, relative to its length.
    """
    first_from_world = cam_from_world[0]
    moved = cam_from_world @ invert_rigid(first_from_world)
    for pose in moved[1:]:
        length = float(np.linalg.norm(pose[:3, 3]))
        pose[:3, 3] += rng.normal(0, translation_share * length / np.sqrt(3), 3)
        turn = rng.normal(0, np.radians(rotation_deg) / np.sqrt(3), 3)
        pose[:3] = np.column_stack((rotation_from_vector(turn), np.zeros(3))) @ pose
    return np.asarray(moved @ first_from_world)


def pose_error_px(
    cam_from_world: Float64Array,
    focal_px: float,
    depth: float,
    rotation_deg: float,
    translation_share: float,
) -> Float64Array:
    """
    Return by how many pixels (V,) such errors move what a view sees.

    Parameters
    ----------
    cam_from_world : (V, 4, 4); errors are relative to the first.
    focal_px : of the network's input.
    depth : of the scene.
    rotation_deg, translation_share : as for `perturbed`.
    """
    moved = cam_from_world @ invert_rigid(cam_from_world[0])
    length = np.linalg.norm(moved[:, :3, 3], axis=1)
    error = np.radians(rotation_deg) + translation_share * length / depth
    return np.asarray(focal_px * error)


def known_cameras(item: ViewSet, poses: str) -> WindowCameras | None:
    """
    Return the cameras of a set, the same errors each time; None where they are `unknown`.

    Parameters
    ----------
    item : the set.
    poses : one of POSES; perturbed ones are off by .2 degrees and 3 % of their distance from the
        first view, about what matches between a few small images leave.
    """
    if poses == 'unknown':
        return None
    errors = (ROTATION_DEG, TRANSLATION_SHARE) if poses == 'perturbed' else (0.0, 0.0)
    rng = np.random.default_rng(len(item.rgb))
    cam_from_world = invert_rigid(item.world_from_cam)
    focal_px, middle = float(item.intrinsics[0, 0, 0]), float(np.nanmedian(item.depth[0]))
    error_px = pose_error_px(cam_from_world, focal_px, middle, *errors)
    trust = 1 / (1 + error_px**2)
    return WindowCameras(item.intrinsics, perturbed(cam_from_world, rng, *errors), trust)
