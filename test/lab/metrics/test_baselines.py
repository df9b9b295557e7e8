"""Trivial predictions: exact where they can be, best of their kind where they cannot."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.metrics.baselines import best_constant
from moe3d_engine.lab.metrics.baselines import best_plane
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
import numpy as np
import pytest

K = np.array([[20.0, 0, 11.5], [0, 21.0, 8.5], [0, 0, 1]])
HW = (18, 24)


def abs_rel(depth: np.ndarray, gt: np.ndarray) -> float:
    return depth_metrics(depth, gt, align='none').abs_rel


def slanted(normal: tuple[float, float, float], distance: float) -> np.ndarray:
    """Return the depth (H, W) of the plane normal . x = distance in front of a pinhole camera."""
    y, x = np.indices(HW)
    rays = np.stack((x, y, np.ones(HW)), axis=-1) @ np.linalg.inv(K).T
    return (distance / (rays @ np.array(normal))).astype(np.float32)


def test_constant_and_plane_are_exact_on_a_wall() -> None:
    gt = np.full((2, *HW), 3.25, np.float32)

    np.testing.assert_array_equal(best_constant(gt), gt)
    np.testing.assert_allclose(best_plane(gt), gt, rtol=1e-6)


def test_no_other_constant_is_better(rng: np.random.Generator) -> None:
    gt = rng.lognormal(1.0, 0.8, (2, 5, 6)).astype(np.float32)
    best = best_constant(gt)

    smallest = min(abs_rel(np.full_like(gt, value), gt) for value in np.linspace(0.2, 20, 500))

    assert np.ptp(best) == 0
    assert abs_rel(best, gt) <= smallest + 1e-6


def test_plane_is_exact_on_planes_before_a_pinhole_camera() -> None:
    gt = np.stack((slanted((0.3, -0.2, 1.0), 4.0), slanted((0.0, 0.9, 0.5), 1.2)))

    np.testing.assert_allclose(best_plane(gt), gt, rtol=1e-5)


def test_plane_ignores_a_fifth_of_outliers() -> None:
    """AbsRel's optimum passes through the undisturbed majority."""
    truth = slanted((0.3, -0.2, 1.0), 4.0)
    gt = truth.copy()
    gt[5:12, 4:16] *= 0.4

    np.testing.assert_allclose(best_plane(gt[None])[0], truth, rtol=2e-3)


@pytest.mark.parametrize('unknown_share', [0.0, 0.3, 0.6, 0.9, 0.98])
def test_plane_is_never_worse_than_the_constant_and_positive(
    unknown_share: float, rng: np.random.Generator
) -> None:
    """Slanted scenes of much clutter and ever more holes."""
    gt = np.stack([slanted((0.0, 0.9, 0.5), 1.2), slanted((0.5, 0.1, 1.0), 6.0)])
    gt *= rng.lognormal(0.0, 0.5, gt.shape).astype(np.float32)
    gt[rng.uniform(size=gt.shape) < unknown_share] = np.nan
    gt[:, 3, 4] = 2.5

    plane = best_plane(gt)

    assert (plane > 0).all()
    assert abs_rel(plane, gt) <= abs_rel(best_constant(gt), gt) + 1e-7


def test_plane_beats_the_constant_on_a_floor() -> None:
    gt = np.stack([slanted((0.0, 0.9, 0.5), 1.2), slanted((0.0, 0.9, 0.6), 1.2)])

    assert abs_rel(best_plane(gt), gt) < 0.1 * abs_rel(best_constant(gt), gt)


@pytest.mark.parametrize('unknown', [np.nan, np.inf, 0.0, -1.0])
def test_unknown_depth_does_not_count(unknown: float) -> None:
    gt = np.full((1, *HW), 2.0, np.float32)
    gt[0, :9] = unknown

    assert (best_constant(gt) == 2.0).all()
    np.testing.assert_allclose(best_plane(gt), 2.0, rtol=1e-6)


def test_view_without_truth_is_nan_and_leaves_the_others() -> None:
    gt = np.stack((np.full(HW, np.nan), np.full(HW, 2.0))).astype(np.float32)

    plane = best_plane(gt)

    assert np.isnan(plane[0]).all()
    np.testing.assert_allclose(plane[1], 2.0, rtol=1e-6)
    assert (best_constant(gt) == 2.0).all()
    assert np.isnan(best_constant(gt[:1])).all()


def test_single_map_is_refused() -> None:
    for baseline in (best_constant, best_plane):
        with pytest.raises(ShapeError, match=r'\(V, H, W\)'):
            baseline(np.ones(HW, np.float32))
