"""Many images of one camera in the order in which they were taken, placed by tracking."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
import logging

from moe3d_engine.errors import BackendError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.intake.drops import Drop
from moe3d_engine.session import Session
from moe3d_engine.tracking.stream import TRACKED
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
import numpy as np

logger = logging.getLogger(__name__)

NOT_PLACED = 'none'


def is_stream(views: Sequence[View]) -> bool:
    """Whether views are of one calibrated camera, each taken after the one before."""
    return (
        len({(view.camera, view.frame_id) for view in views}) == 1
        and all(view.intrinsics is not None for view in views)
        and all(before.stamp_ns < view.stamp_ns for before, view in pairwise(views))
    )


def reconstruct_stream(
    session: Session, views: Sequence[View], on_progress: Callable[[int], object]
) -> Iterator[tuple[Reconstruction, str]]:
    """
    Yield each view by itself as the node would publish it, and by what its pose is known.

    Parameters
    ----------
    session : with tracking, used from its beginning.
    views : `is_stream`.
    on_progress : called after each view with 1.

    Yields
    ------
    reconstruction : of the view alone; the world is the camera of the first view that is placed.
        Without a pose `cam_from_world` is NaN.
    source : TRACKED, or NOT_PLACED: the map had not begun, or the camera was lost.

    Raises
    ------
    BackendError
        If the network fails.
    """
    assert session.tracking is not None
    session.reset()
    world_from_odom: Float64Array | None = None
    for view in views:
        tracked = session.tracking.track(view)
        placed = view if isinstance(tracked, Drop) else tracked.view
        result = session.push((placed,))
        if isinstance(result, Drop):
            raise BackendError(f'The image at {view.stamp_ns} ns: {result.text}')
        cam_from_world = np.full((4, 4), np.nan)
        if placed.pose is not None:
            cam_from_odom = placed.pose.cam_from_world
            if world_from_odom is None:
                world_from_odom = cam_from_odom
            cam_from_world = cam_from_odom @ invert_rigid(world_from_odom)
        source = NOT_PLACED if placed.pose is None else TRACKED
        alone = replace(
            result, views=(placed,), published=(0,), cam_from_world=cam_from_world[None]
        )
        on_progress(1)
        yield alone, source


def say_what_is_placed(sources: Sequence[str]) -> None:
    """Write to the log how many views have a pose."""
    left = sources.count(NOT_PLACED)
    level = logging.WARNING if left else logging.INFO
    logger.log(
        level, 'Tracking has placed %d of %d images; the others are not in the cloud.',
        len(sources) - left, len(sources),
    )  # fmt: skip
