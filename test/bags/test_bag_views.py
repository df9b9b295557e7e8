"""Views from bags, without a ROS graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.files import is_bag
from moe3d_engine.bags.views import read_bag_views
from moe3d_engine.errors import InputError
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES = {name.rsplit('/', 1)[-1]: cls for name, cls in STORE.types.items()}
K = np.array([50.0, 0.0, 9.5, 0.0, 51.0, 7.5, 0.0, 0.0, 1.0])
STAMPS_NS = (1_000_000_007, 2_000_000_000, 3_500_000_000)


def header(stamp_ns: int) -> Any:  # noqa: ANN401
    """Return a header of that time."""
    time = TYPES['Time'](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES['Header'](stamp=time, frame_id='camera_optical_frame')


def image_message(stamp_ns: int, pixels: np.ndarray, encoding: str, padding: int = 0) -> Any:  # noqa: ANN401
    """Return an Image whose rows are followed by `padding` bytes of 99."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    return TYPES['Image'](
        header(stamp_ns), height, width, encoding, 0, data.shape[1], data.ravel()
    )


def camera_info(
    stamp_ns: int,
    k: np.ndarray = K,
    d: tuple[float, ...] = (0.0,) * 5,
    roi: tuple[int, ...] = (0,) * 4,
) -> Any:  # noqa: ANN401
    """Return a CameraInfo of a camera of 20x16 pixels; without D it is a rectified one."""
    roi = TYPES['RegionOfInterest'](*roi, False)
    projection = np.zeros(12)
    return TYPES['CameraInfo'](
        header(stamp_ns), 16, 20, 'plumb_bob', np.array(d), k, np.eye(3).ravel(), projection,
        0, 0, roi,
    )  # fmt: skip


def write_bag(path: Path, messages: list[tuple[str, Any]]) -> Path:
    """Write messages to an MCAP bag in the order given."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for count, (topic, message) in enumerate(messages):
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, message.__msgtype__, typestore=STORE
                )
            data = STORE.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], count, data)
    return path


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    """Return one RGB image of 20x16."""
    return rng.integers(0, 256, (16, 20, 3), np.uint8)


def test_images_come_with_the_camera_info_of_their_stamp(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    messages = []
    for count, stamp in enumerate(STAMPS_NS):
        messages.append(('/cam/camera_info', camera_info(stamp, K + count * (K == 9.5))))
        messages.append(('/cam/image_raw', image_message(stamp, pixels, 'rgb8')))
    bag = write_bag(tmp_path / 'bag', messages)

    views = read_bag_views(bag)

    assert is_bag(bag)
    assert [view.stamp_ns for view in views] == list(STAMPS_NS)
    assert [view.intrinsics[0, 2] for view in views] == [9.5, 10.5, 11.5]
    assert views[0].frame_id == 'camera_optical_frame'
    np.testing.assert_array_equal(views[0].image, pixels)


@pytest.mark.parametrize(
    ('encoding', 'channels'),
    [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('bgra8', [2, 1, 0, 0]), ('rgba8', [0, 1, 2, 2])],
)
def test_padded_rows_of_any_colour_order_decode_to_rgb(
    tmp_path: Path, pixels: np.ndarray, encoding: str, channels: list[int]
) -> None:
    message = image_message(STAMPS_NS[0], pixels[..., channels], encoding, padding=5)

    views = read_bag_views(write_bag(tmp_path / 'bag', [('/image', message)]))

    np.testing.assert_array_equal(views[0].image, pixels)
    assert views[0].intrinsics is None


def test_grey_images_become_three_equal_channels(tmp_path: Path, pixels: np.ndarray) -> None:
    message = image_message(STAMPS_NS[0], pixels[..., 0], 'mono8', padding=3)

    views = read_bag_views(write_bag(tmp_path / 'bag', [('/image', message)]))

    np.testing.assert_array_equal(views[0].image, pixels[..., [0, 0, 0]])


def test_compressed_colour_beside_depth_is_found(tmp_path: Path, pixels: np.ndarray) -> None:
    png = cv2.imencode('.png', pixels[..., ::-1])[1].ravel()
    compressed = TYPES['CompressedImage'](header(STAMPS_NS[0]), 'rgb8; png compressed bgr8', png)
    depth = image_message(STAMPS_NS[0], np.zeros((16, 20), np.uint16), '16UC1')
    messages = [
        ('/cam/depth/image_raw', depth),
        ('/cam/camera_info', camera_info(STAMPS_NS[0])),
        ('/cam/image_raw/compressed', compressed),
    ]

    views = read_bag_views(write_bag(tmp_path / 'bag', messages))

    np.testing.assert_array_equal(views[0].image, pixels)
    np.testing.assert_array_equal(views[0].intrinsics.ravel(), K)


def test_first_of_two_cameras_is_taken_with_a_word(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    left, right = (image_message(STAMPS_NS[0], p, 'rgb8') for p in (pixels, pixels[::-1]))
    bag = write_bag(tmp_path / 'bag', [('/right', right), ('/left', left)])

    with caplog.at_level('INFO'):
        views = read_bag_views(bag)

    np.testing.assert_array_equal(views[0].image, pixels)
    assert 'Of 2 colour image topics /left is taken' in caplog.text
    np.testing.assert_array_equal(read_bag_views(bag, topic='/right')[0].image, pixels[::-1])
    with pytest.raises(InputError, match='no topic /up'):
        read_bag_views(bag, topic='/up')


def test_topic_of_another_type_is_no_image(tmp_path: Path, pixels: np.ndarray) -> None:
    messages = [
        ('/cam/camera_info', camera_info(STAMPS_NS[0])),
        ('/cam/image_raw', image_message(STAMPS_NS[0], pixels, 'rgb8')),
    ]

    with pytest.raises(InputError, match=r'CameraInfo; expected is a sensor_msgs/msg/Image'):
        read_bag_views(write_bag(tmp_path / 'bag', messages), topic='/cam/camera_info')


def test_every_second_image_is_read(tmp_path: Path, pixels: np.ndarray) -> None:
    messages = [('/image', image_message(stamp, pixels, 'rgb8')) for stamp in STAMPS_NS]

    views = read_bag_views(write_bag(tmp_path / 'bag', messages), every=2)

    assert [view.stamp_ns for view in views] == [STAMPS_NS[0], STAMPS_NS[2]]


def test_image_without_a_camera_info_of_its_stamp_is_left_out(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [
        ('/cam/camera_info', camera_info(STAMPS_NS[1])),
        *[('/cam/image_raw', image_message(stamp, pixels, 'rgb8')) for stamp in STAMPS_NS],
    ]

    views = read_bag_views(write_bag(tmp_path / 'bag', messages))

    assert [view.stamp_ns for view in views] == [STAMPS_NS[1]]
    assert '2 images of /cam/image_raw are left out. No camera_info has its stamp' in caplog.text


def test_distorted_images_are_rectified_unless_intrinsics_are_given(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    distortion = (-0.3, 0.1, 0.0, 0.0, 0.0)
    messages = [
        ('/cam/camera_info', camera_info(STAMPS_NS[0], d=distortion)),
        ('/cam/image_raw', image_message(STAMPS_NS[0], pixels, 'rgb8')),
    ]
    bag = write_bag(tmp_path / 'bag', messages)
    matrix = K.reshape(3, 3)
    expected = cv2.undistort(pixels, matrix, np.array(distortion)).astype(int)

    (rectified,), (stored,) = read_bag_views(bag), read_bag_views(bag, intrinsics=np.eye(3))

    assert np.abs(rectified.image - expected).mean() < 1
    np.testing.assert_allclose(rectified.intrinsics, matrix)
    np.testing.assert_array_equal(stored.image, pixels)
    np.testing.assert_array_equal(stored.intrinsics, np.eye(3))


def test_rectified_topic_is_not_rectified_again_and_takes_its_intrinsics_from_p(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    info = camera_info(STAMPS_NS[0], d=(-0.3, 0.1, 0.0, 0.0, 0.0))
    info.p = np.array([40.0, 0, 9, 0, 0, 41, 7, 0, 0, 0, 1, 0])
    messages = [
        ('/cam/camera_info', info),
        ('/cam/image_rect', image_message(STAMPS_NS[0], pixels, 'rgb8')),
    ]

    (view,) = read_bag_views(write_bag(tmp_path / 'bag', messages))

    np.testing.assert_array_equal(view.image, pixels)
    np.testing.assert_allclose(view.intrinsics, info.p.reshape(3, 4)[:, :3])


@pytest.mark.parametrize(
    ('roi', 'binning', 'intrinsics'),
    [
        ((0, 0, 16, 20), (0, 0), K),
        ((0, 0, 16, 20), (1, 1), K),
        ((4, 2, 8, 10), (0, 0), [50, 0, 9.5 - 4, 0, 51, 7.5 - 2, 0, 0, 1]),
        ((0, 0, 0, 0), (2, 2), [25, 0, 10 / 2 - 0.5, 0, 25.5, 8 / 2 - 0.5, 0, 0, 1]),
    ],
    ids=['whole', 'whole, binned by 1', 'cut', 'binned'],
)
def test_region_and_binning_give_the_intrinsics_of_the_pixels_that_are_there(
    tmp_path: Path,
    pixels: np.ndarray,
    roi: tuple[int, ...],
    binning: tuple[int, int],
    intrinsics: list[float],
) -> None:
    info = camera_info(STAMPS_NS[0], roi=roi)
    info.binning_x, info.binning_y = binning
    pixels = np.ascontiguousarray(pixels[: (roi[2] or 16) // max(1, binning[1])])
    pixels = np.ascontiguousarray(pixels[:, : (roi[3] or 20) // max(1, binning[0])])
    messages = [
        ('/cam/camera_info', info),
        ('/cam/image_raw', image_message(STAMPS_NS[0], pixels, 'rgb8')),
    ]

    (view,) = read_bag_views(write_bag(tmp_path / 'bag', messages))

    np.testing.assert_array_equal(view.image, pixels)
    np.testing.assert_allclose(view.intrinsics.ravel(), intrinsics)


def test_an_image_that_cannot_be_decoded_is_left_out_and_said(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = image_message(STAMPS_NS[0], pixels, 'rgb8')
    wrong.step = 7
    messages = [('/image', wrong), ('/image', image_message(STAMPS_NS[1], pixels, 'rgb8'))]

    views = read_bag_views(write_bag(tmp_path / 'bag', messages))

    assert [view.stamp_ns for view in views] == [STAMPS_NS[1]]
    assert '1 images of /image are left out' in caplog.text
    assert 'step' in caplog.text


def test_uncalibrated_camera_has_no_intrinsics(tmp_path: Path, pixels: np.ndarray) -> None:
    messages = [
        ('/cam/camera_info', camera_info(STAMPS_NS[0], k=np.zeros(9))),
        ('/cam/image_raw', image_message(STAMPS_NS[0], pixels, 'rgb8')),
    ]

    views = read_bag_views(write_bag(tmp_path / 'bag', messages))

    assert views[0].intrinsics is None


def test_unknown_encoding_and_truncated_data_are_refused(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    unknown = image_message(STAMPS_NS[0], pixels, 'rgb9')
    truncated = image_message(STAMPS_NS[0], pixels, 'rgb8')
    truncated.data = truncated.data[:-7]

    for name, message in (('unknown', unknown), ('truncated', truncated)):
        with pytest.raises(InputError, match=r'cannot be read|not valid'):
            read_bag_views(write_bag(tmp_path / name, [('/image', message)]))


@pytest.mark.parametrize(
    ('name', 'spoilt'),
    [
        (b'sensor_msgs/msg/CameraInfo', b'sensor_msgs\n\x10\x10\x10CameraInfo\n'),
        (b'/cam/camera_info', b'/cam/c\x1bm\nra_info'),
    ],
)
def test_topic_whose_name_or_type_is_none_is_left_out_in_one_line(
    tmp_path: Path,
    pixels: np.ndarray,
    caplog: pytest.LogCaptureFixture,
    name: bytes,
    spoilt: bytes,
) -> None:
    messages = [
        ('/cam/camera_info', camera_info(STAMPS_NS[0])),
        ('/cam/image_raw', image_message(STAMPS_NS[0], pixels, 'rgb8')),
    ]
    file = next(write_bag(tmp_path / 'bag', messages).glob('*.mcap'))
    data = file.read_bytes()
    assert len(spoilt) == len(name)
    file.write_bytes(data.replace(name, spoilt))

    (view,) = read_bag_views(file)
    with open_bag(file) as bag:
        topics = list(bag.topics)

    assert view.intrinsics is None
    assert topics == ['/cam/image_raw']
    assert 'is left out: its name, or its type' in caplog.text
    assert all(line.isprintable() for line in caplog.messages)


def test_a_folder_that_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').write_text('nothing: here\n')

    assert is_bag(tmp_path)
    with pytest.raises(InputError, match='cannot be read'):
        read_bag_views(tmp_path)


def test_folder_of_bags_is_refused_with_their_names(tmp_path: Path) -> None:
    (tmp_path / 'kitchen').mkdir()
    (tmp_path / 'kitchen' / 'metadata.yaml').write_text('nothing: here\n')

    with pytest.raises(InputError, match=r'is no bag, but holds some: .*kitchen'):
        read_bag_views(tmp_path)
