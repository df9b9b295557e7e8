"""Reference depth over the middleware: images and clouds become points of the camera's frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.outputs.messages import fill_data
from moe3d_ros.outputs.messages import to_camera_info
from moe3d_ros.outputs.messages import to_depth_image
from moe3d_ros.outputs.messages import to_stamp
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

Rig = Any
Message = Any

MS = 1_000_000
BEGIN_NS = 1_731_846_203_417_293_651
CAMERA = 'camera_optical_frame'
INTRINSICS = np.array([[40.0, 0.0, 19.5], [0.0, 40.0, 14.5], [0.0, 0.0, 1.0]])
LIDAR = '0 -0.1 0 0.5 -0.5 0.5 0.5'  # x forward, on top of the camera


def make_depth(
    stamp_ns: int, depth_m: float = 2.0, frame: str = CAMERA, encoding: str = '32FC1'
) -> tuple[Message, Message]:
    """Return an image of a wall with its camera_info."""
    header = Header(stamp=to_stamp(stamp_ns), frame_id=frame)
    image = to_depth_image(header, np.full((30, 40), depth_m, np.float32), encoding)
    return image, to_camera_info(header, INTRINSICS, (30, 40))


def make_cloud(stamp_ns: int, points: NDArray[np.float32], frame: str = 'lidar') -> Message:
    """Return a cloud of (N, 3) points."""
    message = PointCloud2(header=Header(stamp=to_stamp(stamp_ns), frame_id=frame))
    message.height, message.width = 1, len(points)
    message.point_step, message.row_step = 12, 12 * len(points)
    message.fields = [
        PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1)
        for k, name in enumerate('xyz')
    ]
    fill_data(message, points)
    return message


class DepthCamera:
    """Publishes depth with the camera_info beside it."""

    def __init__(self, rig: Rig) -> None:
        self.images = rig.publisher(Image, '/depth/image_rect')
        self.infos = rig.publisher(CameraInfo, '/depth/camera_info')

    def send(self, image: Message, info: Message | None) -> None:
        """Publish both, the image first."""
        self.images.publish(image)
        if info is not None:
            self.infos.publish(info)


@pytest.mark.parametrize('encoding', ['32FC1', '16UC1'])
def test_depth_image_becomes_points_of_the_cameras_frame(
    encoding: str, make_rig: Callable[..., Rig]
) -> None:
    rig = make_rig(scale__reference_topic='/depth/image_rect')
    camera = DepthCamera(rig)
    camera.send(*make_depth(BEGIN_NS, encoding=encoding))
    rig.wait_until(lambda: rig.inputs.reference_at(BEGIN_NS, CAMERA) is not None)

    reference = rig.inputs.reference_at(BEGIN_NS, CAMERA)

    assert reference.stamp_ns == BEGIN_NS
    depth = reference.at(np.array([[3.0, 4.0], [35.0, 20.0]]), INTRINSICS, (30, 40))
    np.testing.assert_allclose(depth, 2.0)


def test_nearest_depth_within_reach_is_taken(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/depth/image_rect')
    camera = DepthCamera(rig)
    for k in range(3):
        camera.send(*make_depth(BEGIN_NS + 100 * k * MS, 1.0 + k))
    rig.wait_until(lambda: rig.inputs.reference_at(BEGIN_NS + 200 * MS, CAMERA) is not None)

    found = [rig.inputs.reference_at(BEGIN_NS + k * MS, CAMERA) for k in (-60, 49, 51, 249, 251)]

    stamps = [None if each is None else (each.stamp_ns - BEGIN_NS) // MS for each in found]
    assert stamps == [None, 0, 100, 200, None]


def test_lidar_goes_through_its_place_on_the_robot(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/scan', scale__camera_from_reference=LIDAR)
    publisher = rig.publisher(PointCloud2, '/scan', reliable=False)
    points = np.array([[5.0, 0.0, 0.0], [5.0, 1.0, 0.5]], np.float32)  # ahead; left and up
    publisher.publish(make_cloud(BEGIN_NS, points))
    rig.wait_until(lambda: rig.inputs.reference_at(BEGIN_NS, CAMERA) is not None)

    found = rig.inputs.reference_at(BEGIN_NS, CAMERA).points_cam

    np.testing.assert_allclose(found, [[0.0, -0.1, 5.0], [-1.0, -0.6, 5.0]], atol=1e-9)


def test_place_that_nobody_knows_is_said_and_not_guessed(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/scan')
    publisher = rig.publisher(PointCloud2, '/scan')
    publisher.publish(make_cloud(BEGIN_NS, np.ones((9, 3), np.float32)))
    rig.wait_until(lambda: rig.count('reference.received') == 1)

    assert rig.inputs.reference_at(BEGIN_NS, CAMERA) is None
    assert rig.count('reference.dropped.no_extrinsics') == 1
    assert (rig.count('reference.asked'), rig.count('reference.answered')) == (1, 0)


def millimetres_as_metres(image: Message) -> None:
    values = np.full((30, 40), 2000.0, np.float32)
    del image.data[:]
    fill_data(image, values)


def wrong_encoding(image: Message) -> None:
    image.encoding = 'rgb8'


def truncated(image: Message) -> None:
    del image.data[-7:]


def other_size(image: Message) -> None:
    image.height, image.width = 60, 20
    image.step = 80


@pytest.mark.parametrize('spoil', [millimetres_as_metres, wrong_encoding, truncated, other_size])
def test_bad_depth_is_counted_and_the_next_is_taken(
    spoil: Callable[[Message], None], make_rig: Callable[..., Rig]
) -> None:
    rig = make_rig(scale__reference_topic='/depth/image_rect')
    camera = DepthCamera(rig)
    image, info = make_depth(BEGIN_NS)
    spoil(image)
    camera.send(image, info)
    camera.send(*make_depth(BEGIN_NS + 100 * MS))
    rig.wait_until(lambda: rig.inputs.reference_at(BEGIN_NS + 100 * MS, CAMERA) is not None)

    assert rig.count('reference.dropped.bad_depth') == 1
    assert rig.inputs.reference_at(BEGIN_NS, CAMERA) is None


def test_depth_without_its_camera_info_is_dropped(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/depth/image_rect', camera_info__timeout_s=0.1)
    camera = DepthCamera(rig)
    camera.send(make_depth(BEGIN_NS)[0], None)
    rig.wait_until(lambda: rig.count('reference.received') == 1)

    def is_dropped() -> bool:
        rig.inputs.check()
        return bool(rig.count('reference.dropped.no_camera_info'))

    rig.wait_until(is_dropped)


def test_cloud_whose_stamp_goes_back_is_dropped_unless_a_new_stream_begins(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(scale__reference_topic='/scan', scale__camera_from_reference=LIDAR)
    publisher = rig.publisher(PointCloud2, '/scan')
    for offset_ms in (0, -200, 0, -60_000):
        publisher.publish(make_cloud(BEGIN_NS + offset_ms * MS, np.ones((9, 3), np.float32)))
    rig.wait_until(lambda: rig.count('reference.received') == 4)

    assert rig.count('reference.dropped.stale_stamp') == 2
    assert rig.inputs.reference_at(BEGIN_NS, CAMERA) is None
    assert rig.inputs.reference_at(BEGIN_NS - 60_000 * MS, CAMERA) is not None


def test_damaged_cloud_is_counted(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/scan', scale__camera_from_reference=LIDAR)
    publisher = rig.publisher(PointCloud2, '/scan')
    message = make_cloud(BEGIN_NS, np.ones((9, 3), np.float32))
    message.fields = message.fields[:2]
    publisher.publish(message)

    rig.wait_until(lambda: rig.count('reference.dropped.bad_depth') == 1)


def test_memory_is_bounded(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/scan', scale__camera_from_reference=LIDAR)
    publisher = rig.publisher(PointCloud2, '/scan')
    for k in range(30):
        publisher.publish(make_cloud(BEGIN_NS + 10 * k * MS, np.ones((9, 3), np.float32)))
        rig.wait_until(lambda count=k + 1: rig.count('reference.received') == count)

    known = {rig.inputs.reference_at(BEGIN_NS + 10 * k * MS, CAMERA) for k in range(30)} - {None}

    assert len({reference.stamp_ns for reference in known}) == 8


def test_topic_of_another_type_is_not_subscribed_to(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scale__reference_topic='/depth/image_rect')
    rig.peer.create_publisher(CompressedImage, '/depth/image_rect', 1)
    rig.wait_until(lambda: rig.node.count_publishers('/depth/image_rect') > 0)
    rig.inputs.check()

    assert rig.node.count_subscribers('/depth/image_rect') == 0
    assert 'no publisher' in rig.inputs.describe()


def test_depth_that_the_scale_does_not_ask_for_is_not_subscribed_to(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(scale__reference_topic='/depth/image_rect', scale__source='fixed')

    assert rig.inputs.describe() == ''
