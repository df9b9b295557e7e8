"""Waiting in tests: an executor spins until something holds."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.executors import Executor


def spin_until(
    executor: Executor,
    condition: Callable[[], bool],
    timeout_s: float = 20.0,
    why: Callable[[], object] = str,
) -> None:
    """Spin until a condition holds; fail if it does not in time, and say `why`."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, why()
        executor.spin_once(timeout_sec=0.02)
