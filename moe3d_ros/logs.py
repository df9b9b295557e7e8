"""What is written to the ROS log, and how often."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
import logging
import time
import traceback

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn

Transition = Callable[[LifecycleNode, LifecycleState], TransitionCallbackReturn]


def logged_transition(transition: Transition) -> Transition:
    """Log outcome and duration of a lifecycle transition, and the traceback that rclpy hides."""

    @wraps(transition)
    def run(node: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        start_s = time.monotonic()
        try:
            outcome = transition(node, state)
        except Exception:
            node.get_logger().error(f'{transition.__name__} failed:\n{traceback.format_exc()}')
            raise
        duration_s = time.monotonic() - start_s
        node.get_logger().info(f'{transition.__name__}: {outcome.name} in {duration_s:.2f} s')
        return outcome

    return run


class Throttle:
    """Says whether a period has passed since it last said so for the same key."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last_s: dict[Hashable, float] = {}

    def ready(self, key: Hashable) -> bool:
        """Return whether `key` is due."""
        now_s = time.monotonic()
        if now_s - self._last_s.get(key, -self._period_s) < self._period_s:
            return False
        self._last_s[key] = now_s
        return True


@contextmanager
def engine_logs_to(logger: RcutilsLogger) -> Iterator[None]:
    """Send what the engine logs to the ROS log instead of Python's handlers."""
    engine = logging.getLogger('moe3d_engine')
    level, propagate = engine.level, engine.propagate
    handler = _RosHandler(logger)
    engine.addHandler(handler)
    engine.setLevel(logging.INFO)
    engine.propagate = False
    try:
        yield
    finally:
        engine.removeHandler(handler)
        engine.setLevel(level)
        engine.propagate = propagate


class _RosHandler(logging.Handler):
    """Writes records of Python's logging to a ROS logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; rclpy wants a line of its own for each severity."""
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
