"""The front of a serialized message is what the message says."""

from __future__ import annotations

from array import array

from moe3d_engine.errors import InputError
from moe3d_ros.tools.consumers.facts import CAMERA_INFO
from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import POSE
from moe3d_ros.tools.live.front import Front
from moe3d_ros.tools.live.front import read_front
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

STAMP_NS = 7_000_000_009


@pytest.mark.parametrize('frame', ['', 'a', 'abc', 'camera_optical'])
@pytest.mark.parametrize(
    ('message', 'kind', 'size', 'encoding'),
    [
        (Image(height=2, width=3, encoding='rgb8', data=array('B', b'12')), IMAGE, (3, 2), 'rgb8'),
        (CameraInfo(height=2, width=3), CAMERA_INFO, (3, 2), ''),
        (PointCloud2(height=1, width=9), CLOUD, (9, 1), ''),
        (PoseWithCovarianceStamped(), POSE, None, ''),
    ],
)
def test_front_is_what_the_message_says(
    message: Image | CameraInfo | PointCloud2 | PoseWithCovarianceStamped,
    kind: str,
    size: tuple[int, int] | None,
    encoding: str,
    frame: str,
) -> None:
    message.header.frame_id = frame
    message.header.stamp.sec, message.header.stamp.nanosec = 7, 9

    assert read_front(serialize_message(message), kind) == Front(STAMP_NS, frame, size, encoding)


@pytest.mark.parametrize('length', [0, 5, 13, 20])
def test_message_that_is_cut_is_refused(length: int) -> None:
    data = serialize_message(Image(height=2, width=3, encoding='rgb8'))

    with pytest.raises(InputError, match='ends inside its header'):
        read_front(data[:length], IMAGE)
