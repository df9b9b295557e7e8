"""What a process takes of the machine over time, from /proc; Linux only."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
import os
from pathlib import Path
import threading
import time

PERIOD_S = 0.25


@dataclass(slots=True)
class Usage:
    """
    Samples of a process; one entry each per sample.

    Parameters
    ----------
    time_s : since the first sample.
    cpu_percent : of one core, over the time since the sample before; 200 = two cores.
    rss_mb : resident memory in megabytes.
    """

    time_s: list[float] = field(default_factory=list)
    cpu_percent: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


class UsageMonitor:
    """
    Samples a process in a thread of its own until it is stopped or the process ends.

    Parameters
    ----------
    pid : of the process.
    """

    def __init__(self, pid: int) -> None:
        self.usage = Usage()
        self._folder = Path('/proc') / str(pid)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name='usage', daemon=True)

    def __enter__(self) -> UsageMonitor:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop sampling."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        """Sample until there is nothing left to sample."""
        try:
            start_s, before = time.monotonic(), self._cpu_s()
            last_s = start_s
            while not self._stopped.wait(PERIOD_S):
                now_s, cpu_s = time.monotonic(), self._cpu_s()
                self.usage.time_s.append(round(now_s - start_s, 3))
                self.usage.cpu_percent.append(round(100 * (cpu_s - before) / (now_s - last_s), 1))
                self.usage.rss_mb.append(round(self._rss_bytes() / 1e6, 1))
                last_s, before = now_s, cpu_s
        except (OSError, IndexError, ValueError):  # the process has ended, or there is no /proc
            return

    def _cpu_s(self) -> float:
        """Return the processor time of all threads so far."""
        values = _stat_fields(self._folder)  # utime, stime
        return (int(values[11]) + int(values[12])) / os.sysconf('SC_CLK_TCK')

    def _rss_bytes(self) -> int:
        """Return the resident memory."""
        pages = int((self._folder / 'statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE')


def _stat_fields(folder: Path) -> list[str]:
    """Return the fields of a process behind its name in brackets, which may hold blanks."""
    return (folder / 'stat').read_text().rpartition(')')[2].split()
