"""The void test on hand-made steps."""

from __future__ import annotations

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.metrics.flying_points import flying_points
import numpy as np
import pytest

LEVELS = pytest.mark.parametrize('levels', ['gt', 'pred'])


def step(near: float = 2.0, far: float = 5.0) -> np.ndarray:
    """Return (1, 40, 60): near on the left of column 30, far on its right."""
    depth = np.full((1, 40, 60), far, np.float32)
    depth[:, :, :30] = near
    return depth


def slanted_scene(rng: np.random.Generator) -> np.ndarray:
    """Return (2, 40, 60): rectangles before slanted, slightly rough walls."""
    rows, columns = np.mgrid[:40, :60]
    scene = np.stack([4.0 + 0.02 * columns, 6.0 + 0.01 * rows]) + rng.normal(0, 1e-3, (2, 40, 60))
    scene[0, 8:30, 10:25] = 2.0 + 0.004 * columns[8:30, 10:25]
    scene[1, 15:35, 20:50] = 3.0
    return scene.astype(np.float32)


@LEVELS
@pytest.mark.parametrize('scale', [1.0, 0.01, 3.7, 250.0])
def test_truth_has_no_flying_point_at_any_scale(
    levels: str, scale: float, rng: np.random.Generator
) -> None:
    gt = slanted_scene(rng)

    counts = flying_points((gt * scale).astype(np.float32), gt, levels=levels)

    assert counts.boundary > 300
    assert counts.share == 0.0
    assert (counts.swapped, counts.outside, counts.dropped, counts.collapsed) == (0, 0, 0, 0)
    assert counts.scale == pytest.approx(1 / scale, rel=1e-5)


def test_boundary_is_where_a_window_sees_both_surfaces() -> None:
    """Two columns on each side of the step, less the rows that the window does not fit in."""
    assert flying_points(step(), step()).boundary == 4 * 36


@LEVELS
def test_blurred_truth_flies(levels: str) -> None:
    blurred = cv2.GaussianBlur(step()[0], (0, 0), 2.0)[None]

    counts = flying_points(blurred, step(), levels=levels)

    assert counts.share is not None
    assert counts.share > 0.6


@pytest.mark.parametrize(
    ('value', 'counted'),
    [
        (2.5, None),  # 2 + beta * 3 = 2.6 still belongs to the near surface
        (2.7, 'flying'),
        (4.3, 'flying'),
        (4.5, 'swapped'),
        (5.5, 'swapped'),
        (5.7, 'outside'),
        (1.3, 'outside'),
        (np.nan, 'dropped'),
        (np.inf, 'dropped'),
    ],
)
def test_one_pixel_of_the_near_side_is_counted_once(value: float, counted: str | None) -> None:
    depth = step()
    depth[0, 20, 29] = value

    counts = flying_points(depth, step())

    found = {n: getattr(counts, n) for n in ('flying', 'swapped', 'outside', 'dropped')}
    assert found == {name: int(name == counted) for name in found}


def test_dropped_pixels_leave_the_denominator() -> None:
    depth = step()
    depth[0, :, 29] = 3.5
    depth[0, :, 30] = np.nan

    counts = flying_points(depth, step())

    assert (counts.flying, counts.dropped, counts.boundary) == (36, 36, 144)
    assert counts.share == pytest.approx(1 / 3)


def test_deleting_every_edge_has_no_share() -> None:
    depth = step()
    depth[0, :, 25:35] = np.nan

    counts = flying_points(depth, step())

    assert counts.dropped == counts.boundary
    assert counts.share is None


def test_flat_prediction_is_collapsed_not_flying() -> None:
    depth = np.full_like(step(), 3.0)

    counts = flying_points(depth, step(), levels='pred')

    assert counts.collapsed == counts.boundary
    assert counts.flying == 0


def test_levels_of_the_prediction_forgive_a_wrong_gap() -> None:
    """A sharp edge between wrong depths flies against the truth's levels, not against its own."""
    depth = step(2.0, 3.5)  # the far surface is much too near
    depth[:, :, :28] = 2.0

    assert flying_points(depth, step(), levels='pred').share == 0.0
    truth_levels = flying_points(depth, step(2.0, 5.0))
    assert truth_levels.flying + truth_levels.swapped + truth_levels.outside > 0


def test_a_slope_is_no_boundary() -> None:
    """Many small steps make one cluster, however much the window spans."""
    slope = (1.0 * 1.03 ** np.arange(60, dtype=np.float32)) * np.ones((1, 40, 1), np.float32)

    assert flying_points(slope, slope).boundary == 0


def test_three_surfaces_in_a_window_are_left_out() -> None:
    gt = step()
    gt[:, :, 31:] = 9.0  # the surface at 5 m is one column wide

    counts = flying_points(gt, gt)

    assert counts.boundary == 2 * 36  # columns 28 and 32 see only two of them


@pytest.mark.parametrize('unknown', [np.nan, np.inf, 0.0])
def test_windows_with_unknown_truth_are_skipped(unknown: float) -> None:
    gt = step()
    gt[0, 20, 30] = unknown

    counts = flying_points(step(), gt)

    assert counts.boundary == 144 - 20  # 5 rows of the 4 columns within reach


def test_small_images_have_no_boundary() -> None:
    counts = flying_points(np.ones((1, 4, 9), np.float32), np.ones((1, 4, 9), np.float32))

    assert counts.boundary == 0
    assert counts.share is None


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError):
        flying_points(step()[0], step()[0])
    with pytest.raises(ConfigError, match='pred'):
        flying_points(step(), step(), levels='both')
