"""A network whose answer is known: it reads depth off the colours, so that nothing has to run."""

from __future__ import annotations

from collections.abc import Sequence

from moe3d_engine.backend import check_images
from moe3d_engine.backend import check_sweeps
from moe3d_engine.backend import check_window
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np

INPUT_HW = (28, 42)


def depth_of_red(red: int) -> float:
    """Return the depth in metres of a pixel whose red is 0 to 255."""
    return 1 + 4 * red / 255


class ColourBackend:
    """Red in [0, 1] becomes depth 1 + 4 * red, green the agreement, blue the confidence."""

    name = 'colour'

    def __init__(self) -> None:
        self.spec = NetworkSpec('colour', INPUT_HW, 4, metric=True, confidence_tau=0.05)

    def encode(self, images: Float32Array) -> list[object]:
        """Return the images themselves."""
        check_images(images, self.spec)
        return list(images)

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Read depth, agreement and confidence off the published images."""
        check_window(len(features), publish, self.spec)
        images = np.stack([np.asarray(features[index], np.float32) for index in publish])
        pose_encoding = np.zeros((len(features), 9), np.float32)
        pose_encoding[:, 6] = 1.0  # of the quaternion that turns nothing
        pose_encoding[:, 7:] = (0.8, 1.1)
        depth = 1 + 4 * images[:, 0]
        agreement, confidence = images[:, 1].copy(), images[:, 2].copy()
        return RawOutputs(depth, confidence, agreement, pose_encoding, np.ones_like(depth))

    def estimate_cameras(self, features: Sequence[object]) -> Float32Array:
        """Refuse: the cameras come with depth."""
        check_sweeps(self.spec)
        raise NotImplementedError

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
