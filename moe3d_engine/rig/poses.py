"""Poses of the views of one moment, from the rig and from where one of its cameras stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RIG
from moe3d_engine.types import View


def with_rig_poses(views: Sequence[View], rig: Rig, *, metric: bool) -> tuple[View, ...]:
    """
    Give the views of one moment poses of one world.

    Parameters
    ----------
    views : of one moment, one per camera. One of them may know its own pose.
    rig : where their cameras sit.
    metric : whether poses of views are in metres, as the rig is.

    Returns
    -------
    The views, in their order. Where one knows its pose first_from_odom in metres, each other gets
    cam_from_rig @ rig_from_first @ first_from_odom, of the same source. Else all get cam_from_rig,
    of the source RIG. One view by itself stays as it is.

    Raises
    ------
    KeyError
        If the rig has no such camera.
    """
    if len(views) < 2:
        return tuple(views)
    known = next((view for view in views if view.pose is not None), None)
    if known is None or known.pose is None or not metric:
        return tuple(
            replace(view, pose=PosePrior(rig.cam_from_rig(view.camera), RIG)) for view in views
        )
    pose = known.pose
    rig_from_world = invert_rigid(rig.cam_from_rig(known.camera)) @ pose.cam_from_world
    return tuple(
        view
        if view is known
        else replace(
            view, pose=replace(pose, cam_from_world=rig.cam_from_rig(view.camera) @ rig_from_world)
        )
        for view in views
    )


def check_one_size(views: Sequence[View]) -> None:
    """
    Check that the images of one moment have one size.

    Raises
    ------
    InputError
        If they have not; names the cameras.
    """
    sizes = {view.camera: view.image.shape[1::-1] for view in views}
    if len(set(sizes.values())) > 1:
        said = ', '.join(f'{camera} {width}x{height}' for camera, (width, height) in sizes.items())
        raise InputError(
            f'The cameras of a rig send images of one size; these are {said}. Set the drivers to '
            f'one resolution, or resize (image_proc).'
        )
