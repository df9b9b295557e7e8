"""The thread of the rig: compares what its cameras see, now and then, behind everything else."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.observer import RigObserver
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.types import View
from moe3d_ros.logs import Throttle
from moe3d_ros.priority import go_behind_poses
from moe3d_ros.sync import LatestWorker
from rclpy.impl.rcutils_logger import RcutilsLogger

LOG_PERIOD_S = 60.0  # per pair of cameras


class _Seen(NamedTuple):
    """A moment, and where its cameras sit."""

    views: tuple[View, ...]
    rig: Rig


class RigThread:
    """
    Tells the scale what the distances between cameras say, and the log of cameras that are off.

    Parameters
    ----------
    tracking : of the session; None = nobody needs metres.
    log : is warned.
    """

    def __init__(self, tracking: StreamTracker | None, log: RcutilsLogger) -> None:
        self._tracking, self._log = tracking, log
        self._throttle = Throttle(LOG_PERIOD_S)
        self._rig: Rig | None = None
        self._observer: RigObserver | None = None
        self._misplaced = ''
        self._worker = LatestWorker[_Seen](
            self._process, self._on_error, 'moe3d_rig', prepare=go_behind_poses
        )
        self._worker.start()

    # Any thread

    def submit(self, views: tuple[View, ...], rig: Rig) -> None:
        """Show a moment; it replaces one that was not looked at."""
        if len(views) > 1:
            self._worker.submit(_Seen(views, rig))

    def values(self) -> dict[str, str]:
        """Return which cameras are off, as text; empty = none."""
        return {'rig.misplaced': self._misplaced}

    def stop(self, timeout_s: float) -> None:
        """
        Let the running comparison end, and end the thread.

        Raises
        ------
        TimeoutError
            If it does not end in time.
        """
        self._worker.stop(timeout_s)

    # Its own thread

    def _process(self, seen: _Seen) -> None:
        """Compare the images of a moment where that is due."""
        if self._observer is None or seen.rig is not self._rig:
            self._rig, self._observer = seen.rig, RigObserver(seen.rig)
        tracking = self._tracking
        urgent = tracking is not None and not tracking.scale.locked
        if not self._observer.is_due(seen.views[0].stamp_ns, urgent=urgent):
            return
        found = self._observer.observe(seen.views)
        for reference in found.references:
            if tracking is not None:
                tracking.add_reference(reference)
        self._misplaced = '; '.join(
            f'{each.first} {each.second} {each.turn_deg:.2f} deg '
            f'{100 * each.direction_share:.1f} %' for each in found.misplaced
        )  # fmt: skip
        for each in found.misplaced:
            if self._throttle.ready((each.first, each.second)):
                self._log.warning(str(each))

    def _on_error(self, seen: _Seen, error: Exception) -> None:
        """Go on after an error that nobody has foreseen; depth does without."""
        if self._throttle.ready(type(error).__name__):
            text = ''.join(traceback.format_exception(error))
            self._log.error(f'The cameras of the rig were not compared: {text}')
