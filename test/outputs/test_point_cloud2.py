"""The field's own reader finds in our clouds what was put into them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')
pytest.importorskip('sensor_msgs_py', reason='needs the ROS package sensor_msgs_py')

from moe3d_engine.geometry.output_view import OutputView
from moe3d_engine.geometry.points import unproject_depth
from moe3d_ros.outputs.messages import to_cloud
from moe3d_ros.settings.cloud import CloudForm
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

K = np.array([[50.0, 0.0, 3.5], [0.0, 55.0, 2.5], [0.0, 0.0, 1.0]])
HW = (6, 8)


@pytest.mark.parametrize('organized', [False, True])
def test_sensor_msgs_py_reads_points_colours_and_confidence(organized: bool) -> None:
    rng = np.random.default_rng(6)
    depth = rng.uniform(1, 5, HW).astype(np.float32)
    depth[0, :3], depth[5, 7] = np.nan, np.inf
    image = rng.integers(0, 256, (*HW, 3), np.uint8)
    confidence = rng.random(HW, np.float32)
    form = CloudForm(organized=organized)
    maps = OutputView(image, K, depth, confidence)
    cloud = to_cloud(Header(frame_id='optical'), maps, form)

    points = point_cloud2.read_points(cloud)
    known = points[np.isfinite(points['z'])]

    seen = np.isfinite(depth)
    assert points.shape == (depth.size if organized else seen.sum(),)
    assert cloud.is_dense is not organized
    xyz = np.stack([known['x'], known['y'], known['z']], axis=-1)
    np.testing.assert_array_equal(xyz, unproject_depth(depth[None], K[None])[0][seen])
    np.testing.assert_array_equal(known['confidence'], confidence[seen])
    packed = np.ascontiguousarray(known['rgb']).view(np.uint32)
    rgb = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
    np.testing.assert_array_equal(rgb, image[seen])
    skipped = point_cloud2.read_points_numpy(cloud, ['x', 'y', 'z'], skip_nans=True)
    np.testing.assert_array_equal(skipped, xyz)


def test_empty_cloud_is_read_as_no_points() -> None:
    nothing = np.full(HW, np.nan, np.float32)
    image = np.zeros((*HW, 3), np.uint8)

    for form in (CloudForm(organized=False), CloudForm(organized=False, voxel_m=0.1)):
        cloud = to_cloud(Header(), OutputView(image, K, nothing, np.zeros(HW, np.float32)), form)

        assert point_cloud2.read_points(cloud).shape == (0,)
