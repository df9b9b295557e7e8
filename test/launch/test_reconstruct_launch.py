"""The shipped launch file, run by the real launch: the node goes active and publishes depth."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip('launch.actions', reason='launch comes with ROS only')
pytest.importorskip('launch_ros', reason='launch_ros comes with ROS only')
pytest.importorskip('rclpy', reason='needs ROS')

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.launch

START_TIMEOUT_S = 60.0
HEIGHT, WIDTH = 240, 320

PARAMS = """
/**:
  ros__parameters:
    use_sim_time: false
    input: {transport: compressed}
    depth: {max_m: 9.0}
/rig/moe3d:
  ros__parameters: {camera: {name: left}}
"""

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

path, *arguments = sys.argv[1:]
source = PythonLaunchDescriptionSource(path)
pairs = [argument.split(':=', 1) for argument in arguments]
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=pairs)])
)
sys.exit(service.run())
"""


@contextmanager
def launched(
    environment: Mapping[str, str], install: Path, log: Path, *arguments: str
) -> Iterator[Callable[[], bool]]:
    """
    Run the installed launch file; end it as Ctrl-C does and expect a clean end.

    The value tells whether launch and node are alive.
    """
    path = install / 'moe3d_ros/share/moe3d_ros/launch/reconstruct.launch.py'
    with log.open('w') as output:
        process = subprocess.Popen(
            [sys.executable, '-c', LAUNCH, str(path), *arguments],
            env=dict(environment),
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield lambda: process.poll() is None and 'has died' not in log.read_text()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30.0) == 0, log.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    assert 'process has finished cleanly' in log.read_text(), log.read_text()


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('launch_test', context=context)
    yield node
    node.destroy_node()
    context.shutdown()


def spin_until(
    node: Node,
    is_done: Callable[[], object],
    each: Callable[[], None],
    is_alive: Callable[[], bool],
) -> None:
    """Spin, call `each` five times a second; stop when it is done, has died or takes too long."""
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    timer = node.create_timer(0.2, each)
    end_s = time.monotonic() + START_TIMEOUT_S
    while not is_done() and time.monotonic() < end_s and is_alive():
        executor.spin_once(timeout_sec=0.1)
    node.destroy_timer(timer)
    executor.shutdown()


def answers(
    client: Client, request: object, node: Node, is_alive: Callable[[], bool]
) -> list[Any]:
    """
    Return what a service answers, or nothing if it takes too long.

    It is asked again and again: DDS loses an answer while a client is half discovered.
    """
    futures: list[Any] = []

    def ask() -> None:
        if client.service_is_ready():
            futures.append(client.call_async(request))

    spin_until(node, lambda: any(future.done() for future in futures), ask, is_alive)
    return [future.result() for future in futures if future.done()]


def camera_info(frame_id: str) -> CameraInfo:
    focal_px = 0.8 * WIDTH
    center_x, center_y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model='plumb_bob', d=[0.0] * 5)
    info.header.frame_id = frame_id
    info.k = [focal_px, 0.0, center_x, 0.0, focal_px, center_y, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal_px, 0.0, center_x, 0.0, 0.0, focal_px, center_y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def image(transport: str) -> Image | CompressedImage:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    if transport == 'raw':
        message = Image(height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding='rgb8')
        message.data.frombytes(pixels.tobytes())
    else:
        import cv2

        message = CompressedImage(format='rgb8; png compressed bgr8')
        message.data.frombytes(cv2.imencode('.png', pixels)[1].tobytes())
    message.header.frame_id = 'left_optical_frame'
    return message


@pytest.mark.parametrize(
    ('transport', 'image_topic', 'info_topic', 'depth_topic', 'arguments'),
    [
        (
            'raw',
            '/camera/image_raw',
            '/camera/camera_info',
            '/moe3d/camera/depth/image_rect',
            [],
        ),
        (
            'compressed',
            '/front/color/compressed',
            '/front/info',
            '/rig/moe3d/left/depth/image_rect',
            [
                'transport:=compressed',
                'camera:=left',
                'namespace:=rig',
                'image_topic:=/front/color',
                'camera_info_topic:=/front/info',
                'log_level:=warn',
            ],
        ),
        (
            'compressed',
            '/front/color/compressed',
            '/rig/left/camera_info',
            '/rig/moe3d/left/depth/image_rect',
            [
                'params_file:=params.yaml',
                'image_topic:=/front/color',
                'ros_namespace:=rig',  # as PushRosNamespace around an inclusion sets it
            ],
        ),
    ],
    ids=['defaults', 'every name changed', 'as a file says'],
)
def test_launched_node_turns_images_into_depth(
    colcon_install: Path,
    installed_environment: Mapping[str, str],
    tmp_path: Path,
    node: Node,
    transport: str,
    image_topic: str,
    info_topic: str,
    depth_topic: str,
    arguments: list[str],
) -> None:
    depths: list[Any] = []
    message, info = image(transport), camera_info('left_optical_frame')
    image_publisher = node.create_publisher(type(message), image_topic, 1)
    info_publisher = node.create_publisher(CameraInfo, info_topic, 1)
    node.create_subscription(Image, depth_topic, depths.append, 1)

    def publish() -> None:
        message.header.stamp = info.header.stamp = node.get_clock().now().to_msg()
        info_publisher.publish(info)
        image_publisher.publish(message)

    (tmp_path / 'params.yaml').write_text(PARAMS)
    log = tmp_path / 'launch.log'
    with launched(installed_environment, colcon_install, log, *arguments) as is_alive:
        spin_until(node, lambda: depths, publish, is_alive)
        assert depths, log.read_text()

    assert depths[0].encoding == '32FC1'
    assert depths[0].header.frame_id == 'left_optical_frame'


def test_without_autostart_the_node_waits_unconfigured(
    colcon_install: Path,
    installed_environment: Mapping[str, str],
    tmp_path: Path,
    node: Node,
) -> None:
    client = node.create_client(GetState, '/moe3d/get_state')
    log = tmp_path / 'launch.log'
    with launched(installed_environment, colcon_install, log, 'autostart:=false') as is_alive:
        responses = answers(client, GetState.Request(), node, is_alive)
        assert responses, log.read_text()

    assert responses[0].current_state.id == State.PRIMARY_STATE_UNCONFIGURED


def test_argument_replaces_the_value_of_a_file_and_the_log_says_so(
    colcon_install: Path,
    installed_environment: Mapping[str, str],
    tmp_path: Path,
    node: Node,
) -> None:
    (tmp_path / 'params.yaml').write_text(PARAMS)
    names = ['camera.name', 'input.transport', 'use_sim_time', 'depth.max_m']
    client = node.create_client(GetParameters, '/rig/moe3d/get_parameters')
    request = GetParameters.Request(names=names)
    arguments = [
        'params_file:=params.yaml',
        'namespace:=rig',
        'autostart:=false',
        'camera:=on',  # a name, though YAML takes it for `true`
        'transport:=compressed',
        'use_sim_time:=true',
    ]
    log = tmp_path / 'launch.log'
    with launched(installed_environment, colcon_install, log, *arguments) as is_alive:
        responses = answers(client, request, node, is_alive)
        assert responses, log.read_text()

    values = [parameter_value_to_python(value) for value in responses[0].values]
    assert values == ['on', 'compressed', True, 9.0]
    assert 'camera.name is on: the argument replaces left of params_file.' in log.read_text()
    assert 'use_sim_time is True: the argument replaces False of' in log.read_text()
    assert 'input.transport is' not in log.read_text()
