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

# A node whose inference takes a second, and a camera and a listener in the same process. It says
# when the inference has begun.
PROGRAM = """
import importlib.util
import sys
import threading
import time

spec = importlib.util.spec_from_file_location('conftest', sys.argv[1])
conftest = importlib.util.module_from_spec(spec)
sys.modules['conftest'] = conftest
spec.loader.exec_module(conftest)

import rclpy
from moe3d_ros.run import run_node
from sensor_msgs.msg import CameraInfo, Image


class SlowBackend(conftest.FakeBackend):
    num_slow = 0

    def reconstruct(self, features, publish):
        if self.num_windows:  # the first one warms up
            print('inference has begun', flush=True)
            time.sleep(1.0)
            print('inference has ended', flush=True)
        return super().reconstruct(features, publish)

    def close(self):
        print('backend is closed', flush=True)


def feed():
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('camera', context=context, use_global_arguments=False)
    node.create_subscription(Image, '/moe3d/camera/depth/image_rect', lambda m: None, 1)
    images = node.create_publisher(Image, '/camera/image_raw', 1)
    infos = node.create_publisher(CameraInfo, '/camera/camera_info', 1)
    stamp_ns = conftest.FIRST_STAMP_NS
    while not done.is_set():
        stamp_ns += conftest.PERIOD_NS
        image, info = conftest.make_image(), conftest.make_info()
        image.header.stamp = info.header.stamp = conftest.to_stamp(stamp_ns)
        infos.publish(info)
        images.publish(image)
        time.sleep(0.03)
    node.destroy_node()
    context.shutdown()


done = threading.Event()
camera = threading.Thread(target=feed)
camera.start()
code = run_node(sys.argv[2:], open_backend=lambda *args, **options: SlowBackend())
done.set()
camera.join()
print('run_node has returned', code, flush=True)
sys.exit(code)
"""


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program; kill it at the end."""
    conftest = Path(__file__).with_name('conftest.py')
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM, str(conftest), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(30.0, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    'signals',
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]],
    ids=['sigint', 'sigterm', 'several'],
)
def test_signal_in_the_middle_of_an_inference_ends_the_node_cleanly(
    signals: list[signal.Signals],
) -> None:
    with started() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'inference has begun\n'
        for number in signals:
            process.send_signal(number)
        printed, logged = process.communicate(timeout=20.0)

    lines = printed.splitlines()
    assert process.returncode == 0, logged
    assert lines[0] == 'inference has ended'
    assert lines[-2:] == ['backend is closed', 'run_node has returned 0']
    assert 'Traceback' not in logged
    assert 'Stopped: frames in' in logged


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
        _, logged = process.communicate(timeout=20.0)

    assert process.returncode == 1
    assert text in logged
    assert 'Traceback' not in logged


def test_node_says_how_long_it_took_to_be_active() -> None:
    start_s = time.monotonic()
    with started() as process:
        assert process.stdout is not None
        process.stdout.readline()
        waited_s = time.monotonic() - start_s
        process.send_signal(signal.SIGINT)
        _, logged = process.communicate(timeout=20.0)

    (startup_s,) = re.findall(r'Active ([0-9.]+) s after the process was started', logged)
    assert 0.1 < float(startup_s) < waited_s + 0.02
