"""A camera of a rig that was knocked is told over the middleware, and one in its place is not."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.lab.synthetic.sequences.room import make_room
from moe3d_engine.types import UInt8Array
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image

Message = Any  # messages are made by a generator, and the wheels carry no types for them

CAMERAS = ('front', 'left')
LEFT_FROM_FRONT = moved(np.eye(4), np.array([0.25, 0.01, 0.0, 0.02, 0.1, 0.0]))
IMAGE_HW = (240, 320)
LENS = np.array([[250.0, 0, 159.5], [0, 250.0, 119.5], [0, 0, 1]])
STEP_S = 6  # images are compared every 5 s
WITHIN_S = 60


def images_of(moment: int) -> tuple[UInt8Array, UInt8Array]:
    """Return what both cameras see while the rig turns on the spot, without colours."""
    turned = np.eye(4)
    turned[:3, :3] = rotation_from_vector(np.array([0.0, 0.3 * moment, 0.0]))
    world = make_room(np.random.default_rng(4), 'rich')
    greys = [
        world.picture(pose, LENS, IMAGE_HW, {}).grey
        for pose in (invert_rigid(turned), LEFT_FROM_FRONT @ invert_rigid(turned))
    ]
    first, second = (np.clip(grey, 0, 255).astype(np.uint8) for grey in greys)
    return first, second


def stamped(camera: str, grey: UInt8Array, stamp: Message) -> tuple[Message, Message]:
    """Return an image and its camera_info."""
    height, width = grey.shape
    image = Image(height=height, width=width, encoding='mono8', step=width)
    image.data = array('B', grey.tobytes())
    info = CameraInfo(height=height, width=width, distortion_model='plumb_bob')
    info.d, info.k = [0.0] * 5, LENS.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.c_[LENS, np.zeros(3)].ravel().tolist()
    for message in (image, info):
        message.header.frame_id, message.header.stamp = f'{camera}_optical', stamp
    return image, info


@pytest.mark.parametrize('knock_deg', [1.0, 0.0])
def test_a_knocked_camera_is_told_within_a_minute_and_others_are_not(
    make_rig: Callable[..., Any], tmp_path: Path, knock_deg: float
) -> None:
    knock = np.array([0, 0, 0, 0, np.radians(knock_deg), 0])
    left = invert_rigid(moved(LEFT_FROM_FRONT, knock))  # as it sat before
    path = tmp_path / 'extrinsics.yaml'
    path.write_text(
        'cameras:\n'
        f'  front: {{rig_from_camera: {np.eye(4).tolist()}}}\n'
        f'  left: {{rig_from_camera: {left.tolist()}}}\n'
    )
    rig = make_rig(camera__names=list(CAMERAS), poses__source='network', rig__extrinsics=str(path))
    rig.start()
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    topics = [(Image, '/{}/image_raw'), (CameraInfo, '/{}/camera_info')]
    publishers = {
        camera: [rig.publish(kind, topic.format(camera), qos) for kind, topic in topics]
        for camera in CAMERAS
    }
    rig.wait_until(lambda: all(p.get_subscription_count() for b in publishers.values() for p in b))
    rig.listen(Image, '/moe3d/front/depth/image_rect')
    thread = rig.node._active._rig
    told_after_s = None
    for moment in range(1 + WITHIN_S // STEP_S):
        rig.stamp_ns += STEP_S * 1_000_000_000
        stamp = rig.next_stamp()
        for camera, grey in zip(CAMERAS, images_of(moment), strict=True):
            for publisher, message in zip(
                publishers[camera], stamped(camera, grey, stamp), strict=True
            ):
                publisher.publish(message)
        rig.wait_until(
            lambda: thread._observer is not None and thread._observer._last_ns == rig.stamp_ns
        )
        if rig.node._active.counts()['rig.misplaced']:
            told_after_s = moment * STEP_S
            break

    said = rig.node._active.counts()['rig.misplaced'].split()
    assert (told_after_s is not None) == bool(knock_deg)
    if knock_deg:
        assert said[:2] == ['front', 'left']
        assert float(said[2]) == pytest.approx(knock_deg, abs=0.3)
