"""What is known of a window's cameras before the network runs: poses, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
import math

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.point_hint import HINT_STRIDE
from moe3d_engine.geometry.point_hint import point_hint
from moe3d_engine.geometry.points import move_pixels
from moe3d_engine.geometry.rigid import rotation_angle
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.tracking.stream import TRACKED
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import MotionErrors
from moe3d_engine.types import RIG
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
from moe3d_engine.types import WindowCameras
import numpy as np

USUAL_DEPTH = 2.0  # of a scene of which no depth is known yet, in the unit of the poses
PARALLAX = 0.07  # of the depth; a camera that moved by so much shows another side
TURN_RAD = math.radians(8.0)


# Of keyframes that were refined together, and of poses that views come with.
BY_MAP = MotionErrors(0.015, math.radians(0.06))
GIVEN = MotionErrors(0.02, math.radians(0.15))


def window_cameras(
    intrinsics: Sequence[Float64Array | None],
    cam_from_world: Sequence[Float64Array | None],
    published: Sequence[int],
    errors: MotionErrors,
    depth: float = USUAL_DEPTH,
    hint: Float32Array | None = None,
) -> WindowCameras | None:
    """
    Return the cameras of V views, or None where there is nothing to compare a published view with.

    Parameters
    ----------
    intrinsics : V times (3, 3) in pixels of the network's input; None = not calibrated.
    cam_from_world : V times (4, 4), of one world; None = not known.
    published : indices of the views whose depth is wanted.
    errors : of one pose relative to another.
    depth : of the scene, in the unit of the poses.
    hint : (P, 2, H / 4, W / 4), see WindowCameras.
    """
    known = [
        k is not None and pose is not None
        for k, pose in zip(intrinsics, cam_from_world, strict=True)
    ]
    if sum(known) < 2 or not all(known[index] for index in published):
        return None
    lenses = np.stack([np.eye(3) if k is None else k for k in intrinsics])
    poses = np.stack([np.eye(4) if pose is None else pose for pose in cam_from_world])
    moved = poses @ invert_rigid(poses[published[0]])
    baseline = np.linalg.norm(moved[:, :3, 3], axis=1)
    error_px = lenses[:, 0, 0] * (errors.turn_rad + errors.way_share * baseline / depth)
    trust = np.where(known, 1 / (1 + error_px**2), 0.0)
    return WindowCameras(lenses, poses, trust, hint)


def has_moved(cam_from_world: Float64Array, earlier: Float64Array, depth: float) -> bool:
    """
    Return whether a camera (4, 4) sees another side of things than an earlier one did.

    Parameters
    ----------
    cam_from_world, earlier : poses in one world.
    depth : of the scene, in the unit of the poses.
    """
    motion = cam_from_world @ invert_rigid(earlier)
    has_turned = rotation_angle(motion[:3, :3]) > TURN_RAD
    return bool(has_turned or np.linalg.norm(motion[:3, 3]) > PARALLAX * depth)


class KnownCameras:
    """
    Knows the cameras of a session's windows: by tracking, or by the poses that views come with.

    Parameters
    ----------
    input_hw : (H, W) of the network's input.
    tracking : of the stream; None = views have their poses, or there are none.
    """

    def __init__(self, input_hw: tuple[int, int], tracking: StreamTracker | None) -> None:
        self._input_hw = input_hw
        self._tracking = tracking
        self._depth = USUAL_DEPTH

    def reset(self) -> None:
        """Forget how far the scene is."""
        self._depth = USUAL_DEPTH

    def has_moved(self, before: View, now: View) -> bool | None:
        """Return whether a camera sees another side of things now; None = nobody knows."""
        earlier, pose = self._poses((before, now))
        if earlier is None or pose is None:
            return None
        return has_moved(pose, earlier, self._depth)

    def of_window(self, views: Sequence[View], published: Sequence[int]) -> WindowCameras | None:
        """
        Return the cameras of a window; None where nobody knows them and the network may guess.

        While the map of a tracked stream has not begun, or is lost, they are there but not
        trusted: nothing is compared, and no time is spent on poses that nobody reads.

        Parameters
        ----------
        views : of the window, oldest first.
        published : indices of the views whose depth is wanted.
        """
        lenses = [
            None if view.intrinsics is None else self._fitted_from_source(view) @ view.intrinsics
            for view in views
        ]
        errors = GIVEN if self._tracking is None else BY_MAP
        hint = self._hint([views[index] for index in published])
        known = window_cameras(lenses, self._poses(views), published, errors, self._depth, hint)
        if known is not None or self._tracking is None:
            return known
        if not any(self._tracking.follows(view) for view in views):
            return None  # images that are no stream: nobody tracks them
        calibrated = [lens for lens in lenses if lens is not None]
        if len(calibrated) < len(lenses):
            return None
        unknown = np.tile(np.eye(4), (len(views), 1, 1))
        return WindowCameras(np.stack(calibrated), unknown, np.zeros(len(views)), hint)

    def remember(self, result: ViewResult) -> None:
        """Note how far the scene is, for windows to come."""
        self._depth = float(np.median(result.depth_raw))

    def _poses(self, views: Sequence[View]) -> list[Float64Array | None]:
        """
        Return the poses of views in one world, the newest last; None = not known.

        Where a rig says them, the map has not begun or has other metres: it is not asked.
        """
        if self._tracking is not None and not views[-1].stands_on_rig:
            poses = _poses_by_map(self._tracking, views)
            if poses is not None:
                return poses
        newest = views[-1].pose
        return [
            view.pose.cam_from_world
            if view.pose is not None and newest is not None and view.pose.source == newest.source
            else None
            for view in views
        ]

    def _hint(self, views: Sequence[View]) -> Float32Array | None:
        """Return what known points say of views, (P, 2, H / 4, W / 4); None where none are."""
        rows, columns = self._input_hw
        hint = np.zeros((len(views), 2, rows // HINT_STRIDE, columns // HINT_STRIDE), np.float32)
        for index, view in enumerate(views):
            points = view.points
            tracking = None if view.stands_on_rig else self._tracking
            if tracking is not None and tracking.follows(view):
                points = tracking.sparse_points(view.stamp_ns)
            if points is not None:
                pixels = move_pixels(points.pixels, self._fitted_from_source(view))
                hint[index] = point_hint(pixels, points.depth, self._input_hw)
        return hint if hint.any() else None

    def _fitted_from_source(self, view: View) -> Float64Array:
        """Return (3, 3) from the pixels of a view to those of the network's input."""
        return fit_geometry(view.image.shape[:2], self._input_hw).fitted_from_source


def _poses_by_map(
    tracking: StreamTracker, views: Sequence[View]
) -> list[Float64Array | None] | None:
    """
    Return the poses of views in the map as it is now; None where the newest is not in it.

    Of a rig one camera is tracked; the others stand beside it as their own poses say.
    """
    followed = [index for index, view in enumerate(views) if tracking.follows(view)]
    if not followed:
        return None
    found = tracking.cam_from_map([views[index].stamp_ns for index in followed])
    if found[-1] is None:
        return None
    poses: list[Float64Array | None] = [None] * len(views)
    for index, pose in zip(followed, found, strict=True):
        poses[index] = pose
    for index, view in enumerate(views):
        if index not in followed and view.pose is not None and view.pose.source == TRACKED:
            stamps = [abs(views[other].stamp_ns - view.stamp_ns) for other in followed]
            lead = followed[int(np.argmin(stamps))]
            beside, in_map = views[lead].pose, poses[lead]
            if beside is not None and in_map is not None:
                from_lead = view.pose.cam_from_world @ invert_rigid(beside.cam_from_world)
                poses[index] = from_lead @ in_map
    return poses


def tracked_poses(views: Sequence[View], by_network: Float64Array) -> Float64Array:
    """
    Return cam_from_world (V, 4, 4) of a window, whose world is the first view's camera.

    As tracked where all views were, as the rig says where all are of one moment, else
    `by_network`.
    """
    known = [view.pose for view in views if view.pose is not None]
    sources = {pose.source for pose in known}
    if len(known) < len(views) or sources not in ({TRACKED}, {RIG}):
        return by_network
    cam_from_odom = np.stack([pose.cam_from_world for pose in known])
    return cam_from_odom @ invert_rigid(cam_from_odom[0])
