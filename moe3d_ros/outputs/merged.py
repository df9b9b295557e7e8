"""The clouds of all cameras of a rig as one, in the rig's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from moe3d_engine.geometry.output_view import at_resolution
from moe3d_engine.geometry.points import best_in_voxels
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.types import Float32Array
from moe3d_engine.types import ViewResult
from moe3d_ros.outputs.messages import cloud_values
from moe3d_ros.settings.cloud import CloudForm
import numpy as np


def merged_values(
    results: Sequence[ViewResult], rig: Rig, resolution: str | int, form: CloudForm
) -> Float32Array:
    """
    Return the known points of several cameras in the frame of their rig.

    Parameters
    ----------
    results : of one moment, in metres; of cameras of the rig.
    rig : where they sit.
    resolution : as of `at_resolution`.
    form : thins each cloud by rows and columns, and all together by cubes.

    Returns
    -------
    (1, points, 5) float32, as those of `cloud_values`.
    """
    each = replace(form, organized=False, voxel_m=0.0)
    clouds = []
    for result in results:
        values = cloud_values(at_resolution(result, resolution), each)[0]
        values[:, :3] = transform_points(rig.rig_from_camera[result.view.camera], values[:, :3])
        clouds.append(values)
    merged = np.concatenate(clouds)
    if form.voxel_m > 0.0:
        merged = merged[best_in_voxels(merged[:, :3], merged[:, 4], form.voxel_m)]
    return merged[None]
