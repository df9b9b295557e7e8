"""Rectified pixels obey the pinhole model of the intrinsics that are published with them."""

from __future__ import annotations

import re
from typing import Any

import cv2
from moe3d_engine.errors import InputError
import numpy as np
from numpy.typing import ArrayLike
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.intake.calibration import image_hw_of
from moe3d_engine.intake.calibration import is_calibrated
from moe3d_engine.intake.rectification import calibration_key
from moe3d_engine.intake.rectification import open_rectifier
from moe3d_engine.intake.rectification import Rectifiers
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
    ('field', 'value', 'text'),
    [
        ('k', np.zeros(9), 'K = 0 .* but a P'),
        ('k', -K, 'K = .-200, .*focal lengths'),
        ('k', np.where(K == 200.0, np.nan, K), 'K = .nan.*finite'),
        ('k', np.where(K == 200.0, 1e-300, K), r'K = .1e-300, .*320x240'),
        ('k', np.where(K == 205.0, 1e300, K), r'K = .*1e\+300.*focal lengths'),
        ('k', K.T, r'K = .*\(0, 0, 1\) as the last row'),
        ('k', K / 200, 'focal lengths that images of 320x240 pixels can have'),
        ('k', K + 50 * np.eye(3, k=1)[[0, 2, 2]], r'rows of \(fx, 0, cx\)'),
        ('k', np.where(K == 158.0, 1e9, K), 'principal point near the image'),
        ('p', np.hstack([K * 1e-300, np.zeros((3, 1))]), 'P = .2e-298'),
        ('p', np.hstack([K, np.full((3, 1), np.inf)]), 'P = .*twelve finite numbers'),
        ('p', np.hstack([K.T, np.zeros((3, 1))]), 'P = .*last row'),
        ('p', np.hstack([-K, np.zeros((3, 1))]), 'P = .-200'),
        ('r', [np.nan] * 9, 'R = .nan.*orthonormal'),
        ('r', [1, 0, 0, 0, 1, 0, 0, 0, 0], r'R = .1, 0, 0, 0, 1, 0, 0, 0, 0\]'),
        ('r', [0.9985, -3e-5, 0.0044, 0.0003, 0.9985, 5e-324, 0, 4e-310, 4e-310], 'R = .0.9985'),
        ('r', np.diag([-1, 1, 1]), 'R = .-1, .*determinant'),
        ('r', np.diag([-1, 1, -1]), 'R = .*looks where the raw one looks'),
        ('r', np.eye(3) * 1.01, 'R = .1.01, .*within 0.001'),
        ('r', np.full(9, 1e200), 'R = '),
        ('d', [np.nan] * 5, 'D = .nan.*finite'),
        ('d', [1e30, 0, 0, 0, 0], 'D = .1e'),
        ('d', [0.1] * 3, r"'plumb_bob' with D of 3 coefficients"),
        ('d', [0.1] * 8, r"'plumb_bob' with D of 8 .*rational_polynomial \(up to 14\)"),
        ('d', [0.0] * 100_000, '100000 distortion coefficients'),
    ],
)
def test_what_cannot_be_right_is_refused_by_name_and_value(
    field: str, value: ArrayLike, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        open_rectifier(info_of(**{field: value}), HW)


def test_camera_without_any_calibration_is_told_to_be_calibrated() -> None:
    info = info_of(k=np.zeros(9), p=np.zeros(12), r=np.zeros(9))

    assert not is_calibrated(info)
    assert is_calibrated(info_of())
    with pytest.raises(InputError, match=r'not calibrated\. Calibrate it'):
        open_rectifier(info, HW)


@pytest.mark.parametrize('model', ['thin_prism', 'x' * 10_000_000])
def test_unknown_distortion_model_is_refused_in_a_short_message(model: str) -> None:
    with pytest.raises(InputError, match=model[:40]) as raised:
        open_rectifier(info_of(model, d=[0.1] * 5), HW)

    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ('model', 'd'),
    [
        ('equidistant', [*MODELS['equidistant'], 0.0]),
        ('plumb_bob', [-0.25, 0.08, 0.001, -0.002, 0.0, 0.0, 0.0, 0.0]),
        ('plumb_bob', [*MODELS['plumb_bob'], *[0.0] * 5]),
        ('plumb_bob', [-0.25, 0.08, 0.001, -0.002]),
        ('rational_polynomial', [*MODELS['rational_polynomial'], *[0.0] * 6]),
        ('rational_polynomial', [*MODELS['rational_polynomial'], 0.0, 0.0]),
        ('equidistant', [*MODELS['equidistant'], *[0.0] * 10]),
    ],
)
def test_zeros_at_the_end_of_the_coefficients_change_nothing(model: str, d: list[float]) -> None:
    short, long = (open_rectifier(info_of(model, d=c), HW).maps for c in (MODELS[model], d))

    assert short is not None
    assert long is not None
    np.testing.assert_array_equal(long[0], short[0])
    np.testing.assert_array_equal(long[1], short[1])


def test_roi_of_the_whole_image_is_none() -> None:
    info = info_of()
    info.roi.height, info.roi.width = HW

    assert np.array_equal(open_rectifier(info, HW).intrinsics, K)


@pytest.mark.parametrize(
    'roi', [(0, 0, 0, 240), (4, 0, 0, 0), (100, 0, 320, 240), (0, 200, 320, 41), (2**31, 0, 1, 1)]
)
def test_roi_that_is_no_part_of_the_sensor_is_refused(roi: tuple[int, int, int, int]) -> None:
    info = info_of()
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = roi

    with pytest.raises(InputError, match=f'roi of {roi[2]}x{roi[3]} at .{roi[0]}, {roi[1]}'):
        open_rectifier(info, HW)


def test_camera_info_without_a_size_is_not_blamed_on_the_image() -> None:
    info = info_of()
    info.height = info.width = 0

    with pytest.raises(InputError, match='0x0: its driver has not filled it in'):
        image_hw_of(info)


def scaled(by: float) -> Array:
    """Return K of images that are `by` times as large."""
    return np.diag([by, by, 1.0]) @ K


@pytest.mark.parametrize(
    ('field', 'value', 'text'),
    [
        ('k', scaled(0.5), r'K has the principal point at \(79, 60.5\).* 0.5 times as large'),
        ('k', scaled(2.0), 'K has the principal point .* 2 times as large'),
        ('k', scaled(0.25), 'K has the principal point .* 0.25 times as large'),
        ('k', np.where(K == 158.0, 400.0, K), r'\(400, 121\) of 320x240 pixels, outside'),
        ('k', np.where(K == 205.0, 300.0, K), 'K has fx = 200 and fy = 300, though'),
        ('k', np.where(K > 199, 5000.0, K), 'K has a field of view of 3.67 x 2.75 degrees'),
        ('k', np.where(K > 199, 10.0, K), 'K has a field of view of 173 x 170 degrees'),
        ('p', np.hstack([scaled(0.5), np.zeros((3, 1))]), 'P has .* 0.5 times as large'),
        ('p', np.hstack([K @ np.diag([0.8, 0.8, 1]), np.zeros((3, 1))]), 'P .fx = 160. differs'),
        ('r', cv2.Rodrigues(np.array([0.0, 0.0, 1.0]))[0], 'R turns by 57 degrees'),
    ],
)
def test_what_is_improbable_is_told_with_numbers(field: str, value: Array, text: str) -> None:
    fields = {field: value}
    if field == 'k':
        fields['p'] = np.hstack([value, np.zeros((3, 1))])

    warnings = open_rectifier(info_of(**fields), HW).warnings

    assert len([warning for warning in warnings if re.search(text, warning)]) == 1


@pytest.mark.parametrize('model', MODELS)
def test_ordinary_calibration_is_not_complained_of(model: str) -> None:
    info = info_of(model, d=MODELS[model], r=ROTATION)

    assert not open_rectifier(info, HW).warnings


def test_small_cut_in_the_corner_of_a_sensor_is_not_complained_of() -> None:
    info = info_of()
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 300, 220, 20, 20

    assert not open_rectifier(info, (20, 20)).warnings


NEW_K = K * np.array([[0.8], [0.8], [1.0]])
NEW_P = np.hstack([NEW_K, np.array([[-40.0], [0], [0]])])


def test_rectified_images_have_p_and_are_not_rectified_again() -> None:
    info = info_of(d=MODELS['plumb_bob'], r=ROTATION, p=NEW_P)
    image = np.random.default_rng(2).integers(0, 256, (*HW, 3), np.uint8)

    once = open_rectifier(info, HW, rectified=True)

    assert once.rectify(image) is image
    np.testing.assert_allclose(once.intrinsics, NEW_K)
    assert open_rectifier(info, HW).maps is not None
    assert open_rectifier(info, HW, rectified=False).maps is not None


def test_rectified_images_without_p_have_k_only_where_nothing_was_rectified() -> None:
    plain, bent = (info_of(d=d, p=np.zeros(12)) for d in ([], MODELS['plumb_bob']))

    assert np.array_equal(open_rectifier(plain, HW, rectified=True).intrinsics, K)
    with pytest.raises(InputError, match='P = 0'):
        open_rectifier(bent, HW, rectified=True)


def test_rectified_images_need_no_k() -> None:
    info = info_of(k=np.zeros(9), p=NEW_P)

    np.testing.assert_allclose(open_rectifier(info, HW, rectified=True).intrinsics, NEW_K)
    with pytest.raises(InputError, match=r'set input\.rectified to true'):
        open_rectifier(info, HW)


def test_images_that_are_declared_raw_are_not_doubted() -> None:
    info = info_of(p=NEW_P)

    assert 'input.rectified' in open_rectifier(info, HW).warnings[0]
    assert not open_rectifier(info, HW, rectified=False).warnings


def test_calibration_under_which_nothing_was_seen_is_refused() -> None:
    aside = cv2.Rodrigues(np.array([0.0, 1.5, 0.0]))[0]

    with pytest.raises(InputError, match=r'contradicts itself.*0.0%'):
        open_rectifier(info_of(r=aside), HW)


def test_image_that_remap_cannot_address_is_refused_by_its_size() -> None:
    matrix = np.array([[40_000.0, 0, 20_000], [0, 40_000, 2], [0, 0, 1]])
    info = info_of(k=matrix, p=np.zeros(12), d=MODELS['plumb_bob'])
    info.width, info.height = 40_000, 4

    with pytest.raises(InputError, match='40000x4 cannot be rectified: 32766'):
        open_rectifier(info, (4, 40_000))


def test_calibration_is_told_once_and_opened_once() -> None:
    told: list[str] = []
    rectifiers = Rectifiers(warn=told.append)
    odd, other = info_of(k=scaled(0.5), p=np.zeros(12)), info_of(d=MODELS['plumb_bob'])

    opened = [rectifiers.open(info, HW) for info in (odd, odd, other, odd)]

    assert opened[0] is opened[1]
    assert opened[2].maps is not None
    assert len(told) == 1
    assert '0.5 times as large' in told[0]


def test_camera_info_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r'320x240.*640x480'):
        open_rectifier(info_of(), (480, 640))


def test_key_tells_calibrations_apart_but_not_stamps() -> None:
    info, same = info_of(d=[0.1] * 5), info_of(d=[0.1] * 5)
    same.header.stamp.sec = 7

    assert calibration_key(info) == calibration_key(same)
    assert calibration_key(info) != calibration_key(info_of(d=[0.1, 0.1, 0.1, 0.1, 0.2]))
