"""From a camera's messages to reconstructions: decode, rectify, keep the window. No ROS."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
import logging

from moe3d_engine.errors import InputError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.intake.images import decode_compressed
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.intake.rectification import calibration_key
from moe3d_engine.intake.rectification import open_rectifier
from moe3d_engine.intake.rectification import Rectifier
from moe3d_engine.node_defaults import KEYFRAME_INTERVAL_S
from moe3d_engine.node_defaults import MAX_VIEWS
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.views import ViewWindow
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

TIME_JUMP_NS = 1_000_000_000  # stamps that go back by more begin a new stream


class DropReason(Enum):
    """Why an image was received but not published; this list is all there is."""

    BUSY = 'busy'  # a newer one came before the engine was free
    NO_CAMERA_INFO = 'no_camera_info'  # none of its stamp came in time
    BAD_CAMERA_INFO = 'bad_camera_info'  # not calibrated, of another size, unknown model
    BAD_IMAGE = 'bad_image'  # wrong step, truncated, unknown encoding, corrupt
    STALE_STAMP = 'stale_stamp'  # not newer than the image before
    BAD_OUTPUT = 'bad_output'  # the engine failed or returned values that are not finite
    NO_SUBSCRIBER = 'no_subscriber'  # nobody listens to any output


class RestartReason(Enum):
    """Why the window of views was begun anew."""

    SIZE_CHANGED = 'size_changed'  # the images have another size
    TIME_JUMPED = 'time_jumped'  # stamps went back: a bag in a loop, a reset simulation
    BAD_OUTPUT = 'bad_output'  # the engine failed; its features are not trusted any more
    NO_SUBSCRIBER = 'no_subscriber'  # views from before the pause would be too old


class DroppedFrameError(Exception):
    """A frame that cannot be published; the text says what to do."""

    def __init__(self, reason: DropReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class CameraStream:
    """
    Rectifies the images of one camera, keeps the window of views and reconstructs.

    One thread uses a stream.

    Parameters
    ----------
    reconstructor : used by no one else while the stream is.
    compressed : whether images are CompressedImage and not Image.
    max_views, keyframe_interval_s : of the window; see ViewWindow.
    camera : name of the camera.
    on_restart : called when the window begins anew.
    on_news : called with a line for the log.
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        *,
        compressed: bool,
        max_views: int = MAX_VIEWS,
        keyframe_interval_s: float = KEYFRAME_INTERVAL_S,
        camera: str = 'camera',
        on_restart: Callable[[RestartReason], object] = lambda reason: None,
        on_news: Callable[[str], object] = logger.info,
    ) -> None:
        self._reconstructor = reconstructor
        self._decode = decode_compressed if compressed else decode_raw
        self._window = ViewWindow(max_views, keyframe_interval_s)
        self._camera = camera
        self._on_restart = on_restart
        self._on_news = on_news
        self._newest: View | None = None  # of the window; None = the window is empty
        self._rectifier: Rectifier | None = None
        self._rectifier_key: tuple[object, ...] = ()
        self._seen: NDArray[np.bool_] | None = None  # pixels of the network's input; None = all

    def view_of(self, image: Message, info: Message) -> View:
        """
        Decode and rectify an image with its camera_info.

        Raises
        ------
        DroppedFrameError
            If the stamp is not newer than the last one, or image or camera_info cannot be used.
        """
        self._check_stamp(stamp_ns(image))
        with _dropping(DropReason.BAD_IMAGE):
            pixels = self._decode(image)
        with _dropping(DropReason.BAD_CAMERA_INFO):
            rectifier = self._rectifier_of(info, (pixels.shape[0], pixels.shape[1]))
        return View(
            image=rectifier.rectify(pixels),
            intrinsics=rectifier.intrinsics,
            stamp_ns=stamp_ns(image),
            frame_id=image.header.frame_id,
            camera=self._camera,
        )

    def reconstruct(self, view: View) -> Reconstruction:
        """
        Reconstruct the window that a view completes; only the view itself is published.

        Raises
        ------
        DroppedFrameError
            If the engine fails.
        """
        if self._newest is not None and self._newest.image.shape != view.image.shape:
            self._on_news(
                f'The images have changed from {_size(self._newest.image)} to '
                f'{_size(view.image)}: the window begins anew.'
            )
            self.restart(RestartReason.SIZE_CHANGED)
        self._newest = view
        views = self._window.push(view)
        try:
            result = self._reconstructor.reconstruct(views, publish=(len(views) - 1,))
        except Moe3dError as error:
            self.restart(RestartReason.BAD_OUTPUT)
            raise DroppedFrameError(DropReason.BAD_OUTPUT, str(error)) from error
        return self._without_unseen(result)

    def restart(self, reason: RestartReason) -> None:
        """Forget all views, so that the next one begins a new window."""
        if self._newest is not None:
            self._newest = None
            self._window.clear()
            self._reconstructor.reset()
            self._on_restart(reason)

    def _check_stamp(self, stamp: int) -> None:
        """Drop a frame that is not newer than the last; restart where time has jumped back."""
        if self._newest is None or stamp > self._newest.stamp_ns:
            return
        back_ns = self._newest.stamp_ns - stamp
        if back_ns <= TIME_JUMP_NS:
            raise DroppedFrameError(
                DropReason.STALE_STAMP,
                f'its stamp is {back_ns / 1e6:.1f} ms before the last one. Stamps of a camera '
                f'must increase; is there a second publisher on the topic?',
            )
        self._on_news(f'Stamps went back by {back_ns / 1e9:.1f} s: the window begins anew.')
        self.restart(RestartReason.TIME_JUMPED)

    def _rectifier_of(self, info: Message, image_hw: tuple[int, int]) -> Rectifier:
        """Return the rectifier, a new one where the calibration has changed."""
        key = (image_hw, *calibration_key(info))
        if self._rectifier is None or key != self._rectifier_key:
            self._rectifier = open_rectifier(info, image_hw)
            self._rectifier_key = key
            seen = self._rectifier.seen(image_hw, self._reconstructor.backend.spec.input_hw)
            self._seen = None if seen.all() else seen
        return self._rectifier

    def _without_unseen(self, reconstruction: Reconstruction) -> Reconstruction:
        """Take away what the network has made up beyond the edge of the rectified image."""
        if self._seen is None:
            return reconstruction
        depth = np.where(self._seen, reconstruction.depth, np.float32(np.nan))
        confidence = np.where(self._seen, reconstruction.boundary_confidence, np.float32(0.0))
        return replace(reconstruction, depth=depth, boundary_confidence=confidence)


@contextmanager
def _dropping(reason: DropReason) -> Iterator[None]:
    """Turn what is wrong with the input into a dropped frame."""
    try:
        yield
    except InputError as error:
        raise DroppedFrameError(reason, str(error)) from error


def _size(image: UInt8Array) -> str:
    """Return width x height of an image."""
    return f'{image.shape[1]}x{image.shape[0]}'
