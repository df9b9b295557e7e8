"""What the node publishes keeps the conventions that consumers rely on (REP 103, 117, 118)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moe3d_engine.geometry.cameras import scale_intrinsics
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from moe3d_ros.outputs.diagnostics import _process_age_s
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeRig = Callable[..., Rig]
MakeMessage = Callable[..., Message]

TOPICS = {
    'depth/image_rect': Image,
    'depth/camera_info': CameraInfo,
    'boundary_confidence': Image,
    'color/image_rect': Image,
    'points': PointCloud2,
}
NETWORK_HW = (28, 42)
AGE_S = _process_age_s()  # before any node of these tests
KNOWN, FAR, REJECTED = (51, 255, 204), (255, 255, 204), (51, 0, 204)  # depth 1.8, 5.0, unknown


def striped_image(make: MakeMessage) -> Message:
    """Return an image whose thirds are known, beyond 4 m, and rejected."""
    message = make()
    pixels = np.empty((56, 84, 3), np.uint8)
    pixels[:, :28], pixels[:, 28:56], pixels[:, 56:] = KNOWN, FAR, REJECTED
    message.data = type(message.data)('B', pixels.tobytes())
    return message


def as_array(message: Message, dtype: type[Any]) -> Message:
    """Return an image message as an array."""
    assert len(message.data) == message.height * message.step
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, -1).squeeze()


def publish_one(
    rig: Rig, image: Message, info: Message, topics: dict[str, type[Any]]
) -> dict[str, Any]:
    """Feed one frame and return what came on each topic."""
    heard = {name: rig.listen(kind, f'/moe3d/camera/{name}') for name, kind in topics.items()}
    rig.send_and_wait(image, info)
    rig.wait_until(lambda: all(heard.values()))
    return {name: messages[-1] for name, messages in heard.items()}


@pytest.fixture
def outputs(
    make_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> dict[str, Any]:
    """Return one message per topic for the striped image, and the image."""
    rig = make_rig(depth__max_m=4.0)
    rig.start()
    rig.connect_camera()
    image = striped_image(image_message)
    messages = publish_one(rig, image, info_message(), TOPICS)
    return {**messages, 'image': image}


def test_all_outputs_carry_the_image_header_and_the_network_size(outputs: dict[str, Any]) -> None:
    header = outputs['image'].header

    for name in TOPICS:
        assert outputs[name].header == header
        assert (outputs[name].height, outputs[name].width) == NETWORK_HW
    assert header.stamp.nanosec % 10, 'the stamp must be one that a float would change'


def test_depth_is_metres_with_nan_for_unknown_and_inf_beyond_range(
    outputs: dict[str, Any],
) -> None:
    message = outputs['depth/image_rect']
    depth = as_array(message, np.float32)

    assert (message.encoding, message.step, message.is_bigendian) == ('32FC1', 4 * 42, 0)
    np.testing.assert_allclose(depth[:, 1:13], 1.8, rtol=1e-5)
    assert np.isposinf(depth[:, 15:27]).all()
    assert np.isnan(depth[:, 29:]).all()


def test_confidence_is_finite_and_zero_where_depth_is_unknown(outputs: dict[str, Any]) -> None:
    message = outputs['boundary_confidence']
    confidence = as_array(message, np.float32)

    assert message.encoding == '32FC1'
    assert np.isfinite(confidence).all()
    np.testing.assert_allclose(confidence[:, 1:27], 0.8, rtol=1e-5)
    assert (confidence[:, 29:] == 0.0).all()


def test_colour_is_rgb_of_the_depth_pixels(outputs: dict[str, Any]) -> None:
    message = outputs['color/image_rect']
    colour = as_array(message, np.uint8)

    assert (message.encoding, message.step) == ('rgb8', 3 * 42)
    assert (colour[:, 1:13] == KNOWN).all()
    assert (colour[:, 15:27] == FAR).all()


def test_camera_info_is_that_of_the_depth_pixels(
    outputs: dict[str, Any], info_message: MakeMessage
) -> None:
    message = outputs['depth/camera_info']
    expected = scale_intrinsics(np.reshape(info_message().k, (3, 3)), 0.5, 0.5)

    np.testing.assert_allclose(np.reshape(message.k, (3, 3)), expected)
    np.testing.assert_allclose(np.reshape(message.p, (3, 4))[:, :3], expected)
    assert np.reshape(message.p, (3, 4))[:, 3].tolist() == [0, 0, 0]
    assert (list(message.d), message.distortion_model) == ([], 'plumb_bob')
    assert np.array_equal(np.reshape(message.r, (3, 3)), np.eye(3))


def test_cloud_is_the_depth_seen_through_its_camera_info(outputs: dict[str, Any]) -> None:
    message = outputs['points']
    depth = as_array(outputs['depth/image_rect'], np.float32)
    k = np.reshape(outputs['depth/camera_info'].k, (3, 3))
    names = [field.name for field in message.fields]
    points = np.frombuffer(message.data, np.dtype([(name, '<f4') for name in names]))
    points = points.reshape(NETWORK_HW)
    finite = np.isfinite(depth)

    assert names == ['x', 'y', 'z', 'rgb', 'confidence']
    assert [field.offset for field in message.fields] == [0, 4, 8, 12, 16]
    assert (message.point_step, message.row_step, message.is_dense) == (20, 20 * 42, False)
    assert np.array_equal(np.isfinite(points['z']), finite)
    assert all(np.isnan(points[axis][~finite]).all() for axis in 'xyz')
    rows, columns = np.nonzero(finite)
    u = k[0, 0] * points['x'] / points['z'] + k[0, 2]
    v = k[1, 1] * points['y'] / points['z'] + k[1, 2]
    np.testing.assert_allclose(u[finite], columns, atol=1e-3)
    np.testing.assert_allclose(v[finite], rows, atol=1e-3)
    np.testing.assert_array_equal(points['z'][finite], depth[finite])
    assert (points['rgb'][:, 1:13].copy().view(np.uint32) == 0x33FFCC).all()
    np.testing.assert_allclose(points['confidence'][:, 1:13], 0.8, rtol=1e-5)


def test_compact_cloud_holds_the_known_points_only(
    make_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(depth__max_m=4.0, cloud__organized=False)
    rig.start()
    rig.connect_camera()

    cloud = publish_one(
        rig, striped_image(image_message), info_message(), {'points': PointCloud2}
    )['points']

    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 5)
    assert (cloud.height, cloud.is_dense) == (1, True)
    assert cloud.width == len(points) == 28 * 14
    assert np.isfinite(points).all()


@pytest.mark.parametrize(('resolution', 'scale'), [('source', 1.0), ('63', 0.75)])
def test_all_outputs_have_the_resolution_that_is_asked_for(
    make_rig: MakeRig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    resolution: str,
    scale: float,
) -> None:
    rig = make_rig(depth__max_m=4.0, output__resolution=resolution)
    rig.start()
    rig.connect_camera()

    messages = publish_one(rig, striped_image(image_message), info_message(), TOPICS)

    for name in TOPICS:
        assert (messages[name].height, messages[name].width) == (56 * scale, 84 * scale)
    k = scale_intrinsics(np.reshape(info_message().k, (3, 3)), scale, scale)
    np.testing.assert_allclose(np.reshape(messages['depth/camera_info'].k, (3, 3)), k)
    depth = as_array(messages['depth/image_rect'], np.float32)
    third = int(28 * scale)
    np.testing.assert_allclose(depth[:, : third - 1], 1.8, rtol=1e-5)
    assert np.isposinf(depth[:, third + 1 : 2 * third - 1]).all()
    assert np.isnan(depth[:, 2 * third + 2 :]).all()


def test_clearing_cloud_ends_where_the_range_at_run_time_ends(
    make_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(depth__max_m=4.0)
    rig.start()
    rig.connect_camera()
    topics = {'points_clearing': PointCloud2}
    image = striped_image(image_message)

    first = publish_one(rig, image, info_message(), topics)['points_clearing']
    rig.node.set_parameters([Parameter('depth.max_m', value=3.0)])
    clouds = rig.received['/moe3d/camera/points_clearing']
    rig.send_and_wait(image, info_message())
    rig.wait_until(lambda: len(clouds) == 2)

    assert first.header.frame_id == image.header.frame_id
    assert ([field.name for field in first.fields], first.is_dense) == (['x', 'y', 'z'], True)
    for cloud, end_m in ((first, 4.0), (clouds[1], 3.0)):
        z = np.frombuffer(cloud.data, np.float32).reshape(-1, 3)[:, 2]
        assert cloud.width == len(z) == 28 * 14  # those beyond range; the rejected third is a hole
        assert z.max() == pytest.approx(end_m)


def test_millimetres_are_zero_where_depth_is_no_number(
    make_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(depth__max_m=4.0, depth__encoding='16UC1')
    rig.start()
    rig.connect_camera()

    message = publish_one(
        rig, striped_image(image_message), info_message(), {'depth/image_rect': Image}
    )['depth/image_rect']

    depth_mm = as_array(message, np.uint16)
    assert (message.encoding, message.step) == ('16UC1', 2 * 42)
    assert (depth_mm[:, 1:13] == 1800).all()
    assert (depth_mm[:, 15:27] == 0).all()
    assert (depth_mm[:, 29:] == 0).all()


def test_relative_depth_never_poses_as_metres(
    make_rig: Rig, fake_backend: MakeRig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(fake_backend(metric=False))
    rig.start()
    rig.connect_camera()

    messages = publish_one(
        rig,
        image_message(),
        info_message(),
        {'relative_depth/image_rect': Image, 'relative_depth/camera_info': CameraInfo},
    )

    names = {publisher.topic_name for publisher in rig.node.publishers}
    assert {name for name in names if name.startswith('/moe3d/camera/')} == {
        f'/moe3d/camera/{name}'
        for name in (
            'relative_depth/image_rect',
            'relative_depth/camera_info',
            'boundary_confidence',
            'color/image_rect',
            'pose',  # silent while nobody knows metres
            'sparse_points',
        )
    }
    assert messages['relative_depth/image_rect'].encoding == '32FC1'


def test_compressed_images_are_taken_where_asked(make_rig: Rig, info_message: MakeMessage) -> None:
    cv2 = pytest.importorskip('cv2')
    rig = make_rig(input__transport='compressed')
    rig.start()
    rig.connect_camera(CompressedImage, name='image_raw/compressed')
    message = CompressedImage(format='rgb8; jpeg compressed bgr8')
    bgr = np.full((56, 84, 3), KNOWN[::-1], np.uint8)
    message.data = cv2.imencode('.jpg', bgr)[1].tobytes()

    depth = publish_one(rig, message, info_message(), {'depth/image_rect': Image})

    depth_m = as_array(depth['depth/image_rect'], np.float32)
    np.testing.assert_allclose(depth_m, 1.8, atol=0.05)


def test_nothing_is_computed_while_nobody_listens(
    rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig.start()
    rig.connect_camera()
    num_windows = rig.backend.num_windows

    for _ in range(3):
        rig.send_and_wait(image_message(), info_message())

    assert rig.backend.num_windows == num_windows
    assert rig.count('dropped.no_subscriber') == 3


def test_thresholds_change_while_the_node_runs_and_nothing_else_does(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    depths = live_rig.received['/moe3d/camera/depth/image_rect']
    node = live_rig.node
    live_rig.send_and_wait(image_message(rgb=REJECTED), info_message())
    live_rig.wait_until(lambda: len(depths) == 1)

    accepted = node.set_parameters([Parameter('rejection.enabled', value=False)])
    contradicting = node.set_parameters([Parameter('depth.min_m', value=float('inf'))])
    read_only = node.set_parameters([Parameter('engine.backend', value='torch')])
    live_rig.send_and_wait(image_message(rgb=REJECTED), info_message())
    live_rig.wait_until(lambda: len(depths) == 2)

    assert accepted[0].successful
    assert not contradicting[0].successful
    assert 'depth.min_m < depth.max_m' in contradicting[0].reason
    assert not read_only[0].successful
    assert np.isnan(as_array(depths[0], np.float32)).all()
    np.testing.assert_allclose(as_array(depths[1], np.float32), 1.8, rtol=1e-5)


def test_black_borders_of_a_rectified_image_have_no_depth(
    make_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(rejection__enabled=False)
    rig.start()
    rig.connect_camera()
    info = info_message()
    info.p[0] = info.p[5] = 35.0  # half the focal length: the image fills the middle only

    messages = publish_one(
        rig,
        image_message(),
        info,
        {'depth/image_rect': Image, 'boundary_confidence': Image, 'depth/camera_info': CameraInfo},
    )

    depth = as_array(messages['depth/image_rect'], np.float32)
    confidence = as_array(messages['boundary_confidence'], np.float32)
    assert np.isnan(depth[[0, -1]]).all()
    assert np.isnan(depth[:, [0, -1]]).all()
    np.testing.assert_allclose(depth[12:18, 15:25], 1.8, rtol=1e-5)
    assert (confidence[np.isnan(depth)] == 0.0).all()
    assert messages['depth/camera_info'].k[0] == pytest.approx(35.0 / 2)


def test_diagnostics_tell_state_counts_and_latencies(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    reports = live_rig.listen(DiagnosticArray, '/diagnostics')
    for _ in range(2):
        live_rig.send_and_wait(image_message(), info_message())

    live_rig.wait_until(lambda: bool(reports) and value_of(reports[-1], 'published') == '2')

    (status,) = reports[-1].status
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'active')
    assert value_of(reports[-1], 'frames_in') == '2'
    assert value_of(reports[-1], 'scale.unit') == 'metric'
    assert value_of(reports[-1], 'dropped.busy') == '0'
    age_s = _process_age_s()
    assert age_s is not None
    assert AGE_S is not None
    startup_s = 1e-3 * float(value_of(reports[-1], 'startup_ms'))
    assert AGE_S - 1e-3 <= startup_s <= age_s + 1e-3  # of the process of this test
    for stage in ('latency', 'frame_age', 'preprocess', 'encode', 'reconstruct', 'postprocess'):
        for percent in (50, 95, 99):
            assert float(value_of(reports[-1], f'{stage}_ms.p{percent}')) >= 0.0


def test_second_activation_leaves_the_time_of_the_first(live_rig: Rig) -> None:
    first_ms = live_rig.node.statistics.startup_ms

    for transition in ('deactivate', 'cleanup', 'configure', 'activate'):
        getattr(live_rig.node, f'trigger_{transition}')()

    assert first_ms is not None
    assert live_rig.state == 'active'
    assert live_rig.node.statistics.startup_ms == first_ms


def value_of(report: Message, key: str) -> str:
    """Return a value of the only component of a report."""
    return {pair.key: pair.value for pair in report.status[0].values}[key]
