"""Depth of a few images by comparing each with those that were placed beside it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_angle
from moe3d_engine.session import Session
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np


def compared(
    session: Session, views: Sequence[View], windows: Sequence[Reconstruction], max_views: int
) -> Iterator[Reconstruction]:
    """
    Yield each view by itself, reconstructed again where its pose is known.

    Parameters
    ----------
    session : of a network that sweeps.
    views : V views; those that `joint_poses` has placed know their poses.
    windows : in which they were reconstructed, each view published in one, in order.
    max_views : most views that are compared at once.
    """
    placed = [view for view in views if view.pose is not None]
    slots = ((window, slot) for window in windows for slot in range(len(window.published)))
    for view, (window, slot) in zip(views, slots, strict=True):
        before = only(window, slot)
        if view.pose is None or len(placed) < 2:
            yield before
            continue
        beside = nearest(view, placed, before.results[0])[: max_views - 1]
        result = session.reconstruct((view, *beside), (0,))
        cam_from_world = [v.pose.cam_from_world for v in (view, *beside) if v.pose is not None]
        yield replace(result, cam_from_world=np.stack(cam_from_world))


def nearest(view: View, placed: Sequence[View], result: ViewResult) -> list[View]:
    """Return the other placed views, those first that see most nearly the same."""
    depth = float(np.median(result.depth_raw))
    others = [other for other in placed if other is not view]
    return sorted(others, key=lambda other: _apart(_pose(view), _pose(other), depth))


def only(window: Reconstruction, slot: int) -> Reconstruction:
    """Return a window as if one of its published views were the only one."""
    one = slice(slot, slot + 1)
    return replace(
        window,
        published=window.published[one],
        image=window.image[one],
        intrinsics=window.intrinsics[one],
        depth_raw=window.depth_raw[one],
        depth=window.depth[one],
        boundary_confidence=window.boundary_confidence[one],
        raw=window.raw.of(one),
    )


def _pose(view: View) -> Float64Array:
    assert view.pose is not None
    return view.pose.cam_from_world


def _apart(cam_from_world: Float64Array, other: Float64Array, depth: float) -> float:
    """Return how differently two cameras see a scene: angles of turn and parallax."""
    motion = cam_from_world @ invert_rigid(other)
    parallax = np.linalg.norm(motion[:3, 3]) / depth
    return float(rotation_angle(motion[:3, :3]) + parallax)
