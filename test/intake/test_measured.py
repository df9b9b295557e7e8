"""Poses, depth and clouds of others are read as their messages mean them, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.intake.measured.points import cloud_points
from moe3d_engine.intake.measured.points import DepthPoints
from moe3d_engine.intake.measured.points import MAX_POINTS
from moe3d_engine.intake.measured.poses import decode_odometry
from moe3d_engine.intake.measured.poses import decode_pose
from moe3d_engine.intake.measured.poses import is_lost
import numpy as np
from numpy.typing import NDArray
import pytest

Message = Any
HW = (30, 40)


def pose(
    position: Sequence[float] = (1.0, 2.0, 3.0), quaternion: Sequence[float] = (0.0, 0.0, 0.6, 0.8)
) -> Message:
    return SimpleNamespace(
        position=SimpleNamespace(**dict(zip('xyz', position, strict=True))),
        orientation=SimpleNamespace(**dict(zip('xyzw', quaternion, strict=True))),
    )


def odometry(variances: Sequence[float] = (0.0,) * 6, **fields: Sequence[float]) -> Message:
    covariance = np.diag(np.asarray(variances)).ravel()
    return SimpleNamespace(pose=SimpleNamespace(pose=pose(**fields), covariance=covariance))


def image(values: NDArray[Any], encoding: str) -> Message:
    height, width = values.shape
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=values.itemsize * width,
        data=np.frombuffer(values.tobytes(), np.uint8),
    )


def info(
    hw: tuple[int, int] = HW, focal: float = 40.0, distortion: Sequence[float] = (0.0,) * 5
) -> Message:
    centre = (hw[1] - 1) / 2, (hw[0] - 1) / 2
    k = [focal, 0.0, centre[0], 0.0, focal, centre[1], 0.0, 0.0, 1.0]
    roi = SimpleNamespace(x_offset=0, y_offset=0, height=0, width=0)
    return SimpleNamespace(
        height=hw[0], width=hw[1], distortion_model='plumb_bob', d=list(distortion), k=k,
        r=np.eye(3).ravel(), p=np.insert(k, [3, 6, 9], 0.0), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def cloud(points: NDArray[Any], *, padding: int = 4, height: int = 1) -> Message:
    """Return a cloud of (N, 3) points with bytes between them and behind each row."""
    width = len(points) // height
    size = points.itemsize
    step = 3 * size + padding
    rows = np.zeros((height, width * step + 8), np.uint8)
    packed = (
        points.reshape(height, width, 3).copy().view(np.uint8).reshape(height, width, 3 * size)
    )
    rows[:, : width * step].reshape(height, width, step)[..., padding:] = packed
    kind = {4: 7, 8: 8}[size]
    fields = [
        SimpleNamespace(name=name, offset=padding + size * k, datatype=kind, count=1)
        for k, name in enumerate('xyz')
    ]
    return SimpleNamespace(
        height=height, width=width, fields=fields, is_bigendian=False, point_step=step,
        row_step=rows.shape[1], data=rows.ravel(),
    )  # fmt: skip


def test_pose_becomes_the_transform_from_its_frame_to_the_parent() -> None:
    matrix = decode_pose(pose(quaternion=(0.0, 0.0, 3.0, 4.0)))

    np.testing.assert_allclose(matrix[:3, :3], rotation_from_quaternion((0.0, 0.0, 0.6, 0.8)))
    np.testing.assert_allclose(matrix[:, 3], [1.0, 2.0, 3.0, 1.0])


@pytest.mark.parametrize(
    'fields',
    [
        {'position': (np.nan, 0.0, 0.0)},
        {'position': (0.0, np.inf, 0.0)},
        {'position': (0.0, 0.0, 1e300)},
        {'quaternion': (0.0, 0.0, 0.0, 0.0)},
        {'quaternion': (np.nan, 0.0, 0.0, 1.0)},
        {'quaternion': (1e300, 0.0, 0.0, 1.0)},
        {'variances': (-1.0, 1.0, 1.0, 1.0, 1.0, 1.0)},
        {'variances': (1.0, 1.0, 1.0, 1.0, 1.0, np.nan)},
    ],
)
def test_odometry_that_cannot_be_right_is_refused(fields: dict[str, Any]) -> None:
    decode_odometry(odometry())
    with pytest.raises(InputError):
        decode_odometry(odometry(**fields))


def test_odometry_says_that_it_is_lost_by_a_null_quaternion_or_a_huge_variance() -> None:
    assert is_lost(odometry(quaternion=(0.0,) * 4))
    assert is_lost(odometry(variances=(9999.0,) * 6))
    # A robot on the floor knows nothing of its height.
    assert not is_lost(odometry(variances=(0.1, 0.1, 1e12, 1e12, 1e12, 0.1)))


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_depth_becomes_points_through_its_own_intrinsics(encoding: str) -> None:
    metres = np.full(HW, 2.0, np.float32)
    metres[3, 5], metres[4, 5] = 0.0, 3.0
    values = metres if encoding == '32FC1' else (1000 * metres).astype(np.uint16)

    points = DepthPoints(None, pytest.fail).points_of(image(values, encoding), info())

    assert len(points) == HW[0] * HW[1] - 1
    u = 40.0 * points[:, 0] / points[:, 2] + (HW[1] - 1) / 2
    v = 40.0 * points[:, 1] / points[:, 2] + (HW[0] - 1) / 2
    far = np.flatnonzero(points[:, 2] > 2.5)
    np.testing.assert_allclose([u[far], v[far]], [[5], [4]], atol=1e-4)
    np.testing.assert_allclose(u, np.rint(u), atol=1e-4)


def test_unknown_depth_has_no_points() -> None:
    values = np.full(HW, 2.0, np.float32)
    values[0, :4] = np.nan, np.inf, -1.0, 0.0

    points = DepthPoints(None, pytest.fail).points_of(image(values, '32FC1'), info())

    assert len(points) == values.size - 4


def test_large_depth_becomes_a_grid_on_the_same_surface() -> None:
    hw = (480, 640)
    columns = np.arange(hw[1])
    slope = 1.0 / (0.5 - 0.2 * (columns - (hw[1] - 1) / 2) / 500.0)  # a plane: z = 2 + .4 x
    values = np.broadcast_to(slope, hw).astype(np.float32)

    points = DepthPoints(None, pytest.fail).points_of(image(values, '32FC1'), info(hw, 500.0))

    assert MAX_POINTS / 2 < len(points) <= MAX_POINTS
    np.testing.assert_allclose(points[:, 2], 2.0 + 0.4 * points[:, 0], rtol=1e-5)


def test_depth_of_a_distorted_camera_lies_on_rectified_rays() -> None:
    """A pinhole would see this pixel farther out than the barrel distortion puts it."""
    calibration = info((300, 400), 200.0, (-0.2, 0.0, 0.0, 0.0, 0.0))
    x, y = 0.6, 0.4  # of the ray
    shrunk = 1 - 0.2 * (x * x + y * y)
    column = round(200.0 * x * shrunk + 199.5)
    row = round(200.0 * y * shrunk + 149.5)
    values = np.full((300, 400), 2.0, np.float32)
    values[row - 2 : row + 3, column - 2 : column + 3] = 3.0

    points = DepthPoints(None, pytest.fail).points_of(image(values, '32FC1'), calibration)

    marked = points[points[:, 2] > 2.5]
    np.testing.assert_allclose(marked.mean(0)[:2] / 3.0, (x, y), atol=0.01)


@pytest.mark.parametrize(
    ('values', 'encoding', 'reason'),
    [
        (np.full(HW, 1500.0, np.float32), '32FC1', 'looks like millimetres'),
        (np.zeros(HW, np.uint8), 'mono8', 'encoding'),
        (np.zeros((HW[0], 2 * HW[1]), np.uint16), '16UC1', 'camera_info is of images'),
    ],
)
def test_depth_that_is_none_is_refused(values: NDArray[Any], encoding: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        DepthPoints(None, pytest.fail).points_of(image(values, encoding), info())


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('height', [1, 5])
def test_cloud_is_read_past_padding(dtype: type[Any], height: int) -> None:
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype)

    np.testing.assert_array_equal(cloud_points(cloud(points, height=height)), points)


def test_echoes_that_are_missing_are_left_out_and_many_points_thinned() -> None:
    points = np.ones((3 * MAX_POINTS, 3), np.float32)
    points[0], points[3], points[6, 1] = 0.0, np.nan, np.inf

    found = cloud_points(cloud(points))

    assert len(found) == MAX_POINTS - 3
    assert np.isfinite(found).all()


def test_empty_cloud_has_no_points() -> None:
    assert cloud_points(cloud(np.zeros((0, 3), np.float32))).shape == (0, 3)


@pytest.mark.parametrize(
    'change',
    [
        {'fields': []},
        {'point_step': 8},
        {'point_step': 0},
        {'row_step': 3},
        {'width': 100_000_000},
        {'data': np.zeros(7, np.uint8)},
    ],
)
def test_cloud_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    message = cloud(np.ones((20, 3), np.float32))
    for name, value in change.items():
        setattr(message, name, value)

    with pytest.raises(InputError, match='cloud'):
        cloud_points(message)


def test_cloud_of_integers_is_refused() -> None:
    message = cloud(np.ones((20, 3), np.float32))
    message.fields[1].datatype = 5

    with pytest.raises(InputError, match=r"'y' of type 5"):
        cloud_points(message)


def test_random_damage_is_refused_or_harmless() -> None:
    """What comes out is finite; nothing but InputError is raised, and no memory beyond is read."""
    rng = Random(0)
    numbers = (0, 1, 3, 4, 12, 16, 20, 255, 2**16, 2**31, 2**32 - 1)
    num_read = 0
    for _ in range(2000):
        message = cloud(np.ones((20, 3), np.float32), height=rng.choice((1, 2, 4)))
        for _ in range(rng.choice((1, 1, 2, 3))):
            owner, name = rng.choice(
                [(message, name) for name in ('width', 'height', 'point_step', 'row_step')]
                + [(field, name) for field in message.fields for name in ('offset', 'datatype')]
            )
            setattr(owner, name, rng.choice(numbers))
        if rng.random() < 0.3:
            message.data = message.data[: rng.randrange(len(message.data))]
        with suppress(InputError):
            points = cloud_points(message)
            num_read += 1
            assert np.isfinite(points).all()
            assert len(points) <= 20
    assert 0 < num_read < 2000
