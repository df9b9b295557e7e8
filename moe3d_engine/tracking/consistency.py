"""Whether a pose can be believed: enough points, all over the image, and no second motion."""

from __future__ import annotations

from moe3d_engine.mapping.pose import estimate_pose
from moe3d_engine.mapping.pose import PoseEstimate
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

MIN_INLIERS = 12
MIN_INLIER_SHARE = 0.4
MIN_SPREAD = (
    0.06  # of the image's width, standard deviation of the inliers in the narrower direction
)
SECOND_MOTION = 0.5  # of the inliers: so many that agree on another motion are no accident
MIN_SECOND = 20


def why_not_believed(
    estimate: PoseEstimate | None,
    points: Float64Array,
    pixels: Float64Array,
    doubt: Float64Array,
    intrinsics: Float64Array,
    image_width: int,
    placed: NDArray[np.bool_],
) -> str:
    """
    Return why a pose is not believed; empty where it is.

    Parameters
    ----------
    estimate : the pose by these points; None = there is none.
    points, pixels, doubt, intrinsics : as in estimate_pose.
    image_width : in pixels.
    placed : (N,) points that are triangulated, which alone contradict a motion for certain.

    Notes
    -----
    An object that covers much of the image carries as many points as the room does. Its motion and
    the room's then both explain their own points well, and nothing in the image says which of
    them stands still.
    """
    if estimate is None:
        return f'no pose explains the {len(points)} points that are seen'
    inliers = estimate.inliers
    count = int(np.count_nonzero(inliers))
    if count < MIN_INLIERS:
        return f'only {count} points agree with the pose'
    if count < MIN_INLIER_SHARE * len(points):
        return f'only {count} of {len(points)} points agree with the pose'
    spread = float(np.sqrt(np.linalg.eigvalsh(np.cov(pixels[inliers].T))[0]))
    if spread < MIN_SPREAD * image_width:
        return f'all {count} points lie within {spread:.0f} pixels of a line'
    others = ~inliers & placed
    solid = int(np.count_nonzero(inliers & placed))
    if np.count_nonzero(others) >= max(MIN_SECOND, SECOND_MOTION * solid):
        second = estimate_pose(
            points[others], pixels[others], intrinsics, estimate.cam_from_map, doubt[others]
        )
        agree = 0 if second is None else int(np.count_nonzero(second.inliers))
        if agree >= max(MIN_SECOND, SECOND_MOTION * solid):
            return f'{solid} points agree on one motion and {agree} on another'
    return ''
