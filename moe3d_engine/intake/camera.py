"""From a camera's messages to views: decoded, checked, rectified; no ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from moe3d_engine.errors import InputError
from moe3d_engine.intake.drops import DroppedFrameError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.images import decode_compressed
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.intake.rectification import calibration_key
from moe3d_engine.intake.rectification import open_rectifier
from moe3d_engine.intake.rectification import Rectifier
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray


class CameraIntake:
    """
    Turns the messages of one camera into rectified views; keeps its rectifier.

    Parameters
    ----------
    compressed : whether images are CompressedImage and not Image.
    camera : name of the camera.
    """

    def __init__(self, *, compressed: bool, camera: str = 'camera') -> None:
        self.camera = camera
        self._decode = decode_compressed if compressed else decode_raw
        self._rectifier: Rectifier | None = None
        self._rectifier_key: tuple[object, ...] = ()
        self._seen: NDArray[np.bool_] | None = None  # pixels of the rectified image; None = all

    def view_of(self, image: Message, info: Message) -> View:
        """
        Decode and rectify an image with its camera_info.

        Raises
        ------
        DroppedFrameError
            If image or camera_info cannot be used.
        """
        with _dropping(DropReason.BAD_IMAGE):
            pixels = self._decode(image)
        with _dropping(DropReason.BAD_CAMERA_INFO):
            rectifier = self._rectifier_of(info, (pixels.shape[0], pixels.shape[1]))
        return View(
            image=rectifier.rectify(pixels),
            intrinsics=rectifier.intrinsics,
            stamp_ns=stamp_ns(image),
            frame_id=image.header.frame_id,
            camera=self.camera,
            seen=self._seen,
        )

    def _rectifier_of(self, info: Message, image_hw: tuple[int, int]) -> Rectifier:
        """Return the rectifier, a new one where the calibration has changed."""
        key = (image_hw, *calibration_key(info))
        if self._rectifier is None or key != self._rectifier_key:
            self._rectifier = open_rectifier(info, image_hw)
            self._rectifier_key = key
            seen = self._rectifier.seen(image_hw, image_hw)
            self._seen = None if seen.all() else seen
        return self._rectifier


@contextmanager
def _dropping(reason: DropReason) -> Iterator[None]:
    """Turn what is wrong with the input into a dropped frame."""
    try:
        yield
    except InputError as error:
        raise DroppedFrameError(reason, str(error)) from error
