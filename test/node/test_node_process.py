"""The node as a process: it ends cleanly, whatever it is doing when the signal comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

PROGRAM = Path(__file__).with_name('slow_node.py')
TICK_S = 0.02  # a process's age is known to 0.01 s, and is told to 0.01 s


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program; kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(90.0, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def time_of(process: subprocess.Popen[str], event: str) -> float:
    """Wait for a line of the program and return the steady time that it tells."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f'{event} '), line
    return float(line.removeprefix(event))


@pytest.mark.parametrize(
    'signals',
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]],
    ids=['sigint', 'sigterm', 'several'],
)
def test_signal_in_the_middle_of_an_inference_ends_the_node_cleanly(
    signals: list[signal.Signals],
) -> None:
    with started() as process:
        time_of(process, 'program has begun')
        time_of(process, 'inference has begun')
        for number in signals:
            process.send_signal(number)
        printed, logged = process.communicate(timeout=60.0)

    lines = printed.splitlines()
    assert process.returncode == 0, logged
    assert lines[0] == 'inference has ended'
    assert lines[-2:] == ['backend is closed', 'run_node has returned 0']
    assert 'Traceback' not in logged
    assert 'Stopped: frames in' in logged


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_inference_that_never_returns_does_not_make_the_process_abort(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv('INFERENCE_S', '1000')
    monkeypatch.setenv('WORKER_TIMEOUT_S', '0.5')
    with started() as process:
        time_of(process, 'program has begun')
        time_of(process, 'inference has begun')
        process.send_signal(number)
        printed, logged = process.communicate(timeout=60.0)

    assert process.returncode == 1, logged
    assert logged.splitlines()[-1] == 'moe3d: ended while moe3d_worker was still busy.'
    assert printed == ''


@pytest.mark.parametrize(
    ('parameter', 'text'),
    [
        ('window.max_views:=9', 'takes at most 4 views'),
        ('depth.max_m:=10', 'depth.max_m'),  # an integer for a double
        ('rejection.min_agreement:=7.0', 'rejection.min_agreement'),
    ],
)
def test_wrong_parameters_end_the_node_with_one_sentence(parameter: str, text: str) -> None:
    with started('--ros-args', '-p', parameter) as process:
        _, logged = process.communicate(timeout=60.0)

    assert process.returncode == 1
    assert text in logged
    assert 'Traceback' not in logged


def test_node_says_how_long_it_took_to_be_active() -> None:
    before_s = time.monotonic()
    with started() as process:
        after_s = time.monotonic()
        begun_s = time_of(process, 'program has begun')
        busy_s = time_of(process, 'inference has begun')
        process.send_signal(signal.SIGINT)
        _, logged = process.communicate(timeout=60.0)

    (startup_s,) = re.findall(r'Active ([0-9.]+) s after the process was started', logged)
    # It was started between `before_s` and `after_s`, and active between `begun_s` and `busy_s`.
    assert begun_s - after_s - TICK_S <= float(startup_s) <= busy_s - before_s + TICK_S
