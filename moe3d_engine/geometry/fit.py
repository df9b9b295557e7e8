"""From camera images to what the network takes, with intrinsics that follow exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import crop_intrinsics
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

# How many times what the network sees an image may hold once it is resized: so much is computed
# and thrown away. A panorama of 4:1 holds 3 times as much, one of 42:1 holds 32.
MAX_CROPPED = 32


class Fit(NamedTuple):
    """How an image is fitted to the network: resized to cover its input, then cropped."""

    resized_hw: tuple[int, int]
    top: int
    left: int
    fitted_from_source: Float64Array  # (3, 3), homogeneous pixels


class FittedView(NamedTuple):
    """A view at the network's resolution."""

    image: UInt8Array  # (H, W, 3), RGB
    intrinsics: Float64Array | None  # (3, 3) in pixels of `image`
    fitted_from_source: Float64Array  # (3, 3), homogeneous pixels; invertible
    seen: NDArray[np.bool_] | None  # (H, W), False where no camera pixel lies; None = all seen


def fit_geometry(source_hw: tuple[int, int], input_hw: tuple[int, int]) -> Fit:
    """
    Return how an image of `source_hw` is resized and cropped to `input_hw`.

    Raises
    ------
    InputError
        If the image is so long and thin that nearly all of it would be cut away.

    Notes
    -----
    The resize is isotropic and covers the input; the crop is centred. Sizes are whole pixels, so
    the true ratio per axis differs by a fraction of a pixel from the common one; the matrix holds
    the true ratios.
    """
    scales = input_hw[0] / source_hw[0], input_hw[1] / source_hw[1]
    if max(scales) > MAX_CROPPED * min(scales):
        raise InputError(
            f'An image of {source_hw[1]}x{source_hw[0]} pixels is too long and thin for the '
            f'{input_hw[1]}x{input_hw[0]} of the network: 1/{max(scales) / min(scales):.0f} of it '
            f'would be left, at least 1/{MAX_CROPPED} must be. Cut it into pieces, or check the '
            f'size that its driver publishes.'
        )
    scale = max(scales)
    height = max(input_hw[0], round(source_hw[0] * scale))
    width = max(input_hw[1], round(source_hw[1] * scale))
    top, left = (height - input_hw[0]) // 2, (width - input_hw[1]) // 2
    scaled = scale_intrinsics(np.eye(3), width / source_hw[1], height / source_hw[0])
    return Fit((height, width), top, left, crop_intrinsics(scaled, left, top))


def fit_view(view: View, input_hw: tuple[int, int]) -> FittedView:
    """
    Resize and crop a view to the network's input.

    Parameters
    ----------
    view : the source view.
    input_hw : (H, W) of the network's input.

    Returns
    -------
    FittedView : its image is `view.image` itself where it has the network's size, so do not
        write into it; else it owns its pixels.

    Raises
    ------
    InputError
        As `fit_geometry`; so memory stays below MAX_CROPPED times that of the input.
    """
    fit = fit_geometry(view.image.shape[:2], input_hw)
    image = view.image
    if fit.resized_hw != image.shape[:2]:
        interpolation = _interpolation(image.shape[:2], fit)
        resized = cv2.resize(image, fit.resized_hw[::-1], interpolation=interpolation)
        image = np.asarray(resized, np.uint8)
    if image.shape[:2] != input_hw:  # a copy: a part would keep all of the image alive
        image = image[fit.top : fit.top + input_hw[0], fit.left : fit.left + input_hw[1]].copy()
    return fitted_view(view, image)


def fitted_view(view: View, image: UInt8Array) -> FittedView:
    """
    Return a view whose image was fitted to the network already, with the geometry of that.

    Parameters
    ----------
    view : the source view.
    image : (H, W, 3), what `fit_view` or a backend made of its image.
    """
    fitted_from_source = fit_geometry(view.image.shape[:2], image.shape[:2]).fitted_from_source
    intrinsics = None if view.intrinsics is None else fitted_from_source @ view.intrinsics
    seen = None
    if view.seen is not None:
        mask = np.repeat(255 * view.seen.astype(np.uint8)[..., None], 3, axis=2)
        seen = fit_view(View(mask), image.shape[:2]).image[..., 0] == 255
    return FittedView(image, intrinsics, fitted_from_source, seen)


def resampling_matrices(
    source_hw: tuple[int, int], input_hw: tuple[int, int]
) -> tuple[Float32Array, Float32Array]:
    """
    Return what `fit_view` does to an image as two matrices: rows @ channel @ columns.T.

    Parameters
    ----------
    source_hw : (source_h, source_w) of the image in pixels.
    input_hw : (H, W) of the network's input.

    Returns
    -------
    rows : (H, source_h) float32.
    columns : (W, source_w) float32. Both are resize and crop in one; `fit_view` rounds to grey
        levels and computes with 11 bits in between, so the two may differ by one level.
    """
    fit = fit_geometry(source_hw, input_hw)
    interpolation = _interpolation(source_hw, fit)
    matrices = []
    for source, resized, start, size in zip(
        source_hw, fit.resized_hw, (fit.top, fit.left), input_hw, strict=True
    ):
        matrix = np.eye(source, dtype=np.float32)
        if resized != source:
            matrix = np.asarray(
                cv2.resize(matrix, (source, resized), interpolation=interpolation), np.float32
            )
        matrices.append(np.ascontiguousarray(matrix[start : start + size]))
    return matrices[0], matrices[1]


def _interpolation(source_hw: tuple[int, int], fit: Fit) -> int:
    """Return OpenCV's flag: the mean over a pixel's area where the image becomes smaller."""
    return cv2.INTER_AREA if fit.resized_hw[0] < source_hw[0] else cv2.INTER_LINEAR


def check_same_size(views: Sequence[View]) -> None:
    """
    Raise ShapeError unless all images have one size.

    Raises
    ------
    ShapeError
        If two images differ in size; the message names both.
    """
    sizes = {view.image.shape[:2] for view in views}
    if len(sizes) > 1:
        listed = ', '.join(f'{width}x{height}' for height, width in sorted(sizes))
        raise ShapeError(
            f'All images of one call must have one size (width x height); got {listed}. '
            f'Resize them or reconstruct each size by itself.'
        )


def to_network(images: UInt8Array) -> Float32Array:
    """Return (V, H, W, 3) uint8 images as (V, 3, H, W) float32 in [0, 1]."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    planes *= np.float32(1 / 255)
    return planes
