"""Where an image is in the map, or why that is not known."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.mapping.flow import Corners
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.tracking.tracked_image import TrackedImage
from moe3d_engine.types import Float64Array
import numpy as np

# How surely a camera is where it was, before there is anything to place it by: 10 cm and 3 deg.
HELD = np.diag(np.repeat([0.1, 0.05], 3) ** -2.0)

# The same of a camera that seems to turn only: 2 cm and .1 deg.
TURNED = np.diag(np.repeat([0.02, 0.002], 3) ** -2.0)


class Place(NamedTuple):
    """Where an image is in the map: relative to a keyframe, whose own pose may still change."""

    image: TrackedImage
    corners: Corners
    reference: Keyframe
    cam_from_reference: Float64Array

    @property
    def cam_from_map(self) -> Float64Array:
        """The pose in the map as it is now."""
        return self.cam_from_reference @ self.reference.cam_from_map

    def rescaled(self, factor: float) -> Place:
        """Return it in a map whose lengths are so many times as long."""
        pose = self.cam_from_reference.copy()
        pose[:3, 3] *= factor
        return self._replace(cam_from_reference=pose)


class Located(NamedTuple):
    """Where an image is and how surely (6, 6), or why that is not known."""

    place: Place | None
    information: Float64Array = HELD
    near: Place | None = None  # what the image sees, at the last known place
    why: str = ''
