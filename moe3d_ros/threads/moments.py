"""From the images of several cameras to moments, which depth takes as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
import threading
import time

from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.rig.moments import MomentConfig
from moe3d_engine.rig.moments import Moments
from moe3d_engine.rig.moments import Sorted
from moe3d_ros.sync import Frame
from moe3d_ros.threads.accounts import Accounts
from moe3d_ros.threads.poses import Moment
from moe3d_ros.threads.poses import TrackedFrame


class MomentSorter:
    """
    Hands moments on as they become complete; any thread may bring images.

    Parameters
    ----------
    cameras : names, the tracked one first.
    config : tolerance and patience.
    wanted : whether anybody listens to depth. Else no image waits for another one.
    accounts : counts what happens.
    hand_on : takes moments.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        config: MomentConfig,
        wanted: Callable[[], bool],
        accounts: Accounts,
        hand_on: Callable[[Moment], None],
    ) -> None:
        self._num_cameras = len(cameras)
        self._moments = Moments[Frame | TrackedFrame](cameras, config)
        self._wanted, self._accounts, self._hand_on = wanted, accounts, hand_on
        self._mutex = threading.Lock()
        self._counts: Counter[str] = Counter()

    def submit(self, camera: str, frame: Frame | TrackedFrame) -> None:
        """Bring an image."""
        if not self._wanted():
            self.clear()
            if isinstance(frame, TrackedFrame):  # tracking itself needs its depth
                self._hand_on(Moment.of(camera, frame))
            else:
                reason = DropReason.NO_SUBSCRIBER
                self._accounts.drop(Drop(reason, frame.stamp_ns, camera=camera))
            return
        with self._mutex:
            self._use(self._moments.add(camera, frame.stamp_ns, frame, time.monotonic_ns()))

    def expire(self) -> None:
        """Let go what has waited too long; once a second."""
        with self._mutex:
            self._use(self._moments.expire(time.monotonic_ns()))

    def clear(self) -> None:
        """Let go all that waits."""
        with self._mutex:
            self._use(self._moments.clear())

    def values(self) -> dict[str, str]:
        """Return how many moments there were, and which cameras are missing, as texts."""
        now_ns = time.monotonic_ns()
        with self._mutex:
            return {
                'rig.moments': str(self._counts['moments']),
                'rig.incomplete_moments': str(self._counts['incomplete']),
                'rig.silent': ' '.join(self._moments.silent(now_ns)),
                'rig.out_of_step': ' '.join(self._moments.out_of_step(now_ns)),
            }

    def _use(self, found: Sorted[Frame | TrackedFrame]) -> None:
        """Hand on what is complete, count what is not; the caller holds the lock."""
        for unused in found.unused:
            image = unused.image
            drop = Drop(unused.reason, image.stamp_ns, unused.text, image.camera)
            self._accounts.drop(drop)
        if found.moment:
            self._counts['moments'] += 1
            self._counts['incomplete'] += len(found.moment) < self._num_cameras
            self._hand_on(Moment(found.moment))
