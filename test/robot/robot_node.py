"""Run by a robot's Python, without the laboratory: the node turns an image into depth."""

from __future__ import annotations

from importlib.abc import MetaPathFinder
import sys
import time

NOT_ON_A_ROBOT = (
    'torch',
    'scipy',
    'matplotlib',
    'embreex',
    'onnx',
)


class Missing(MetaPathFinder):
    """Refuses what a robot does not have, wherever the tests run."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raise as an import of a missing package does."""
        if name.startswith(NOT_ON_A_ROBOT):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)


# An editable installation finds the laboratory of the checkout, wherever the rest comes from.
sys.meta_path[:] = [
    Missing(),
    *(f for f in sys.meta_path if 'Editable' not in getattr(f, '__name__', '')),
]

from moe3d_ros.cli import installed_commands  # noqa: E402
from moe3d_ros.node import Moe3dNode  # noqa: E402
import moe3d_ros.run  # noqa: E402
import rclpy  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

HEIGHT, WIDTH = 120, 160


def main() -> None:
    """Print the commands and how much depth of a grey image is finite."""
    print('commands', *(command.NAME for command in installed_commands()))
    rclpy.init()
    node, camera = Moe3dNode(), rclpy.create_node('robot_camera')
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(camera)
    node.trigger_configure()
    node.trigger_activate()
    depths: list[Image] = []
    camera.create_subscription(Image, '/moe3d/camera/depth/image_rect', depths.append, 1)
    images = camera.create_publisher(Image, '/camera/image_raw', 1)
    infos = camera.create_publisher(CameraInfo, '/camera/camera_info', 1)
    end_s = time.monotonic() + 60.0
    while not depths and time.monotonic() < end_s:
        send(camera, images, infos)
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    print('depth', depths[0].encoding, depths[0].width, depths[0].height)
    print('started by', moe3d_ros.run.main.__name__)


def send(camera: rclpy.node.Node, images: object, infos: object) -> None:
    """Publish a frame."""
    stamp = camera.get_clock().now().to_msg()
    image = Image(height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding='rgb8')
    image.data.frombytes(bytes(range(240)) * (3 * WIDTH * HEIGHT // 240))
    info = CameraInfo(height=HEIGHT, width=WIDTH, distortion_model='plumb_bob')
    info.k = [140.0, 0.0, 79.5, 0.0, 140.0, 59.5, 0.0, 0.0, 1.0]
    info.p = [140.0, 0.0, 79.5, 0.0, 0.0, 140.0, 59.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    image.header.frame_id = info.header.frame_id = 'camera_optical_frame'
    image.header.stamp = info.header.stamp = stamp
    infos.publish(info)  # type: ignore[attr-defined]
    images.publish(image)  # type: ignore[attr-defined]


if __name__ == '__main__':
    main()
