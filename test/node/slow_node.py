"""
A node whose inference takes a second, with a camera and a listener in the same process.

It says when it begins, when an inference begins and ends, and how the node has ended. Run by
`test_node_process.py`; the arguments are the node's. The environment may say how long an inference
takes (INFERENCE_S) and how long its end is waited for (WORKER_TIMEOUT_S).
"""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
import sys
import threading
import time

print('program has begun', time.monotonic(), flush=True)

sys.path.insert(
    1, str(Path(__file__).resolve().parents[1] / 'support')
)  # as pytest's `pythonpath`

import conftest  # noqa: E402 (of this folder; after the first line, which tells the time)
from moe3d_engine.types import RawOutputs  # noqa: E402
from moe3d_engine.types import WindowCameras  # noqa: E402
from moe3d_ros import active  # noqa: E402
from moe3d_ros.run import run_node  # noqa: E402
import rclpy  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402


class SlowBackend(conftest.FakeBackend):
    """Takes a second for each window after the first one, which warms up."""

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Tell when it begins and ends."""
        if self.num_windows:
            print('inference has begun', time.monotonic(), flush=True)
            time.sleep(float(os.environ.get('INFERENCE_S', '1.0')))
            print('inference has ended', flush=True)
        return super().reconstruct(features, publish, cameras)

    def close(self) -> None:
        """Tell it."""
        print('backend is closed', flush=True)


def feed(done: threading.Event) -> None:
    """Publish images and listen to depth until `done` is set."""
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('camera', context=context, use_global_arguments=False)
    node.create_subscription(Image, '/moe3d/camera/depth/image_rect', lambda message: None, 1)
    images = node.create_publisher(Image, '/camera/image_raw', 1)
    infos = node.create_publisher(CameraInfo, '/camera/camera_info', 1)
    stamp_ns = conftest.FIRST_STAMP_NS
    while not done.wait(0.03):
        stamp_ns += conftest.PERIOD_NS
        image, info = conftest.make_image(), conftest.make_info()
        image.header.stamp = info.header.stamp = conftest.to_stamp(stamp_ns)
        infos.publish(info)
        images.publish(image)
    node.destroy_node()
    context.shutdown()


def main() -> int:
    """Run the node and feed it; return its exit code."""
    active.WORKER_TIMEOUT_S = float(os.environ.get('WORKER_TIMEOUT_S', '30.0'))
    done = threading.Event()
    camera = threading.Thread(target=feed, args=[done])
    camera.start()
    code = run_node(sys.argv[1:], open_backend=lambda *args, **options: SlowBackend())
    done.set()
    camera.join()
    print('run_node has returned', code, flush=True)
    return code


if __name__ == '__main__':
    sys.exit(main())
