"""From callbacks to the worker: images with the camera_info of their stamp, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading
from typing import Generic
from typing import TypeVar

from moe3d_engine.intake.messages import stamp_ns
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

# Messages arrive in any order, and a camera_info, being small, may be several images ahead.
MAX_WAITING_IMAGES = 4
MAX_WAITING_INFOS = 64

Item = TypeVar('Item')


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """
    An image with its camera_info.

    Parameters
    ----------
    image : as it came.
    info : the camera_info of the same stamp.
    received_ns : when the image arrived, on the monotonic clock.
    """

    image: Image | CompressedImage
    info: CameraInfo
    received_ns: int

    @property
    def stamp_ns(self) -> int:
        """Return the stamp of both."""
        return stamp_ns(self.image)


class StampPairing:
    """
    Finds for each image the camera_info of exactly its stamp, whichever comes first.

    Never another camera_info: an image that finds none is dropped. One thread uses a pairing.

    Parameters
    ----------
    timeout_s : how long an image waits.
    on_unpaired : called with the stamp in ns of each image that is dropped.
    """

    def __init__(self, timeout_s: float, on_unpaired: Callable[[int], None]) -> None:
        self._timeout_ns = round(timeout_s * 1e9)
        self._on_unpaired = on_unpaired
        self._images: dict[int, tuple[Image | CompressedImage, int]] = {}
        self._infos: dict[int, CameraInfo] = {}

    def add_image(self, image: Image | CompressedImage, received_ns: int) -> Frame | None:
        """Take an image; return the frame that it completes."""
        stamp = stamp_ns(image)
        if stamp in self._infos:
            return self._pair(stamp, image, received_ns)
        self.expire(received_ns)
        if stamp in self._images or len(self._images) == MAX_WAITING_IMAGES:
            self._drop(stamp if stamp in self._images else next(iter(self._images)))
        self._images[stamp] = image, received_ns
        return None

    def add_info(self, info: CameraInfo) -> Frame | None:
        """Take a camera_info; return the frame that it completes."""
        stamp = stamp_ns(info)
        self._infos.pop(stamp, None)
        self._infos[stamp] = info
        if len(self._infos) > MAX_WAITING_INFOS:
            del self._infos[next(iter(self._infos))]
        return self._pair(stamp, *self._images.pop(stamp)) if stamp in self._images else None

    def expire(self, now_ns: int) -> None:
        """Drop the images that have waited too long."""
        for stamp, (_, received_ns) in list(self._images.items()):
            if now_ns - received_ns > self._timeout_ns:
                self._drop(stamp)

    def clear(self) -> None:
        """Drop all images that wait."""
        for stamp in list(self._images):
            self._drop(stamp)
        self._infos.clear()

    def _pair(self, stamp: int, image: Image | CompressedImage, received_ns: int) -> Frame:
        """Return a frame; images that are older than it have lost their turn."""
        for older in [waiting for waiting in self._images if waiting < stamp]:
            self._drop(older)
        return Frame(image, self._infos[stamp], received_ns)

    def _drop(self, stamp: int) -> None:
        """Drop an image that waits."""
        del self._images[stamp]
        self._on_unpaired(stamp)


class LatestWorker(Generic[Item]):
    """
    Calls `work` with the newest submitted item, in a thread of its own.

    Latest wins: an item that was not begun is replaced by the next one.

    Parameters
    ----------
    work : called in the worker's thread, one item at a time.
    on_error : called there with the item and the exception that `work` has raised; the next item
        goes on.
    """

    def __init__(
        self, work: Callable[[Item], None], on_error: Callable[[Item, Exception], None]
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._stopping = False
        # A daemon, so that a backend that never returns cannot keep the process alive.
        self._thread = threading.Thread(target=self._run, name='moe3d_worker', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, item: Item) -> Item | None:
        """Hand over an item; return the one that it replaces, if that was not begun."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify()
        return replaced

    def stop(self, timeout_s: float) -> Item | None:
        """
        Let the running item end, begin no other one, and wait for the thread.

        Returns
        -------
        The item that was not begun, if there is one.

        Raises
        ------
        TimeoutError
            If the running item has not ended after `timeout_s`. The thread may still use what it
            was given.
        """
        with self._changed:
            self._stopping = True
            left, self._item = self._item, None
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(f'The worker is still busy after {timeout_s:g} s.')
        return left

    def _run(self) -> None:
        """Work until stopped."""
        while (item := self._take()) is not None:
            try:
                self._work(item)
            except Exception as error:
                self._on_error(item, error)

    def _take(self) -> Item | None:
        """Wait for the newest item; None = stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._item is not None)
            item, self._item = self._item, None
            return None if self._stopping else item
