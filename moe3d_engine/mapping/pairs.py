"""Pairs of images in any order: features, matches, and how one camera stood to the other."""

from __future__ import annotations

import re
from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.mapping.flow import MIN_EIGENVALUE
from moe3d_engine.mapping.start import essential_pose
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

MAX_FEATURES = 4000
MIN_CONTRAST = 0.02  # of a feature, as OpenCV defines it; half of its default
DESCRIBED_SIDE_PX = 800  # long side at which features are sought; small images are enlarged
MAX_ENLARGED = 2.0
RATIO = 0.8  # of the distances to the best and the second best match
MIN_MATCHES = 12  # that one motion explains
MIN_PARALLAX_PX = 1.0  # median motion that no turn of the camera explains
NUM_SAMPLES = 5000
SHARPENED_BY_PX, MAX_SHARPENED_PX = 11, 1.0  # side of the surroundings; how far at most
# OpenCV before 4.8, which the ROS distributions carry, halves the places in its doubled image
# without the half pixel between their grids: all lie a quarter of a pixel too far right and down.
HAS_PRECISE_UPSCALE = tuple(map(int, re.findall(r'\d+', cv2.__version__)[:2])) >= (4, 8)
IMPRECISE_PX = 0.25
FARTHEST = 1000.0  # point, in distances between the two cameras


class Features(NamedTuple):
    """
    What is found in an image.

    Parameters
    ----------
    pixels : (F, 2) places on the image's own pixels, each once.
    place : (D,) at which of them a descriptor was made; a place with several directions has more.
    descriptors : (D, 128) of unit length.
    """

    pixels: Float64Array
    place: NDArray[np.int64]
    descriptors: Float32Array


class Pair(NamedTuple):
    """
    Two images that show the same things.

    Parameters
    ----------
    first, second : indices of the images.
    places : (M, 2) rows of the features' pixels in both, that agree with the motion.
    second_from_first : (4, 4), its translation of length 1.
    parallax_px : median motion of the points that no turn explains.
    """

    first: int
    second: int
    places: NDArray[np.int64]
    second_from_first: Float64Array
    parallax_px: float


def find_features(
    gray: UInt8Array, seen: NDArray[np.bool_] | None = None, max_features: int = MAX_FEATURES
) -> Features:
    """
    Return the SIFT features of an image.

    Parameters
    ----------
    gray : (H, W).
    seen : (H, W), False where the image shows nothing; None = all is seen.
    max_features : the strongest ones that are kept.

    Notes
    -----
    Small images are enlarged first, which halves the error of the places. The descriptors are
    compared by the roots of their entries (Arandjelovic and Zisserman 2012).
    """
    height, width = gray.shape
    scale = min(MAX_ENLARGED, DESCRIBED_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_AREA
    described = cv2.resize(gray, size, interpolation=interpolation)
    mask = None
    if seen is not None:
        mask = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    sift, shift_px = _sift(max_features)
    found, described_by = sift.detectAndCompute(described, mask)
    if not found:
        return Features(np.empty((0, 2)), np.empty(0, np.int64), np.empty((0, 128), np.float32))
    to_source = scale_intrinsics(np.eye(3), width / size[0], height / size[1])
    enlarged = np.array([point.pt for point in found], np.float64) - shift_px
    pixels, place = np.unique(
        enlarged * to_source[[0, 1], [0, 1]] + to_source[:2, 2], axis=0, return_inverse=True
    )
    roots = np.asarray(described_by, np.float32)
    roots = np.sqrt(roots / np.maximum(roots.sum(axis=1, keepdims=True), 1e-9))
    return Features(pixels, place.reshape(-1).astype(np.int64), roots)


def _sift(max_features: int) -> tuple[cv2.SIFT, float]:
    """Return the detector, and by how many pixels its places lie too far right and down."""
    if HAS_PRECISE_UPSCALE:
        sift = cv2.SIFT.create(
            max_features, contrastThreshold=MIN_CONTRAST, enable_precise_upscale=True
        )
        return sift, 0.0
    return cv2.SIFT.create(max_features, contrastThreshold=MIN_CONTRAST), IMPRECISE_PX


def match(first: Features, second: Features) -> NDArray[np.int64]:
    """Return the places (M, 2) of features that are each other's nearest and clearly so."""
    if min(len(first.place), len(second.place)) < 2:
        return np.empty((0, 2), np.int64)
    likeness = first.descriptors @ second.descriptors.T
    there = likeness.argmax(axis=1)
    back = likeness.argmax(axis=0)
    row = np.arange(len(there))
    best = likeness[row, there]
    likeness[row, there] = -1.0
    runner_up = likeness.max(axis=1)
    clear = 1.0 - best < RATIO**2 * (1.0 - runner_up)  # squared distances are 2 - 2 likeness
    kept = clear & (back[there] == row)
    return np.unique(np.stack([first.place[kept], second.place[there[kept]]], axis=1), axis=0)


def find_pair(
    index: tuple[int, int],
    features: tuple[Features, Features],
    intrinsics: tuple[Float64Array, Float64Array],
) -> Pair | None:
    """Return the matches of two images that one motion explains; None where too few are."""
    pixels = features[0].pixels, features[1].pixels
    return agreeing_pair(index, pixels, intrinsics, match(*features))


def agreeing_pair(
    index: tuple[int, int],
    pixels: tuple[Float64Array, Float64Array],
    intrinsics: tuple[Float64Array, Float64Array],
    places: NDArray[np.int64],
) -> Pair | None:
    """
    Return a pair with the matches that one motion explains; None where too few are.

    Parameters
    ----------
    index : of the two images.
    pixels : (F, 2) places of features in each.
    intrinsics : (3, 3) of each.
    places : (M, 2) rows of the pixels that match, some of them wrongly.
    """
    rays = [
        np.c_[found[rows], np.ones(len(rows))] @ np.linalg.inv(matrix).T
        for found, rows, matrix in zip(pixels, places.T, intrinsics, strict=True)
    ]
    common = (intrinsics[0] + intrinsics[1]) / 2
    first, second = ((ray @ common.T)[:, :2] for ray in rays)
    found = essential_pose(first, second, common, MIN_MATCHES, NUM_SAMPLES, FARTHEST)
    if found is None:
        return None
    pose, agree = found
    if np.count_nonzero(agree) < MIN_MATCHES:
        return None
    parallax_px = _parallax_px(rays[0][agree], rays[1][agree], common)
    return Pair(*index, places[agree], pose, parallax_px)


def _parallax_px(first: Float64Array, second: Float64Array, intrinsics: Float64Array) -> float:
    """Return the median distance in pixels that is left after the best turn; rays (M, 3)."""
    unit = [rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (first, second)]
    weight = np.ones(len(first))
    error = weight
    for _ in range(5):  # the median rather than the mean: reweighted
        left, _, right = np.linalg.svd((unit[1] * weight[:, None]).T @ unit[0])
        turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        turned = first @ turn.T
        shift = (turned[:, :2] / turned[:, 2:] - second[:, :2]) @ intrinsics[:2, :2].T
        error = np.linalg.norm(shift, axis=1)
        weight = 1.0 / np.maximum(error, 0.1)
    return float(np.median(error))


def sharpened(
    first: UInt8Array, second: UInt8Array, pixels: tuple[Float64Array, Float64Array]
) -> Float64Array:
    """
    Return the places in the second image whose surroundings look like those in the first.

    Parameters
    ----------
    first, second : (H, W) grey images.
    pixels : (N, 2) of matches, in both.

    Returns
    -------
    (N, 2); a place that would move by more than MAX_SHARPENED_PX stays where it is.
    """
    if not len(pixels[0]):
        return pixels[1]
    start = pixels[1].astype(np.float32)
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        first, second, pixels[0].astype(np.float32), start.copy(),
        winSize=(SHARPENED_BY_PX, SHARPENED_BY_PX), maxLevel=0,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.005),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=MIN_EIGENVALUE,
    )  # fmt: skip
    near = np.linalg.norm(found - start, axis=1) < MAX_SHARPENED_PX
    moved = status[:, 0].astype(bool) & near
    return np.where(moved[:, None], found.astype(np.float64), pixels[1])
