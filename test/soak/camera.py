"""
Cameras for the soak: images with their camera_info, one in a second of each camera's spoilt.

    camera.py RATE_HZ NAME...

All images of a moment have one stamp. It ends at SIGTERM and says how many it has sent. Run by
the tests of this folder.
"""

from __future__ import annotations

from array import array
import json
from random import Random
import signal
import sys
import threading
import time

from moe3d_engine.lab.fuzz.messages import spoil_image
import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image

HW = (480, 640)
FOCAL = 500.0


def make_info() -> CameraInfo:
    """Return a camera_info without distortion."""
    info = CameraInfo(height=HW[0], width=HW[1], distortion_model='plumb_bob')
    info.d = [0.0] * 5
    info.k = [FOCAL, 0.0, HW[1] / 2, 0.0, FOCAL, HW[0] / 2, 0.0, 0.0, 1.0]
    info.p = [FOCAL, 0.0, HW[1] / 2, 0.0, 0.0, FOCAL, HW[0] / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.header.frame_id = 'optical'
    return info


def make_image(picture: np.ndarray, number: int) -> Image:
    """Return a picture that has moved on by some pixels."""
    image = Image(height=HW[0], width=HW[1], encoding='rgb8', step=3 * HW[1])
    image.header.frame_id = 'optical'
    image.data = array('B', np.roll(picture, 3 * number, axis=1).tobytes())
    return image


def main() -> int:
    """Publish until SIGTERM; print how many images were sent."""
    rate_hz, names = int(sys.argv[1]), sys.argv[2:]
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node('camera')
    cameras = [
        (
            node.create_publisher(Image, f'/{name}/image_raw', QoSProfile(depth=10)),
            node.create_publisher(CameraInfo, f'/{name}/camera_info', QoSProfile(depth=10)),
        )
        for name in names
    ]
    rng, info = Random(0), make_info()
    noise = np.random.default_rng(0).integers(0, 256, (HW[0] // 8, HW[1] // 8, 3), np.uint8)
    picture = noise.repeat(8, axis=0).repeat(8, axis=1)
    number, start_s = 0, time.monotonic()
    due_s = start_s
    while not done.wait(max(0.0, due_s - time.monotonic())):
        due_s = max(due_s + 1 / rate_hz, time.monotonic())  # a camera does not catch up
        info.header.stamp = node.get_clock().now().to_msg()
        for images, infos in cameras:
            image = make_image(picture, number)
            if number % rate_hz == rate_hz - 1:
                spoil_image(rng, image)
            image.header.stamp = info.header.stamp
            infos.publish(info)
            images.publish(image)
        number += 1
    sent = number * len(cameras)
    print(json.dumps({'sent': sent, 'seconds': time.monotonic() - start_s}))
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
