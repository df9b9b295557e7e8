"""Corners that are followed from image to image."""

from __future__ import annotations

from typing import NamedTuple

import cv2
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

MAX_CORNERS = 350
MIN_DISTANCE_PX = 12  # between corners
WINDOW_PX = 21
LEVELS = 3
MAX_STEPS = 10  # of the search for a corner, on each level
BACK_LEVELS = 1  # on the way back, which begins where it should end
MIN_EIGENVALUE = 1e-5  # of a corner's gradients, below which it is given up
QUALITY = 1e-3  # of a new corner, relative to the image's best
CONTRAST_AREA = 0.15  # of the image's width: contrast is made equal over squares of this side
MIN_CONTRAST = 8.0  # grey levels: weaker ones are noise
CONTRAST_GAIN = 50.0
BACK_AND_FORTH_PX = 0.7
MIN_CORNERS = 40  # that are followed, below which descriptors are matched and new ones found
MIN_SHARE = 0.3  # of the corners of the image before, likewise
_SHIFT_SCALE = 4  # the shift of the whole image is found on an image so much smaller
_MIN_RESPONSE = 0.04  # of the phase correlation, below which there is no shift to speak of
_RESCUE_FEATURES, _RATIO = 600, 0.8
_STOP_BOTH = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT


class Corners(NamedTuple):
    """Followed corners: (N,) identities and (N, 2) places in pixels."""

    identities: NDArray[np.int64]
    pixels: Float32Array

    def where(self, keep: NDArray[np.bool_]) -> Corners:
        """Return some of them."""
        return Corners(self.identities[keep], self.pixels[keep])


NO_SHIFT = np.zeros(2, np.float32)
NO_CORNERS = Corners(np.empty(0, np.int64), np.empty((0, 2), np.float32))


class PreparedImage:
    """A grey image with what following needs: a small copy, and descriptors on demand."""

    def __init__(self, gray: UInt8Array) -> None:
        self.gray = equalized(gray)
        size = (gray.shape[1] // _SHIFT_SCALE, gray.shape[0] // _SHIFT_SCALE)
        small = cv2.resize(self.gray, size, interpolation=cv2.INTER_AREA)
        self.small = small.astype(np.float32)
        self._described: tuple[Float32Array, Float32Array] | None = None

    def described(self) -> tuple[Float32Array, Float32Array]:
        """Return places (F, 2) and descriptors (F, 128) of upright SIFT features."""
        if self._described is None:
            sift = cv2.SIFT.create(_RESCUE_FEATURES)
            found = sift.detect(self.gray, None)
            upright = [
                cv2.KeyPoint(p.pt[0], p.pt[1], p.size, 0.0, p.response, p.octave) for p in found
            ]
            kept, descriptors = sift.compute(self.gray, upright)
            places = np.array([p.pt for p in kept], np.float32).reshape(-1, 2)
            found_none = not len(places)
            self._described = (
                places,
                np.empty((0, 128), np.float32)
                if found_none
                else np.asarray(descriptors, np.float32),
            )
        return self._described


def equalized(gray: UInt8Array) -> UInt8Array:
    """
    Return an image in which dark and flat places have as much contrast as others.

    Each pixel is compared with the mean and the deviation of its surroundings, so that exposure
    cancels out and a corner looks the same wherever it moves.
    """
    side = round(CONTRAST_AREA * gray.shape[1]) | 1
    normal = gray.astype(np.float32)
    mean = cv2.boxFilter(gray, cv2.CV_32F, (side, side))
    deviation = cv2.sqrBoxFilter(gray, cv2.CV_32F, (side, side))
    normal -= mean
    deviation -= np.square(mean, out=mean)
    np.maximum(deviation, 0.0, out=deviation)
    np.sqrt(deviation, out=deviation)
    np.add(deviation, MIN_CONTRAST, out=deviation)
    normal /= deviation
    np.multiply(normal, CONTRAST_GAIN, out=normal)
    np.add(normal, 128.0, out=normal)
    np.clip(normal, 0, 255, out=normal)
    return normal.astype(np.uint8)


def follow(
    before: PreparedImage, now: PreparedImage, corners: Corners, shift: Float32Array
) -> Corners:
    """
    Return the corners that are found again in the next image.

    Parameters
    ----------
    before, now : the images.
    corners : of the first.
    shift : (2,) pixels by which they are likely to have moved.

    Notes
    -----
    Lucas-Kanade on pyramids, and back again: a corner that does not come back to within
    BACK_AND_FORTH_PX is given up.
    """
    if not len(corners.pixels):
        return corners
    found, kept = _flow(before, now, corners.pixels, corners.pixels + shift)
    back, came_back = _flow(now, before, found, corners.pixels, BACK_LEVELS)
    height, width = now.gray.shape
    distance = np.linalg.norm(back - corners.pixels, axis=1)
    inside = (found >= 0).all(axis=1) & (found[:, 0] < width) & (found[:, 1] < height)
    keep = kept & came_back & (distance < BACK_AND_FORTH_PX) & inside
    return Corners(corners.identities[keep], found[keep])


def find_again(before: PreparedImage, now: PreparedImage, corners: Corners) -> Corners:
    """
    Return the corners that are found again.

    They are followed from the shift of the whole image on; if that loses most, because it is the
    shift of something in front, from where they were; and if that does, too, by descriptors.
    """
    enough = max(MIN_CORNERS, MIN_SHARE * len(corners.pixels))
    found = follow(before, now, corners, whole_shift(before, now))
    if len(found.pixels) < enough:
        found = max(found, follow(before, now, corners, NO_SHIFT), key=_count)
    if len(found.pixels) < enough:
        found = max(found, rematch(before, now, corners), key=_count)
    return found


def _count(corners: Corners) -> int:
    """Return how many corners there are."""
    return len(corners.pixels)


def rematch(before: PreparedImage, now: PreparedImage, corners: Corners) -> Corners:
    """
    Return corners found again by descriptors, where the image has moved too far to follow them.

    Each corner moves as the features near it do, and is then followed from there.
    """
    source, target = match(before.described(), now.described())
    if len(source) < 8 or not len(corners.pixels):
        return NO_CORNERS
    near = np.linalg.norm(corners.pixels[:, None] - source[None], axis=2)
    nearest = np.argsort(near, axis=1)[:, :5]
    shifts = np.median((target - source)[nearest], axis=1)
    start = (corners.pixels + shifts).astype(np.float32)
    found, kept = _flow(before, now, corners.pixels, start)
    back, came_back = _flow(now, before, found, corners.pixels, BACK_LEVELS)
    keep = kept & came_back & (np.linalg.norm(back - corners.pixels, axis=1) < BACK_AND_FORTH_PX)
    return Corners(corners.identities[keep], found[keep])


def match(
    source: tuple[Float32Array, Float32Array], target: tuple[Float32Array, Float32Array]
) -> tuple[Float32Array, Float32Array]:
    """Return the places (M, 2) of features that are each other's nearest, in both images."""
    if min(len(source[1]), len(target[1])) < 2:
        return source[0][:0], target[0][:0]
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    back = {m.queryIdx: m.trainIdx for m in matcher.match(target[1], source[1])}
    pairs = [
        (best.queryIdx, best.trainIdx)
        for best, second in matcher.knnMatch(source[1], target[1], k=2)
        if best.distance < _RATIO * second.distance and back.get(best.trainIdx) == best.queryIdx
    ]
    index = np.array(pairs, np.int64).reshape(-1, 2)
    return source[0][index[:, 0]], target[0][index[:, 1]]


def new_corners(image: PreparedImage, present: Float32Array) -> Float32Array:
    """Return (N, 2) more corners, away from those present, MAX_CORNERS with them at most."""
    wanted = MAX_CORNERS - len(present)
    if wanted <= 0:
        return np.empty((0, 2), np.float32)
    mask = np.full(image.gray.shape, 255, np.uint8)
    for u, v in present.astype(np.int32).tolist():
        cv2.circle(mask, (u, v), MIN_DISTANCE_PX, 0, -1)
    found: object = cv2.goodFeaturesToTrack(
        image.gray, wanted, QUALITY, MIN_DISTANCE_PX, mask=mask
    )
    if found is None:  # a plain image
        return np.empty((0, 2), np.float32)
    places = np.asarray(found, np.float32).reshape(-1, 2)
    cv2.cornerSubPix(
        image.gray,
        places,
        (3, 3),
        (-1, -1),
        (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03),
    )
    return np.asarray(places, np.float32)


def whole_shift(before: PreparedImage, now: PreparedImage) -> Float32Array:
    """Return the shift (2,) in pixels of the whole image; 0 where none is found."""
    height, width = now.small.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    shift, response = cv2.phaseCorrelate(before.small, now.small, window)
    if response < _MIN_RESPONSE:
        return NO_SHIFT
    return _SHIFT_SCALE * np.asarray(shift, np.float32)


def _flow(
    before: PreparedImage,
    now: PreparedImage,
    pixels: Float32Array,
    start: Float32Array,
    levels: int = LEVELS,
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Return where corners have gone (N, 2), and which of them were found."""
    criteria = (_STOP_BOTH, MAX_STEPS, 0.03)
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        before.gray, now.gray, pixels, start.copy(), winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=levels, criteria=criteria, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=MIN_EIGENVALUE,
    )  # fmt: skip
    return np.asarray(found, np.float32), status[:, 0].astype(bool)


def median_parallax_px(
    first: Float64Array, second: Float64Array, rotation: Float64Array, intrinsics: Float64Array
) -> float:
    """
    Return how far points have moved beyond what the camera's turn explains.

    Parameters
    ----------
    first, second : (N, 2) pixels of the same points in two images.
    rotation : (3, 3) second_from_first.
    intrinsics : (3, 3).
    """
    if not len(first):
        return 0.0
    homography = intrinsics @ rotation @ np.linalg.inv(intrinsics)
    turned = np.c_[first, np.ones(len(first))] @ homography.T
    turned = turned[:, :2] / turned[:, 2:]
    return float(np.median(np.linalg.norm(turned - second, axis=1)))
