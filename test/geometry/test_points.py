"""Unprojection and transforms of points, and the ratio between windows."""

from __future__ import annotations

from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.geometry.points import best_in_voxels
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.scale import align_to_previous
import numpy as np
import pytest

INTRINSICS = np.array(
    [
        [[20.0, 0.0, 7.5], [0.0, 21.0, 5.0], [0.0, 0.0, 1.0]],
        [[31.0, 0.0, 9.0], [0.0, 30.0, 6.5], [0.0, 0.0, 1.0]],
    ]
)


def test_unproject_then_project_returns_pixel(rng: np.random.Generator) -> None:
    """Every pixel of every view comes back, with its own intrinsics."""
    depth = rng.uniform(0.5, 9.0, (2, 12, 16)).astype(np.float32)

    points = unproject_depth(depth, INTRINSICS)

    pixels = np.einsum('pij,phwj->phwi', INTRINSICS, points)
    rows, columns = np.mgrid[:12, :16]
    np.testing.assert_allclose(pixels[..., 0] / pixels[..., 2], [columns] * 2, atol=1e-4)
    np.testing.assert_allclose(pixels[..., 1] / pixels[..., 2], [rows] * 2, atol=1e-4)
    np.testing.assert_array_equal(points[..., 2], depth)


@pytest.mark.parametrize('invalid', [np.nan, np.inf])
def test_pixels_without_depth_have_no_point(invalid: float) -> None:
    """Unknown depth and depth beyond range give NaN in all three coordinates, alone."""
    depth = np.ones((2, 4, 5), np.float32)
    depth[1, 2, 3] = invalid

    points = unproject_depth(depth, INTRINSICS)

    assert np.isnan(points[1, 2, 3]).all()
    assert np.count_nonzero(np.isnan(points)) == 3


def test_unprojection_refuses_other_shapes() -> None:
    """One matrix for two depth maps is an error."""
    with pytest.raises(ShapeError, match=r'\(P, 3, 3\)'):
        unproject_depth(np.ones((2, 4, 5), np.float32), INTRINSICS[:1])


def test_transform_by_a_matrix_and_its_inverse_is_identity(rng: np.random.Generator) -> None:
    """Points come back from another frame."""
    points = rng.normal(size=(6, 7, 3)).astype(np.float32)
    a_from_b = np.eye(4)
    a_from_b[:3, :3] = rotation_from_quaternion(rng.normal(size=4))
    a_from_b[:3, 3] = [1.0, -2.0, 0.5]

    there = transform_points(a_from_b, points)

    np.testing.assert_allclose(
        there[2, 3], a_from_b[:3, :3] @ points[2, 3] + a_from_b[:3, 3], atol=1e-5
    )
    np.testing.assert_allclose(transform_points(invert_rigid(a_from_b), there), points, atol=1e-5)


def test_alignment_finds_the_factor_despite_a_moved_object(rng: np.random.Generator) -> None:
    """A third of the pixels may have changed; NaN and Inf do not count."""
    depth = rng.uniform(1.0, 5.0, (20, 30)).astype(np.float32)
    previous = 2.5 * depth
    previous[:6] = 1.0
    previous[6, 0], previous[6, 1] = np.nan, np.inf

    assert align_to_previous(previous, depth) == pytest.approx(2.5, rel=1e-5)


def test_alignment_without_common_pixels_is_refused() -> None:
    """Nothing valid, nothing to align on."""
    depth = np.full((20, 30), np.nan, np.float32)

    with pytest.raises(InputError, match='only 0'):
        align_to_previous(depth, np.ones_like(depth))


@pytest.mark.parametrize('far', [0.0, 1e9], ids=['close together', 'so far that keys overflow'])
def test_each_cube_keeps_its_point_of_the_highest_confidence(
    rng: np.random.Generator, far: float
) -> None:
    points = rng.normal(0, 0.5, (500, 3)).astype(np.float32)
    points[0] = -far, far, far
    confidence = rng.permutation(500).astype(np.float32) / 500
    best: dict[tuple[int, ...], int] = {}
    for index in np.argsort(confidence).tolist():
        best[tuple(np.floor(points[index] / np.float32(0.3)).astype(int).tolist())] = index

    kept = best_in_voxels(points, confidence, 0.3)

    assert len(kept) < 400
    assert sorted(kept.tolist()) == sorted(best.values())


def test_no_points_stay_none() -> None:
    assert len(best_in_voxels(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0.1)) == 0
