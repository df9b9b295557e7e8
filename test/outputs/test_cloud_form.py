"""Thinned clouds hold points that the whole cloud holds, where they were."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.geometry.output_view import OutputView
from moe3d_ros.outputs.messages import to_cloud
from moe3d_ros.settings.cloud import CloudForm
from std_msgs.msg import Header

K = np.array([[50.0, 0.0, 3.5], [0.0, 55.0, 2.5], [0.0, 0.0, 1.0]])
HW = (6, 8)


@pytest.mark.parametrize('organized', [False, True])
def test_stride_keeps_every_nth_row_and_column_where_they_were(organized: bool) -> None:
    rng = np.random.default_rng(6)
    depth = rng.uniform(1, 5, HW).astype(np.float32)
    image = rng.integers(0, 256, (*HW, 3), np.uint8)
    confidence = rng.random(HW, np.float32)
    maps = OutputView(image, K, depth, confidence)
    header = Header()

    every = to_cloud(header, maps, CloudForm(organized=True))
    strided = to_cloud(header, maps, CloudForm(organized, stride=3))

    assert (strided.height, strided.width) == ((2, 3) if organized else (1, 6))
    expected = np.frombuffer(every.data, np.float32).reshape(*HW, 5)[::3, ::3].reshape(-1, 5)
    points = np.frombuffer(strided.data, np.float32).reshape(-1, 5)
    np.testing.assert_allclose(points[:, :3], expected[:, :3], rtol=1e-6)
    np.testing.assert_array_equal(points[:, 3:].view(np.uint32), expected[:, 3:].view(np.uint32))


def test_cubes_keep_whole_points_of_the_highest_confidence() -> None:
    rng = np.random.default_rng(6)
    depth = rng.uniform(1, 1.2, HW).astype(np.float32)
    image = rng.integers(0, 256, (*HW, 3), np.uint8)
    confidence = rng.random(HW, np.float32)
    maps = OutputView(image, K, depth, confidence)

    every = to_cloud(Header(), maps, CloudForm(organized=False))
    thinned = to_cloud(Header(), maps, CloudForm(organized=False, voxel_m=10.0))

    points = np.frombuffer(every.data, np.float32).reshape(-1, 5)
    kept = np.frombuffer(thinned.data, np.float32).reshape(-1, 5)
    assert thinned.is_dense
    assert 1 <= len(kept) == thinned.width <= 4  # the optical axis is a corner of four cubes
    assert {point.tobytes() for point in kept} < {point.tobytes() for point in points}
    assert kept[:, 4].max() == confidence.max()
