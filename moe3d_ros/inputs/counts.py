"""What becomes of the messages of one input: counted, and told from time to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import threading
import time

from moe3d_engine.intake.drops import SideDropReason
from moe3d_ros.logs import Throttle
from rclpy.impl.rcutils_logger import RcutilsLogger

LOG_PERIOD_S = 5.0  # per reason
SILENCE_S = 5.0
REPEAT_S = 30.0


class InputCounts:
    """
    Counts messages, drops by reason, and questions of images; any thread may use it.

    Parameters
    ----------
    name : of the input, such as `odometry`.
    log : is told why something was dropped.
    """

    def __init__(self, name: str, log: RcutilsLogger) -> None:
        self._name, self._log = name, log
        self._mutex = threading.Lock()
        self._throttle = Throttle(LOG_PERIOD_S)
        self._silence_throttle = Throttle(REPEAT_S)
        self._last_s = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._drops: Counter[SideDropReason] = Counter()

    def add_received(self) -> None:
        """Count a message."""
        with self._mutex:
            self._counts['received'] += 1
            self._last_s = time.monotonic()

    def add_asked(self, *, answered: bool) -> None:
        """Count an image that has asked, and whether something is known of its stamp."""
        with self._mutex:
            self._counts['asked'] += 1
            self._counts['answered'] += answered

    def drop(self, reason: SideDropReason, text: str) -> None:
        """Count a message that was not used, and say why."""
        with self._mutex:
            self._drops[reason] += 1
            is_due = self._throttle.ready(reason)
        if is_due:
            self._log.warning(f'{self._name}: {reason.value}: {text}')

    def check_silence(self, describe: Callable[[], str]) -> None:
        """Warn if no message has come for a while."""
        with self._mutex:
            silent_s = time.monotonic() - self._last_s
        if silent_s > SILENCE_S and self._silence_throttle.ready(None):
            self._log.warning(f'No {self._name} for {silent_s:.0f} s. {describe()}')

    def values(self) -> dict[str, int]:
        """Return all counts, such as `odometry.received` and `odometry.dropped.bad_pose`."""
        with self._mutex:
            counts = {name: self._counts[name] for name in ('received', 'asked', 'answered')}
            counts |= {f'dropped.{r.value}': n for r, n in self._drops.items()}
        return {f'{self._name}.{name}': count for name, count in counts.items()}
