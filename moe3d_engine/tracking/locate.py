"""Where an image is: by the map, or before there is one, by odometry, turning or guesses."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.flow import Corners
from moe3d_engine.mapping.mapper import Mapper
from moe3d_engine.mapping.sparse_map import measured_motion
from moe3d_engine.mapping.sparse_map import PointState
from moe3d_engine.mapping.start import pure_rotation
from moe3d_engine.tracking.consistency import SeenPoints
from moe3d_engine.tracking.consistency import why_not_believed
from moe3d_engine.tracking.place import HELD
from moe3d_engine.tracking.place import Located
from moe3d_engine.tracking.place import Place
from moe3d_engine.tracking.place import TURNED
from moe3d_engine.tracking.tracked_image import TrackedImage
from moe3d_engine.types import Float64Array
import numpy as np

MIN_FOLLOWED = 0.6  # of the corners, where a camera turns and nothing comes in between


def place_by_map(
    mapper: Mapper, image: TrackedImage, corners: Corners, near: Place, *, was_lost: bool
) -> Located:
    """
    Return where an image is by corners whose places are known.

    Parameters
    ----------
    mapper : has the map.
    image, corners : what is seen.
    near : where the camera was seen last.
    was_lost : whether it has been lost since.
    """
    known = mapper.map.points(corners.identities)
    placed = (known.states == PointState.TRIANGULATED) | (known.states == PointState.MEASURED)
    used = placed | (known.states == PointState.GUESSED)
    pixels = corners.pixels.astype(np.float64)
    seen = SeenPoints(known.places, pixels, known.doubt, placed).where(used)
    estimate = seen.estimate(image.intrinsics, near.cam_from_map)
    why = why_not_believed(
        estimate, seen, image.intrinsics, image.width, begun=mapper.begun, was_lost=was_lost
    )
    if estimate is None or why:
        unknown = Place(image, corners, near.reference, near.cam_from_reference)
        return Located(None, near=unknown, why=why)
    outlier = np.zeros(len(used), np.bool_)
    outlier[np.flatnonzero(used)[~estimate.inliers]] = True
    outlier &= placed
    reference = mapper.newest
    cam_from_reference = estimate.cam_from_map @ invert_rigid(reference.cam_from_map)
    place = Place(image, corners.where(~outlier), reference, cam_from_reference)
    return Located(place, estimate.information)


def place_before_map(
    mapper: Mapper, image: TrackedImage, corners: Corners, near: Place, unit_m: float
) -> Located:
    """
    Return where an image is while the map has not begun.

    By odometry, if it knows; as a turn of the first keyframe, if that explains all; by guesses; or
    where the image before was.

    Parameters
    ----------
    mapper, image, corners, near : as above.
    unit_m : metres of odometry per unit of the map.
    """
    measured = measured_motion(near.image.view.pose, image.view.pose, unit_m)
    if measured is not None:
        moved = measured.second_from_first @ near.cam_from_reference
        return Located(Place(image, corners, near.reference, moved), measured.information)
    first = mapper.newest
    turned = _turn(first.identities, first.pixels, image, corners)
    if turned is not None:
        return Located(Place(image, corners, first, turned), TURNED)
    located = place_by_map(mapper, image, corners, near, was_lost=False)
    if located.place is not None:
        return located
    return Located(Place(image, corners, near.reference, near.cam_from_reference), HELD)


def turned_on(image: TrackedImage, corners: Corners, before: Place) -> Located | None:
    """
    Return where an image is if the camera has turned on the spot, away from all known points.

    None where turning does not explain what is seen, or much has vanished: then something may have
    come in between.
    """
    if len(corners.pixels) < MIN_FOLLOWED * len(before.corners.pixels):
        return None
    old = before.corners
    turned = _turn(old.identities, old.pixels.astype(np.float64), image, corners)
    if turned is None:
        return None
    pose = turned @ before.cam_from_reference
    return Located(Place(image, corners, before.reference, pose), TURNED)


def _turn(
    identities: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    pixels: Float64Array,
    image: TrackedImage,
    corners: Corners,
) -> Float64Array | None:
    """Return image_from_other (4, 4), if only a turn lies between; see pure_rotation."""
    _, one, two = np.intersect1d(
        identities, corners.identities, assume_unique=True, return_indices=True
    )
    rotation = pure_rotation(pixels[one], corners.pixels[two].astype(np.float64), image.intrinsics)
    if rotation is None:
        return None
    turned = np.eye(4)
    turned[:3, :3] = rotation
    return turned
