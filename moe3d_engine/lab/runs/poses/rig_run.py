"""A rig that stands still: its metres and its depth where its cameras see the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import project_points
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.intake.drops import Drop
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.network import Engine
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.observer import RigObserver
from moe3d_engine.rig.poses import with_rig_poses
from moe3d_engine.session import Session
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

MOMENTS = 8
MOMENT_NS = 250_000_000
GRAIN = 2.0  # grey levels of noise, another in each image
FARTHEST_M = 20.0


class RigErrors(NamedTuple):
    """
    What a rig has published of its last moment, where two of its cameras see the same.

    Parameters
    ----------
    abs_rel, abs_rel_raw : mean |d - g| / g, in metres, as published and before rejection.
    metres_off : |log| of the median of d / g.
    scale_std : published with it.
    locked : whether the scale is.
    kept : share of the pixels that is published.
    """

    abs_rel: float
    abs_rel_raw: float
    metres_off: float
    scale_std: float
    locked: bool
    kept: float


def judge_rig(engine: Engine, item: ViewSet, rig: Rig) -> RigErrors:
    """
    Let a rig stand still for two seconds, as the node does, and judge its last moment.

    Parameters
    ----------
    engine : with a network that compares views.
    item : what the cameras of the rig see, in their order, with true depth at least as fine as
        the network's.
    rig : where they sit.

    Raises
    ------
    InputError
        If a moment is dropped.
    """
    session, observer, grain = Session(engine), RigObserver(rig), np.random.default_rng(0)
    for moment in range(MOMENTS):
        result = _moment(session, item, rig, observer, grain, (moment + 1) * MOMENT_NS)
    size = result.depth.shape[1:]
    overlap = np.stack([_seen_by_others(item, k) for k in range(len(item.rgb))])
    rows, columns = (_centres(n, full) for n, full in zip(size, overlap.shape[1:], strict=True))
    truth = item.depth[:, rows[:, None], columns]
    judged = overlap[:, rows[:, None], columns] & (truth < FARTHEST_M)
    truth = np.where(judged, truth, np.nan)
    published = judged & np.isfinite(result.depth)
    error = np.abs(result.depth - truth) / truth
    error_raw = np.abs(result.depth_raw - truth) / truth
    return RigErrors(
        abs_rel=float(error[published].mean()),
        abs_rel_raw=float(error_raw[judged].mean()),
        metres_off=abs(float(np.log(np.median((result.depth / truth)[published])))),
        scale_std=result.scale.std,
        locked=result.scale.locked,
        kept=float(published.sum() / judged.sum()),
    )


def summarize(errors: Sequence[RigErrors]) -> dict[str, float]:
    """
    Return figures of several scenes.

    Means but for `metres_off`, which has its median and its most, and `scale_std`, which has its
    median; `metres_covered` is the share of scenes whose metres are off by two of it at most.
    """
    columns = dict(zip(RigErrors._fields, np.array(errors, np.float64).T, strict=True))
    metres_off, scale_std = columns['metres_off'], columns['scale_std']
    return {
        'abs_rel': float(columns['abs_rel'].mean()),
        'abs_rel_raw': float(columns['abs_rel_raw'].mean()),
        'metres_off_percent': 100 * float(np.median(metres_off)),
        'metres_off_most_percent': 100 * float(metres_off.max()),
        'scale_std_percent': 100 * float(np.median(scale_std)),
        'metres_covered': float(np.mean(metres_off <= 2 * scale_std)),
        'locked': float(columns['locked'].mean()),
        'kept': float(columns['kept'].mean()),
    }


def _moment(
    session: Session,
    item: ViewSet,
    rig: Rig,
    observer: RigObserver,
    grain: np.random.Generator,
    stamp_ns: int,
) -> Reconstruction:
    """Give the images of a moment to tracking, the network and the observer, as the node does."""
    views = [
        View(_with_grain(image, grain), matrix.astype(np.float64), stamp_ns, name, name)
        for name, image, matrix in zip(rig.cameras, item.rgb, item.intrinsics, strict=True)
    ]
    tracking = session.tracking
    assert tracking is not None
    tracked = tracking.track(views[0])
    if isinstance(tracked, Drop):
        raise InputError(f'A rendered image is not tracked: {tracked.text}')
    together = with_rig_poses([tracked.view, *views[1:]], rig, metric=tracking.scale.metric)
    result = session.push(together)
    if isinstance(result, Drop):
        raise InputError(f'A rendered moment is dropped: {result.text}')
    if observer.is_due(stamp_ns, urgent=not tracking.scale.locked):
        for reference in observer.observe(together).references:
            tracking.add_reference(reference)
    return result


def _with_grain(image: NDArray[np.uint8], grain: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) with noise."""
    noisy = image + grain.normal(0.0, GRAIN, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _seen_by_others(item: ViewSet, index: int) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of a view lie in the image of another one."""
    lenses = item.intrinsics.astype(np.float64)
    points = unproject_depth(item.depth[[index]], lenses[[index]])[0].astype(np.float64)
    height, width = item.depth.shape[1:]
    seen = np.zeros((height, width), np.bool_)
    for other in range(len(item.rgb)):
        if other == index:
            continue
        other_from_this = invert_rigid(item.world_from_cam[other]) @ item.world_from_cam[index]
        there = transform_points(other_from_this, points)
        pixels = project_points(there, lenses[other])
        inside = (pixels > 0).all(-1) & (pixels < (width - 1, height - 1)).all(-1)
        seen |= inside & (there[..., 2] > 0)
    return seen


def _centres(count: int, full: int) -> NDArray[np.int64]:
    """Return the pixels (count,) of a finer row that lie at the centres of coarser ones."""
    return ((np.arange(count) + 0.5) * full / count).astype(np.int64)
