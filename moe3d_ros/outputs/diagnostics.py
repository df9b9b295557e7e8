"""What becomes of the frames and how long it takes: counted, and told in /diagnostics."""

from __future__ import annotations

from collections import Counter
from collections import deque
from collections.abc import Mapping
import math
import os
from pathlib import Path
import threading
import time
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.network import Engine
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.topics import DIAGNOSTICS
import numpy as np
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

RECENT = 300  # durations of which percentiles are taken: 10 s at 30 Hz
PERCENTILES = (50, 95, 99)
FRESH_S = 5.0  # a problem older than this is over


class Problem(NamedTuple):
    """Why an image was dropped last, and when on the monotonic clock."""

    reason: DropReason
    text: str
    time_s: float


class Statistics:
    """Counts frames since configuration and keeps recent durations; any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames_in = 0
        self._published = 0
        self._drops: Counter[DropReason] = Counter()
        self._restarts: Counter[RestartReason] = Counter()
        self._durations_ms: dict[str, deque[float]] = {}
        self.last_problem: Problem | None = None
        self.startup_ms = math.nan  # from the start of the process until active

    def note_startup(self) -> bool:
        """Note how long the process took until now; return whether this is the first time."""
        if math.isfinite(self.startup_ms):
            return False
        self.startup_ms = 1e3 * _process_age_s()
        return math.isfinite(self.startup_ms)

    def add_frame(self) -> None:
        """Count a received image."""
        with self._lock:
            self._frames_in += 1

    def add_drop(self, drop: Drop) -> None:
        """Count a dropped image; a text says that something is wrong, and what."""
        with self._lock:
            self._drops[drop.reason] += 1
            if drop.text:
                self.last_problem = Problem(drop.reason, drop.text, time.monotonic())

    def add_restart(self, reason: RestartReason) -> None:
        """Count a new beginning of the window."""
        with self._lock:
            self._restarts[reason] += 1

    def add_published(self, durations_ms: Mapping[str, float]) -> None:
        """Count a published image, with durations in ms by name."""
        with self._lock:
            self._published += 1
            for name, duration_ms in durations_ms.items():
                self._durations_ms.setdefault(name, deque(maxlen=RECENT)).append(duration_ms)

    def values(self) -> dict[str, str]:
        """Return everything as texts for /diagnostics, such as `latency_ms.p95`."""
        with self._lock:
            values = {'frames_in': str(self._frames_in), 'published': str(self._published)}
            if math.isfinite(self.startup_ms):
                values['startup_ms'] = f'{self.startup_ms:.0f}'
            values |= {f'dropped.{r.value}': str(self._drops[r]) for r in DropReason}
            values |= {f'window_restarts.{r.value}': str(self._restarts[r]) for r in RestartReason}
            for name, recent in self._durations_ms.items():
                for percent, value in zip(
                    PERCENTILES, np.percentile(list(recent), PERCENTILES), strict=True
                ):
                    values[f'{name}.p{percent}'] = f'{value:.1f}'
        return values

    def summary(self) -> str:
        """Return the counts in one line."""
        with self._lock:
            drops = ', '.join(f'{r.value} {n}' for r, n in self._drops.items()) or 'none'
            restarts = ', '.join(f'{r.value} {n}' for r, n in self._restarts.items()) or 'none'
            return (
                f'frames in {self._frames_in}, published {self._published}; dropped: {drops}; '
                f'window restarts: {restarts}'
            )


def _process_age_s() -> float:
    """Return how long ago this process was started, to 10 ms; NaN where there is no /proc."""
    try:
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return math.nan
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf('SC_CLK_TCK')


class HealthReport:
    """
    Publishes state, settings, counts and latencies.

    Parameters
    ----------
    node : owns the publisher, which also works while the node is inactive.
    config, engine : what the node runs with.
    statistics : what has happened to the frames.
    """

    def __init__(
        self, node: LifecycleNode, config: NodeConfig, engine: Engine, statistics: Statistics
    ) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, DIAGNOSTICS, 10)
        self._name = f'{node.get_fully_qualified_name()}: {config.camera}'
        self._statistics = statistics
        scale = config.session.scale.scale(metric_weights=engine.spec.metric)
        self._settings = {
            'backend': engine.name,
            'weights': engine.spec.name,
            'scale.source': config.session.scale.source,
            'scale.factor': f'{config.session.scale.factor:g}',
            'scale.unit': scale.unit,
        }

    def publish(self, state: str, silent: bool) -> None:
        """
        Publish the report.

        Parameters
        ----------
        state : of the lifecycle.
        silent : whether images are missing.
        """
        level, text = DiagnosticStatus.OK, state
        problem = self._statistics.last_problem
        if silent:
            level, text = DiagnosticStatus.WARN, 'no images'
        elif problem is not None and time.monotonic() - problem.time_s < FRESH_S:
            is_error = problem.reason is DropReason.BAD_OUTPUT
            level = DiagnosticStatus.ERROR if is_error else DiagnosticStatus.WARN
            text = f'{problem.reason.value}: {problem.text}'
        values = {'state': state, **self._settings, **self._statistics.values()}
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        status = DiagnosticStatus(level=level, name=self._name, message=text, values=pairs)
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._publisher.publish(DiagnosticArray(header=header, status=[status]))

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)
