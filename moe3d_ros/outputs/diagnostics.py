"""What becomes of the frames and how long it takes: counted, and told in /diagnostics."""

from __future__ import annotations

from collections import Counter
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence
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
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Scale
from moe3d_ros.outputs.pose_messages import scale_texts
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
        self.cameras: tuple[str, ...] = ()  # of a rig: each of them is counted, too
        self._of_cameras: Counter[str] = Counter()
        self._published = 0
        self._drops: Counter[DropReason] = Counter()
        self._restarts: Counter[RestartReason] = Counter()
        self._tracked: Counter[TrackingStatus] = Counter()
        self._untracked = 0
        self._poses_held_back = 0
        self._tracking_restarts: Counter[RestartReason] = Counter()
        self._durations_ms: dict[str, deque[float]] = {}
        self.last_problem: Problem | None = None
        self.startup_ms = math.nan  # from the start of the process until active

    def note_startup(self) -> bool:
        """Note how long the process took until now; return whether this is the first time."""
        if math.isfinite(self.startup_ms):
            return False
        self.startup_ms = 1e3 * _process_age_s()
        return math.isfinite(self.startup_ms)

    def add_frame(self, camera: str) -> None:
        """Count a received image."""
        with self._lock:
            self._frames_in += 1
            self._of_cameras[f'{camera}.frames_in'] += 1

    def add_drop(self, drop: Drop) -> None:
        """Count a dropped image; a text says that something is wrong, and what."""
        with self._lock:
            self._drops[drop.reason] += 1
            self._of_cameras[f'{drop.camera}.dropped.{drop.reason.value}'] += 1
            if drop.text:
                self.last_problem = Problem(drop.reason, drop.text, time.monotonic())

    def add_restart(self, reason: RestartReason) -> None:
        """Count a new beginning of the window."""
        with self._lock:
            self._restarts[reason] += 1

    def add_published(self, durations_ms: Mapping[str, float], cameras: Sequence[str]) -> None:
        """Count the published images of one moment, with durations in ms by name."""
        with self._lock:
            self._published += len(cameras)
            self._of_cameras.update(f'{camera}.published' for camera in cameras)
            self._add_durations(durations_ms)

    def add_tracked(
        self, status: TrackingStatus, durations_ms: Mapping[str, float], *, held_back: bool
    ) -> None:
        """Count an image that was tracked; its pose may be held back until metres are known."""
        with self._lock:
            self._tracked[status] += 1
            self._poses_held_back += held_back
            self._add_durations(durations_ms)

    def add_untracked(self) -> None:
        """Count an image that was dropped before it could be tracked."""
        with self._lock:
            self._untracked += 1

    def add_tracking_restart(self, reason: RestartReason) -> None:
        """Count a new beginning of tracking."""
        with self._lock:
            self._tracking_restarts[reason] += 1

    def values(self) -> dict[str, str]:
        """Return everything as texts for /diagnostics, such as `latency_ms.p95`."""
        with self._lock:
            values = {'frames_in': str(self._frames_in), 'published': str(self._published)}
            if math.isfinite(self.startup_ms):
                values['startup_ms'] = f'{self.startup_ms:.0f}'
            values |= {f'dropped.{r.value}': str(self._drops[r]) for r in DropReason}
            values |= {f'window_restarts.{r.value}': str(self._restarts[r]) for r in RestartReason}
            values |= {f'tracked.{s.value}': str(self._tracked[s]) for s in TrackingStatus}
            values['untracked'] = str(self._untracked)
            values['poses_held_back'] = str(self._poses_held_back)
            for reason in RestartReason:
                count = self._tracking_restarts[reason]
                values[f'tracking_restarts.{reason.value}'] = str(count)
            for name, recent in self._durations_ms.items():
                for percent, value in zip(
                    PERCENTILES, np.percentile(list(recent), PERCENTILES), strict=True
                ):
                    values[f'{name}.p{percent}'] = f'{value:.1f}'
            values |= self._values_of_cameras()
        return values

    def _values_of_cameras(self) -> dict[str, str]:
        """Return the counts of each camera of a rig; the caller holds the lock."""
        if len(self.cameras) < 2:
            return {}
        always = [f'{c}.{count}' for c in self.cameras for count in ('frames_in', 'published')]
        names = dict.fromkeys([*always, *sorted(self._of_cameras)])
        return {f'camera.{name}': str(self._of_cameras[name]) for name in names}

    def summary(self) -> str:
        """Return the counts in one line."""
        with self._lock:
            drops = ', '.join(f'{r.value} {n}' for r, n in self._drops.items()) or 'none'
            restarts = ', '.join(f'{r.value} {n}' for r, n in self._restarts.items()) or 'none'
            tracked = ', '.join(f'{s.value} {n}' for s, n in self._tracked.items()) or 'none'
            return (
                f'frames in {self._frames_in}, published {self._published}; dropped: {drops}; '
                f'window restarts: {restarts}; poses: {tracked}, untracked {self._untracked}'
            )

    def _add_durations(self, durations_ms: Mapping[str, float]) -> None:
        """Keep durations; the caller holds the lock."""
        for name, duration_ms in durations_ms.items():
            self._durations_ms.setdefault(name, deque(maxlen=RECENT)).append(duration_ms)


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
        self._name = f'{node.get_fully_qualified_name()}: {", ".join(config.rig.cameras)}'
        statistics.cameras = config.rig.cameras
        self._statistics = statistics
        self._scale = config.session.scale.scale(metric_weights=engine.spec.metric)
        self._settings = {
            'backend': engine.name,
            'weights': engine.spec.name,
            'poses.source': config.session.poses,
        }

    def publish(
        self,
        state: str,
        silent: Sequence[str],
        scale: Scale | None = None,
        counts: Mapping[str, str] | None = None,
    ) -> None:
        """
        Publish the report.

        Parameters
        ----------
        state : of the lifecycle.
        silent : cameras whose images are missing.
        scale : as it is known now; None = as it is without any measurement.
        counts : of what came in beside the images, and of moments.
        """
        level, text = DiagnosticStatus.OK, state
        problem = self._statistics.last_problem
        if silent:
            of = f' of {", ".join(silent)}' if len(self._statistics.cameras) > 1 else ''
            level, text = DiagnosticStatus.WARN, f'no images{of}'
        elif problem is not None and time.monotonic() - problem.time_s < FRESH_S:
            is_error = problem.reason is DropReason.BAD_OUTPUT
            level = DiagnosticStatus.ERROR if is_error else DiagnosticStatus.WARN
            text = f'{problem.reason.value}: {problem.text}'
        values = {'state': state, **self._settings, **_scale_values(scale or self._scale)}
        values |= self._statistics.values()
        values |= counts or {}
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        status = DiagnosticStatus(level=level, name=self._name, message=text, values=pairs)
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._publisher.publish(DiagnosticArray(header=header, status=[status]))

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)


def _scale_values(scale: Scale) -> dict[str, str]:
    """Return a scale as texts, such as `scale.std`, that of the logarithm of the factor."""
    return {f'scale.{name}': text for name, text in scale_texts(scale).items()}
