"""What becomes of each image: counted, published as an event, and told from time to time."""

from __future__ import annotations

from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import Restart
from moe3d_ros.logs import Throttle
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.outputs.drops import DropEvents
from rclpy.impl.rcutils_logger import RcutilsLogger

LOG_PERIOD_S = 5.0  # per reason of a drop or restart


class Accounts:
    """
    Keeps the books of all threads, until they are closed: then nothing is heard any more.

    Parameters
    ----------
    statistics, events : count and publish.
    log : is told what is wrong.
    """

    def __init__(self, statistics: Statistics, events: DropEvents, log: RcutilsLogger) -> None:
        self.statistics = statistics
        self._events, self._log = events, log
        self._throttle = Throttle(LOG_PERIOD_S)
        self.closed = False  # a thread did not end; what it still does goes nowhere

    def drop(self, drop: Drop) -> None:
        """Count and publish a drop; warn at times where something is wrong."""
        if self.closed:
            return
        self.statistics.add_drop(drop)
        self._events.publish(drop)
        if drop.text and self._throttle.ready(drop.reason):
            self._log.warning(f'Dropped an image ({drop.reason.value}): {drop.text}')

    def drop_untracked(self, drop: Drop) -> None:
        """Do the same where the image has not been tracked, either."""
        if not self.closed:
            self.statistics.add_untracked()
        self.drop(drop)

    def restart(self, restart: Restart) -> None:
        """Count a window that begins anew, and say so at times."""
        self.statistics.add_restart(restart.reason)
        if restart.text and self._throttle.ready(restart.reason):
            self._log.info(restart.text)

    def restart_tracking(self, restart: Restart) -> None:
        """Count tracking that begins anew; its window says what is news."""
        self.statistics.add_tracking_restart(restart.reason)
