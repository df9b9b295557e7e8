"""Run the node in this process until a signal comes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
import os
import signal
import sys
import threading

from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_backend as open_engine_backend
from moe3d_engine.errors import ConfigError
from moe3d_ros.fastdds_profile import shared_memory_troubles
from moe3d_ros.fastdds_profile import use_shipped_profile
from moe3d_ros.logs import engine_logs_to
from moe3d_ros.node import Moe3dNode
from moe3d_ros.priority import share_processor
from moe3d_ros.settings.arguments import check_overrides
from moe3d_ros.settings.arguments import ros_errors_in_one_line
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

SPIN_S = 0.2  # longest time until a signal is heard


def main() -> int:
    """Run the node until a signal comes; its transitions come from outside, as `launch` does."""
    return run_node(sys.argv, autostart=False)


def run_node(
    args: Sequence[str] | None = None,
    *,
    autostart: bool = True,
    open_backend: Callable[..., Backend] = open_engine_backend,
) -> int:
    """
    Run the node until SIGINT or SIGTERM; call it from the main thread.

    Fast DDS gets the shipped profile, unless the environment names another one. If a thread is
    still busy once everything is released, because a backend or decoder does not return, the
    process ends here: Python aborts when such a thread comes back while it shuts down.

    Parameters
    ----------
    args : command line with `--ros-args ...`; None = the process's.
    autostart : configure and activate the node; else somebody must call its services.
    open_backend : as `moe3d_engine.open_backend`.

    Returns
    -------
    Exit code: 0 after a signal, 1 if the arguments, parameters or environment of ROS are wrong,
    the node could not be started, or a thread was still busy.
    """
    use_shipped_profile()
    share_processor()
    words = sys.argv if args is None else list(args)
    threads_of_before = threading.enumerate()
    with _stop_on_signals() as stop:
        try:
            # rclpy's own handlers would end the context at once; ours lets the running inference
            # be published and everything be released in order, however many signals come.
            with ros_errors_in_one_line():
                rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
            code = _spin(words, autostart, open_backend, stop)
        except ConfigError as error:
            rclpy.logging.get_logger('moe3d').error(f'Cannot start: {error}')
            code = 1
        except ExternalShutdownException:
            code = 0
        finally:
            if rclpy.ok():
                rclpy.shutdown()
    _end_if_busy(threads_of_before)
    return code


def _spin(
    words: Sequence[str],
    autostart: bool,
    open_backend: Callable[..., Backend],
    stop: threading.Event,
) -> int:
    """Create the node, start it where asked, and run its callbacks until `stop`."""
    troubles = shared_memory_troubles()
    with ros_errors_in_one_line():
        node = Moe3dNode(open_backend)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        check_overrides(node, words)
        for trouble in troubles:
            node.get_logger().warning(trouble)
        with engine_logs_to(node.get_logger()):
            if autostart and not _start(node):
                return 1
            while not stop.is_set():
                executor.spin_once(timeout_sec=SPIN_S)
    finally:
        executor.shutdown()
        node.destroy_node()
    return 0


def _start(node: Moe3dNode) -> bool:
    """Configure and activate a node; return whether it is active."""
    return all(
        transition() == TransitionCallbackReturn.SUCCESS
        for transition in (node.trigger_configure, node.trigger_activate)
    )


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Set an event at SIGINT and SIGTERM instead of interrupting what runs."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _end_if_busy(threads_of_before: Sequence[threading.Thread]) -> None:
    """End the process at once if a newer thread, which nothing waits for, is still at work."""
    newer = [thread for thread in threading.enumerate() if thread not in threads_of_before]
    busy = [thread.name for thread in newer if thread.daemon]
    if busy:
        print(f'moe3d: ended while {", ".join(busy)} was still busy.', file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
