"""From callbacks to the threads that work: images with the camera_info of their stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import threading
from typing import Generic
from typing import TypeVar

from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.messages import stamp_ns
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

# What waits is bounded by time, and by memory where a publisher goes wild.
MAX_WAITING_BYTES = 256 * 2**20  # of images
MAX_WAITING_INFOS = 10_000
INFO_KEEP_NS = 10_000_000_000  # a camera_info waits so long for its image, at least

SAME_STAMP = 'another image of the same stamp came. Is there a second publisher on the topic?'
OVERTAKEN = 'a newer image found its camera_info first, while that of this one had not come.'

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

    Never another camera_info: an image that finds none is dropped. A latched camera_info, which
    is published once for a camera that never changes, belongs to every image. One thread uses a
    pairing.

    Parameters
    ----------
    timeout_s : how long an image waits.
    on_drop : called with each image that is dropped.
    latched : whether the newest camera_info is that of all images.
    camera : whose images these are.
    """

    def __init__(
        self,
        timeout_s: float,
        on_drop: Callable[[Drop], None],
        *,
        latched: bool = False,
        camera: str = 'camera',
    ) -> None:
        self._timeout_ns = round(timeout_s * 1e9)
        self._on_drop = on_drop
        self._is_latched = latched
        self._camera = camera
        self._latched: CameraInfo | None = None
        self._images: dict[int, tuple[Image | CompressedImage, int]] = {}
        self._infos: dict[int, tuple[CameraInfo, int]] = {}
        self._waiting_bytes = 0
        self._num_expired_infos = 0

    def add_image(self, image: Image | CompressedImage, received_ns: int) -> Frame | None:
        """Take an image; return the frame that it completes."""
        self.expire(received_ns)
        stamp = stamp_ns(image)
        if self._latched is not None:
            return Frame(image, self._latched, received_ns)
        if stamp in self._infos:
            return self._pair(image, self._infos[stamp][0], received_ns)
        if stamp in self._images:
            self._drop(stamp, DropReason.STALE_STAMP, SAME_STAMP)
        self._images[stamp] = image, received_ns
        self._waiting_bytes += len(image.data)
        while self._waiting_bytes > MAX_WAITING_BYTES:
            text = f'images of more than {MAX_WAITING_BYTES >> 20} MiB waited for camera_info.'
            self._drop(next(iter(self._images)), DropReason.QUEUE_FULL, text)
        return None

    def add_info(self, info: CameraInfo, received_ns: int) -> Frame | None:
        """Take a camera_info; return the frame that it completes."""
        self.expire(received_ns)
        if self._is_latched:
            self._latched = info
            return self._newest_with(info)
        stamp = stamp_ns(info)
        self._infos.pop(stamp, None)
        self._infos[stamp] = info, received_ns
        if len(self._infos) > MAX_WAITING_INFOS:
            self._forget_info(next(iter(self._infos)))
        if stamp not in self._images:
            return None
        image, image_received_ns = self._take(stamp)
        return self._pair(image, info, image_received_ns)

    def expire(self, now_ns: int) -> None:
        """Drop the images that have waited too long, and forget camera_infos nobody asked for."""
        for stamp, (_, received_ns) in list(self._images.items()):
            if now_ns - received_ns > self._timeout_ns:
                self._drop(stamp, DropReason.NO_CAMERA_INFO, self._why_unpaired())
        keep_ns = max(INFO_KEEP_NS, self._timeout_ns)
        while self._infos:  # in the order in which they came
            stamp, (_, received_ns) = next(iter(self._infos.items()))
            if now_ns - received_ns <= keep_ns:
                break
            self._forget_info(stamp)

    def clear(self) -> None:
        """Drop all images that wait."""
        for stamp in list(self._images):
            self._drop(stamp, DropReason.NO_CAMERA_INFO, '')
        self._infos.clear()

    def _pair(self, image: Image | CompressedImage, info: CameraInfo, received_ns: int) -> Frame:
        """Return a frame; images that are older than it have lost their turn."""
        stamp = stamp_ns(image)
        for older in [waiting for waiting in self._images if waiting < stamp]:
            self._drop(older, DropReason.NO_CAMERA_INFO, OVERTAKEN)
        return Frame(image, info, received_ns)

    def _newest_with(self, info: CameraInfo) -> Frame | None:
        """Return the newest image that has waited for a latched camera_info."""
        if not self._images:
            return None
        image, received_ns = self._take(max(self._images))
        return self._pair(image, info, received_ns)

    def _take(self, stamp: int) -> tuple[Image | CompressedImage, int]:
        """Let an image wait no longer."""
        image, received_ns = self._images.pop(stamp)
        self._waiting_bytes -= len(image.data)
        return image, received_ns

    def _drop(self, stamp: int, reason: DropReason, text: str) -> None:
        """Drop an image that waits."""
        self._take(stamp)
        self._on_drop(Drop(reason, stamp, text, self._camera))

    def _forget_info(self, stamp: int) -> None:
        """Forget a camera_info whose image has not come."""
        del self._infos[stamp]
        self._num_expired_infos += 1

    def _why_unpaired(self) -> str:
        """Say why an image has found no camera_info, and what to do."""
        text = (
            f'no camera_info of exactly its stamp came within {self._timeout_ns / 1e9:g} s. The '
            f'driver must stamp both alike; a slow one needs a longer camera_info.timeout_s, one '
            f'that publishes it once needs camera_info.latched.'
        )
        if self._num_expired_infos:
            text += f' {self._num_expired_infos} camera_infos found no image and were let go.'
        return text


class LatestWorker(Generic[Item]):
    """
    Calls `work` with the newest submitted items in their order, in a thread of its own.

    Latest wins: where there is no room, the oldest item that was not begun makes way.

    Parameters
    ----------
    work : called in the worker's thread, one item at a time.
    on_error : called there with the item and the exception that `work` has raised; the next item
        goes on.
    name : of the thread.
    room : how many items wait at most.
    prepare : called once in the thread, before anything else.
    """

    def __init__(
        self,
        work: Callable[[Item], None],
        on_error: Callable[[Item, Exception], None],
        name: str = 'moe3d_worker',
        room: int = 1,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self._work = work
        self._prepare = prepare
        self._on_error = on_error
        self._name, self._room = name, room
        self._changed = threading.Condition()
        self._waiting: deque[Item] = deque()
        self._stopping = False
        # A daemon, so that a backend that never returns cannot keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, item: Item) -> Item | None:
        """Hand over an item; return the one that makes way for it, if one does."""
        with self._changed:
            replaced = self._waiting.popleft() if len(self._waiting) == self._room else None
            self._waiting.append(item)
            self._changed.notify()
        return replaced

    def stop(self, timeout_s: float) -> list[Item]:
        """
        Let the running item end, begin no other one, and wait for the thread.

        Returns
        -------
        The items that were not begun.

        Raises
        ------
        TimeoutError
            If the running item has not ended after `timeout_s`. The thread may still use what it
            was given.
        """
        with self._changed:
            self._stopping = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(f'{self._name} is still busy after {timeout_s:g} s.')
        return left

    def _run(self) -> None:
        """Work until stopped."""
        self._prepare()
        while (item := self._take()) is not None:
            try:
                self._work(item)
            except Exception as error:
                self._on_error(item, error)

    def _take(self) -> Item | None:
        """Wait for an item; None = stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._waiting)
            return None if self._stopping else self._waiting.popleft()
