"""Whether a pose can be believed: enough points, all over the image, and no second motion."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.mapping.pose import estimate_pose
from moe3d_engine.mapping.pose import PoseEstimate
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

MIN_INLIERS = 12
MIN_PLACED_SHARE = 0.5  # of the points that are no guesses
MIN_FOUND_AGAIN, MIN_FOUND_SHARE = 25, 0.7  # likewise, for a lost camera to be where they say
MIN_INLIER_SHARE = 0.4
MIN_SPREAD = (
    0.06  # of the image's width, standard deviation of the inliers in the narrower direction
)
SECOND_MOTION = 0.5  # of the inliers: so many that agree on another motion are no accident
MIN_SECOND = 20


class SeenPoints(NamedTuple):
    """
    Points of the map that an image sees.

    Parameters
    ----------
    places, pixels, doubt : (N, 3), (N, 2), (N, 3) as in estimate_pose.
    placed : (N,) bool, those that are no guesses; they alone contradict a motion for certain.
    """

    places: Float64Array
    pixels: Float64Array
    doubt: Float64Array
    placed: NDArray[np.bool_]

    def estimate(self, intrinsics: Float64Array, start: Float64Array) -> PoseEstimate | None:
        """Return the pose by these points, see estimate_pose."""
        return estimate_pose(self.places, self.pixels, intrinsics, start, self.doubt)

    def where(self, keep: NDArray[np.bool_]) -> SeenPoints:
        """Return some of them."""
        return SeenPoints(
            self.places[keep], self.pixels[keep], self.doubt[keep], self.placed[keep]
        )


def why_not_believed(
    estimate: PoseEstimate | None,
    seen: SeenPoints,
    intrinsics: Float64Array,
    image_width: int,
    *,
    begun: bool,
    was_lost: bool,
) -> str:
    """
    Return why a pose is not believed; empty where it is.

    Parameters
    ----------
    estimate : the pose by these points; None = there is none.
    seen : the points.
    intrinsics : (3, 3).
    image_width : in pixels.
    begun : whether the map has begun: then guesses alone are not enough, any motion fits them.
    was_lost : whether the camera is to be found again, which needs more.
    """
    if estimate is None:
        return f'no pose explains the {len(seen.places)} points that are seen'
    return (
        _too_few(estimate, seen, begun=begun, was_lost=was_lost)
        or _too_narrow(estimate, seen, image_width)
        or _second_motion(estimate, seen, intrinsics)
    )


def _too_few(estimate: PoseEstimate, seen: SeenPoints, *, begun: bool, was_lost: bool) -> str:
    """Say where too few points agree with a pose."""
    count = int(np.count_nonzero(estimate.inliers))
    if count < max(MIN_INLIERS, MIN_INLIER_SHARE * len(seen.places)):
        return f'only {count} of {len(seen.places)} points agree with the pose'
    num_placed = int(np.count_nonzero(seen.placed))
    solid = int(np.count_nonzero(estimate.inliers & seen.placed))
    if begun and solid < max(MIN_INLIERS, MIN_PLACED_SHARE * num_placed):
        return f'only {solid} of {num_placed} placed points agree with the pose'
    if was_lost and solid < max(MIN_FOUND_AGAIN, MIN_FOUND_SHARE * num_placed):
        return f'only {solid} of {num_placed} placed points say where the lost camera is'
    return ''


def _too_narrow(estimate: PoseEstimate, seen: SeenPoints, image_width: int) -> str:
    """Say where the points that agree lie on a line, or in a heap."""
    pixels = seen.pixels[estimate.inliers]
    spread = float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(pixels.T))[0])))
    if spread < MIN_SPREAD * image_width:
        return f'all {len(pixels)} points lie within {spread:.0f} pixels of a line'
    return ''


def _second_motion(estimate: PoseEstimate, seen: SeenPoints, intrinsics: Float64Array) -> str:
    """
    Say where points that contradict a pose agree on another one.

    An object that covers much of the image carries as many points as the room does. Its motion and
    the room's then both explain their own points well, and nothing in the image says which of
    them stands still.
    """
    solid = int(np.count_nonzero(estimate.inliers & seen.placed))
    enough = max(MIN_SECOND, SECOND_MOTION * solid)
    others = seen.where(~estimate.inliers & seen.placed)
    if len(others.places) < enough:
        return ''
    second = others.estimate(intrinsics, estimate.cam_from_map)
    agree = 0 if second is None else int(np.count_nonzero(second.inliers))
    return f'{solid} points agree on one motion and {agree} on another' if agree >= enough else ''
