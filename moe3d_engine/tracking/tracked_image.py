"""Views as they are tracked: grey, equalised, and not larger than tracking needs."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.mapping.flow import PreparedImage
from moe3d_engine.mapping.gray_image import gray_image
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View

MAX_WIDTH_PX = 640  # wider images are tracked at this width
SAME_SHAPE = 0.01  # of width over height
MIN_SIDE_PX = 48  # smaller ones have no room for corners


class TrackedImage(NamedTuple):
    """A view as it is tracked."""

    view: View
    prepared: PreparedImage
    intrinsics: Float64Array  # (3, 3), of the tracked pixels
    source_from_tracked: Float64Array  # (3, 3)

    @property
    def width(self) -> int:
        """Width in tracked pixels."""
        return int(self.prepared.gray.shape[1])

    @property
    def height(self) -> int:
        """Height in tracked pixels."""
        return int(self.prepared.gray.shape[0])


def why_not_tracked(view: View) -> str:
    """Return why a view cannot be tracked at all; empty where it can."""
    if view.intrinsics is None:
        return 'the camera is not calibrated: its images have no intrinsics'
    height, width = view.image.shape[:2]
    shrink = min(1.0, MAX_WIDTH_PX / width)
    if min(height, width) * shrink < MIN_SIDE_PX:
        return (
            f'an image of {width}x{height} pixels is too small or too thin: at a width of at most '
            f'{MAX_WIDTH_PX} both sides need {MIN_SIDE_PX}'
        )
    return ''


def prepare(view: View, like: TrackedImage | None = None) -> TrackedImage:
    """
    Return a view that can be tracked.

    Parameters
    ----------
    view : calibrated.
    like : the image before, whose size this one gets if it has the same shape; a camera that
        changes its resolution is followed on. Without it, it is at most MAX_WIDTH_PX wide.
    """
    assert view.intrinsics is not None
    height, width = view.image.shape[:2]
    new_width = min(width, MAX_WIDTH_PX)
    if like is not None and abs(like.height / like.width * width / height - 1) < SAME_SHAPE:
        new_width = like.width
    gray = gray_image(view, view.intrinsics, (new_width, round(height * new_width / width)))
    return TrackedImage(view, PreparedImage(gray.pixels), gray.intrinsics, gray.source_from_gray)
