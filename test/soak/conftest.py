"""The node and a camera as processes, somebody who listens, and the report of the soak."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from moe3d_ros.fastdds_profile import use_shipped_profile
from moe3d_ros.tools.own_module import own_module
from nav_msgs.msg import Odometry
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

CAMERA = Path(__file__).with_name('camera.py')
# Ten seconds of work, of which a busy machine gives a tenth of a core.
START_S = 600.0
STOP_S = 120.0  # the worker's running inference is waited for
OUT = Path(os.environ.get('MOE3D_SOAK_OUT', 'out/soak'))


class Process:
    """A process of the soak, with a log."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open('ab') as file:
            self.popen = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def end(self, number: int) -> int:
        """Send a signal and return the code with which the process ends."""
        self.popen.send_signal(number)
        return self.popen.wait(STOP_S)

    def sample(self) -> dict[str, float]:
        """Return what the process holds of the machine."""
        folder = Path('/proc', str(self.popen.pid))
        pages = int((folder / 'statm').read_text().split()[1])
        return {
            'rss_mb': round(pages * os.sysconf('SC_PAGE_SIZE') / 1e6, 1),
            'threads': len(os.listdir(folder / 'task')),
            'files': len(os.listdir(folder / 'fd')),
        }


class Listener:
    """Takes depth, odometry and diagnostics, and looks at every value."""

    def __init__(self, camera: str) -> None:
        self.context = rclpy.Context()
        self.context.init()
        self.node = rclpy.create_node('listener', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.num_depths = 0
        self.num_poses = 0
        self.num_impossible = 0  # depth messages that hold what REP 117 does not know
        self.diagnostics: dict[str, str] = {}
        topic = f'/moe3d/{camera}/depth/image_rect'
        self.node.create_subscription(Image, topic, self._take_depth, 10)
        self.node.create_subscription(Odometry, '/moe3d/odometry', self._take_pose, 100)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._take_diagnostics, 10)

    def _take_depth(self, message: Image) -> None:
        depth = np.frombuffer(message.data, np.float32)
        self.num_depths += 1
        self.num_impossible += not (np.isnan(depth) | (depth > 0)).all()

    def _take_pose(self, message: Odometry) -> None:
        self.num_poses += 1

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if 'moe3d' in status.name:
                self.diagnostics = {pair.key: pair.value for pair in status.values}

    def spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Take messages until a condition holds or the time is over; return whether it holds."""
        end_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.05)
        return condition()

    def wait_for_depth(self) -> None:
        """Wait until depth comes (again)."""
        before = self.num_depths
        comes = self.spin_until(lambda: self.num_depths > before + 2, START_S)
        assert comes, f'no depth comes; the node says {self.diagnostics}'

    def close(self) -> None:
        """Stop listening."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


class Soak:
    """What the tests of a soak share."""

    def __init__(self, folder: Path, cameras: Sequence[str] = ('camera',)) -> None:
        self.folder, self._cameras = folder, cameras
        self.listener = Listener(cameras[0])
        self.minutes = float(os.environ.get('MOE3D_SOAK_MINUTES', '10'))

    @contextmanager
    def node(self, *arguments: str) -> Iterator[Process]:
        """Start the node; it does not outlive the block."""
        yield from self._running(own_module('moe3d_ros.cli', 'run', *arguments), 'node')

    @contextmanager
    def camera(self, rate_hz: int = 30) -> Iterator[Process]:
        """Start the cameras; they do not outlive the block."""
        command = [sys.executable, str(CAMERA), str(rate_hz), *self._cameras]
        yield from self._running(command, 'camera')

    def _running(self, command: list[str], name: str) -> Iterator[Process]:
        process = Process(command, self.folder / f'{name}.log')
        try:
            yield process
        finally:
            process.popen.kill()
            process.popen.wait()

    def log_of(self, name: str) -> str:
        """Return what a process has said."""
        return (self.folder / f'{name}.log').read_text(errors='replace')


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    """Return processes of their own domain, and a listener."""
    use_shipped_profile()
    made = Soak(tmp_path)
    yield made
    made.listener.close()


@pytest.fixture
def rig_soak(tmp_path: Path) -> Iterator[Soak]:
    """Return the same for the three cameras of the example of a rig."""
    use_shipped_profile()
    made = Soak(tmp_path, ('front', 'left', 'right'))
    yield made
    made.listener.close()


@pytest.fixture
def add_to_report() -> Callable[[str, dict[str, Any]], None]:
    """Return a function that adds figures to report.json and report.txt."""

    def add(name: str, figures: dict[str, Any]) -> None:
        OUT.mkdir(parents=True, exist_ok=True)
        path = OUT / 'report.json'
        report = json.loads(path.read_text()) if path.exists() else {}
        report[name] = figures
        path.write_text(json.dumps(report, indent=1) + '\n')
        (OUT / 'report.txt').write_text('\n'.join(page_of(report)) + '\n')

    return add


def page_of(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a page for people; what is sampled over time is thinned out."""
    for name, figures in report.items():
        yield f'== {name}'
        for key, value in figures.items():
            if not isinstance(value, list):
                yield f'{key:<28}{value}'
                continue
            yield f'{key}:'
            for row in value[:: max(1, len(value) // 12)]:
                yield '    ' + '  '.join(f'{label} {number}' for label, number in row.items())
