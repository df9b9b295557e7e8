"""From a camera's messages to views: decoded, checked, rectified; no ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging

from moe3d_engine.errors import InputError
from moe3d_engine.errors import SizeMismatchError
from moe3d_engine.intake.calibration import image_hw_of
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DroppedFrameError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.images import ImageDecoder
from moe3d_engine.intake.messages import clean_frame_id
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.intake.messages import Warn
from moe3d_engine.intake.messages import WarnOnce
from moe3d_engine.intake.rectification import Rectifier
from moe3d_engine.intake.rectification import Rectifiers
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class CameraIntake:
    """
    Turns the messages of one camera into rectified views; keeps its rectifier.

    Parameters
    ----------
    compressed : whether images are CompressedImage and not Image.
    camera : name of the camera.
    rectified : whether the images are rectified already; None = not known. See open_rectifier.
    mono16_bits : how many of 16 bits the sensor fills; None = 16. See ImageDecoder.
    warn : told once of each thing that is improbable in what the camera sends.
    """

    def __init__(
        self,
        *,
        compressed: bool,
        camera: str = 'camera',
        rectified: bool | None = None,
        mono16_bits: int | None = None,
        warn: Warn = logger.warning,
    ) -> None:
        self.camera = camera
        self._warn = WarnOnce(warn)
        self._decoder = ImageDecoder(compressed=compressed, mono16_bits=mono16_bits, warn=warn)
        self._rectifiers = Rectifiers(rectified, warn)
        self._rectifier: Rectifier | None = None
        self._seen: NDArray[np.bool_] | None = None  # pixels of the rectified image; None = all

    def view_of(self, image: Message, info: Message) -> View:
        """
        Decode and rectify an image with its camera_info.

        Raises
        ------
        DroppedFrameError
            If image or camera_info cannot be used.
        """
        with _dropping(DropReason.BAD_CAMERA_INFO):
            expected_hw = image_hw_of(info)
        with _dropping(DropReason.BAD_IMAGE):
            pixels = self._decoder.decode(image, expected_hw)
        with _dropping(DropReason.BAD_CAMERA_INFO):
            rectifier = self._rectifier_of(info, (pixels.shape[0], pixels.shape[1]))
        return View(
            image=rectifier.rectify(pixels),
            intrinsics=rectifier.intrinsics,
            stamp_ns=stamp_ns(image),
            frame_id=clean_frame_id(image.header.frame_id, self._warn),
            camera=self.camera,
            seen=self._seen,
        )

    def view_or_drop(self, image: Message, info: Message) -> View | Drop:
        """Return what `view_of` does, or the Drop that says why it cannot."""
        try:
            return self.view_of(image, info)
        except DroppedFrameError as error:
            return Drop(error.reason, stamp_ns(image), str(error), self.camera)

    def _rectifier_of(self, info: Message, image_hw: tuple[int, int]) -> Rectifier:
        """Return the rectifier, a new one where the calibration has changed."""
        rectifier = self._rectifiers.open(info, image_hw)
        if rectifier is not self._rectifier:
            seen = rectifier.seen(image_hw, image_hw)
            self._rectifier, self._seen = rectifier, None if seen.all() else seen
        return rectifier


@contextmanager
def _dropping(reason: DropReason) -> Iterator[None]:
    """Turn what is wrong with the input into a dropped frame."""
    try:
        yield
    except SizeMismatchError as error:
        raise DroppedFrameError(DropReason.BAD_CAMERA_INFO, str(error)) from error
    except InputError as error:
        raise DroppedFrameError(reason, str(error)) from error
