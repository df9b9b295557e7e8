"""What the node counts and measures, and how /diagnostics shows it."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections import deque
from collections.abc import Mapping
import threading

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
import numpy as np

# Every image that is received is published or dropped for one of these reasons.
DROP_REASONS = (
    'busy',  # a newer image came before the engine was free
    'no_camera_info',  # no camera_info with the image's stamp came in time
    'bad_camera_info',  # K not set, unknown distortion model, or another image size
    'bad_image',  # truncated, wrong step, unknown encoding, corrupt JPEG
    'stale_stamp',  # not newer than the image before
    'bad_output',  # the engine failed or returned values that are not finite
    'no_subscriber',  # nobody listens to any output
    'stopped',  # the node was deactivated while the image waited
)
LATENCY_SAMPLES = 512


class Statistics:
    """Counts and latencies since activation; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._drops: Counter[str] = Counter()
        self._samples_ms: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=LATENCY_SAMPLES)
        )

    def count(self, name: str) -> None:
        """Count an event: `received`, `published`, `window_restarts`."""
        with self._lock:
            self._counts[name] += 1

    def drop(self, reason: str) -> None:
        """Count a dropped image; `reason` is one of DROP_REASONS."""
        if reason not in DROP_REASONS:
            raise ValueError(f'{reason!r} is no reason to drop; expected one of {DROP_REASONS}.')
        with self._lock:
            self._drops[reason] += 1

    def measure(self, samples_ms: Mapping[str, float]) -> None:
        """Add one sample to each named latency."""
        with self._lock:
            for name, value in samples_ms.items():
                self._samples_ms[name].append(value)

    def counted(self, name: str) -> int:
        """Return how often an event was counted."""
        with self._lock:
            return self._counts[name]

    def drops(self) -> dict[str, int]:
        """Return the drops by reason; reasons that never occurred are absent."""
        with self._lock:
            return dict(self._drops)

    def values(self) -> dict[str, str]:
        """Return everything as the key-value pairs of a diagnostic status."""
        with self._lock:
            values = {f'frames.{name}': str(n) for name, n in sorted(self._counts.items())}
            values |= {f'dropped.{name}': str(self._drops[name]) for name in DROP_REASONS}
            samples_ms = {name: list(samples) for name, samples in self._samples_ms.items()}
        for name, samples in samples_ms.items():
            for percent, value in zip((50, 95, 99), np.percentile(samples, (50, 95, 99)), strict=True):
                values[f'{name}.p{percent}_ms'] = f'{value:.2f}'
        return values

    def summary(self) -> str:
        """Return one line: received, published and dropped by reason."""
        drops = ', '.join(f'{reason} {n}' for reason, n in sorted(self.drops().items()))
        return (
            f'{self.counted("received")} images received, {self.counted("published")} published, '
            f'dropped: {drops or "none"}'
        )


def diagnostic_status(
    name: str, hardware_id: str, problem: str | None, values: Mapping[str, str]
) -> DiagnosticStatus:
    """Return the node's status: OK, or a warning that says what is wrong."""
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN if problem else DiagnosticStatus.OK,
        name=name,
        message=problem or 'OK',
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
