"""Rectified pixels obey the pinhole model of the intrinsics that are published with them."""

from __future__ import annotations

from typing import Any

import cv2
from moe3d_engine.errors import InputError
import numpy as np
from numpy.typing import ArrayLike
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.intake.rectification import calibration_key
from moe3d_engine.intake.rectification import open_rectifier
from sensor_msgs.msg import CameraInfo

Array = Any
Message = Any
K = np.array([[200.0, 0, 158.0], [0, 205.0, 121.0], [0, 0, 1]])
HW = (240, 320)
MODELS = {
    'plumb_bob': [-0.25, 0.08, 0.001, -0.002, 0.0],
    'rational_polynomial': [0.3, 0.1, 0.001, -0.001, 0.02, 0.6, 0.2, 0.05],
    'equidistant': [0.05, 0.01, -0.004, 0.001],
}
ROTATION = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]


def info_of(model: str = 'plumb_bob', **fields: ArrayLike) -> Message:
    """Return a camera_info of K; fields replace what it holds."""
    info = CameraInfo(height=HW[0], width=HW[1], distortion_model=model)
    values = {'k': K, 'r': np.eye(3), 'p': np.hstack([K, np.zeros((3, 1))]), **fields}
    for name, value in values.items():
        setattr(info, name, np.ravel(value).astype(float).tolist())
    return info


def raw_pixels(model: str, points: Array) -> Array:
    """Return where a camera with distortion sees points (N, 3)."""
    if model == 'equidistant':
        distort, shape = cv2.fisheye.projectPoints, (-1, 1, 3)
        pixels = distort(
            points.reshape(shape), np.zeros(3), np.zeros(3), K, np.array(MODELS[model])
        )[0]
    else:
        pixels = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, np.array(MODELS[model]))[0]
    return pixels.reshape(-1, 2)


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('rotation', [np.eye(3), ROTATION], ids=['upright', 'rotated'])
def test_rectified_image_shows_points_where_its_intrinsics_say(
    model: str, rotation: Array
) -> None:
    new_k = K * np.array([[0.9], [0.9], [1.0]])
    info = info_of(model, d=MODELS[model], r=rotation, p=np.hstack([new_k, np.zeros((3, 1))]))
    rectifier = open_rectifier(info, HW)
    for point in np.array([[0.0, 0.0, 2.0], [0.5, 0.3, 2.0], [-0.6, 0.4, 2.0], [0.4, -0.5, 1.5]]):
        u, v = raw_pixels(model, point[None])[0]
        columns, rows = np.meshgrid(np.arange(HW[1]), np.arange(HW[0]))
        blob = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8)
        image = np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2)

        rectified = rectifier.rectify(image)[..., 0].astype(float)

        seen = [(rectified * columns).sum(), (rectified * rows).sum()] / rectified.sum()
        x, y, z = rectifier.intrinsics @ rotation @ point
        np.testing.assert_allclose(seen, [x / z, y / z], atol=0.15)


@pytest.mark.parametrize('model', ['plumb_bob', 'equidistant', ''])
def test_image_without_distortion_stays_as_it_is(model: str) -> None:
    image = np.random.default_rng(2).integers(0, 256, (*HW, 3), np.uint8)

    rectifier = open_rectifier(info_of(model, d=[0.0] * 4), HW)

    assert rectifier.rectify(image) is image
    assert np.array_equal(rectifier.intrinsics, K)
    assert rectifier.seen(HW, (56, 84)).all()


def test_zero_r_and_zero_p_stand_for_identity_and_k() -> None:
    rectifier = open_rectifier(info_of(r=np.zeros(9), p=np.zeros(12)), HW)

    assert rectifier.maps is None
    assert np.array_equal(rectifier.intrinsics, K)


def test_distorted_image_without_p_keeps_k() -> None:
    info = info_of(d=MODELS['plumb_bob'], p=np.zeros(12))

    assert np.array_equal(open_rectifier(info, HW).intrinsics, K)


def test_pixels_beyond_the_raw_image_are_not_seen() -> None:
    half_focal = K * np.array([[0.5, 1, 1], [1, 0.5, 1], [1, 1, 1]])
    wide = np.hstack([half_focal, np.zeros((3, 1))])

    seen = open_rectifier(info_of(p=wide), HW).seen(HW, (56, 84))

    assert not seen[0].any()
    assert seen[28, 42]


def test_cut_and_binned_image_has_its_own_intrinsics() -> None:
    info = info_of()
    info.binning_x = info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 20, 10, 160, 120

    intrinsics = open_rectifier(info, (60, 80)).intrinsics

    # A point at raw pixel (u, v) lies at ((u - offset + 0.5) / 2 - 0.5) of the binned image.
    np.testing.assert_allclose(intrinsics[0], [100.0, 0.0, (158 - 20 + 0.5) / 2 - 0.5])
    np.testing.assert_allclose(intrinsics[1], [0.0, 102.5, (121 - 10 + 0.5) / 2 - 0.5])


@pytest.mark.parametrize(
    ('info', 'text'),
    [
        (info_of(k=np.zeros(9)), 'not calibrated'),
        (info_of(k=-K), 'not calibrated'),
        (info_of(k=np.where(K == 200.0, np.nan, K)), 'not calibrated'),
        (info_of(d=[np.nan] * 5), 'not finite'),
        (info_of('plumb_bob', d=[0.1] * 3), 'plumb_bob'),
        (info_of('thin_prism', d=[0.1] * 5), 'thin_prism'),
    ],
)
def test_calibration_that_cannot_be_used_is_refused(info: Message, text: str) -> None:
    with pytest.raises(InputError, match=text):
        open_rectifier(info, HW)


def test_camera_info_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r'320x240.*640x480'):
        open_rectifier(info_of(), (480, 640))


def test_key_tells_calibrations_apart_but_not_stamps() -> None:
    info, same = info_of(d=[0.1] * 5), info_of(d=[0.1] * 5)
    same.header.stamp.sec = 7

    assert calibration_key(info) == calibration_key(same)
    assert calibration_key(info) != calibration_key(info_of(d=[0.1, 0.1, 0.1, 0.1, 0.2]))
