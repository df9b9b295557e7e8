"""PLY and PCD files."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.clouds import CLOUD_WRITERS
from moe3d_engine.clouds import is_own_ply
from moe3d_engine.clouds import write_pcd
from moe3d_engine.clouds import write_ply
from moe3d_engine.errors import ShapeError
import numpy as np
import pytest


def test_ply_holds_the_points_and_colours_as_binary_little_endian(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    points = rng.normal(size=(5, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (5, 3), np.uint8)

    write_ply(tmp_path / 'cloud.ply', points, colors)

    header, _, body = (tmp_path / 'cloud.ply').read_bytes().partition(b'end_header\n')
    lines = header.splitlines()
    assert lines[:2] == [b'ply', b'format binary_little_endian 1.0']
    assert b'element vertex 5' in lines
    assert is_own_ply(tmp_path / 'cloud.ply')
    assert header.count(b'property float') == header.count(b'property uchar') == 3
    rows = np.frombuffer(body, np.uint8).reshape(5, 15)
    np.testing.assert_array_equal(rows[:, :12].copy().view('<f4'), points)
    np.testing.assert_array_equal(rows[:, 12:], colors)


def test_pcd_holds_the_points_and_packed_colours_in_binary(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    points = rng.normal(size=(5, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (5, 3), np.uint8)

    write_pcd(tmp_path / 'cloud.pcd', points, colors)

    header, _, body = (tmp_path / 'cloud.pcd').read_bytes().partition(b'DATA binary\n')
    fields = dict(line.split(' ', 1) for line in header.decode().splitlines()[1:])
    assert (fields['VERSION'], fields['FIELDS'], fields['TYPE']) == ('0.7', 'x y z rgb', 'F F F F')
    assert (fields['WIDTH'], fields['HEIGHT'], fields['POINTS']) == ('5', '1', '5')
    rows = np.frombuffer(body, '<f4').reshape(5, 4)
    np.testing.assert_array_equal(rows[:, :3], points)
    blue_green_red_zero = np.ascontiguousarray(rows[:, 3]).view(np.uint8).reshape(5, 4)
    np.testing.assert_array_equal(blue_green_red_zero[:, 2::-1], colors)
    assert not blue_green_red_zero[:, 3].any()


@pytest.mark.parametrize('format_name', CLOUD_WRITERS)
def test_cloud_with_fewer_colours_than_points_is_refused(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(ShapeError):
        CLOUD_WRITERS[format_name](
            tmp_path / 'cloud', np.zeros((5, 3), np.float32), np.zeros((4, 3), np.uint8)
        )


def test_cloud_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / 'cloud.ply').write_bytes(b'ply\nformat ascii 1.0\n')

    assert not is_own_ply(tmp_path / 'cloud.ply')
