"""Points near boundaries: closed forms on two parallel planes before a far-away camera."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics import edge_chamfer
from moe3d_engine.lab.metrics import near_surface_share
from moe3d_engine.lab.metrics.edge_cloud import OFF_STRIDE
from moe3d_engine.lab.metrics.edge_cloud import TrueEdges
from moe3d_engine.lab.metrics.flying_points import TrueBoundaries
from moe3d_engine.lab.metrics.reconstruction import reconstruction_metrics

HW = (40, 60)
NEAR_M, FAR_M = 2.0, 5.0
# Rays that are nearly parallel: points of one column of depth differ along z alone.
TELE = np.array([[1e7, 0, 29.5], [0, 1e7, 19.5], [0, 0, 1]])
WIDE = np.array([[50.0, 0, 29.5], [0, 50.0, 19.5], [0, 0, 1]])


def step(far_m: float = FAR_M) -> np.ndarray:
    """Return a plane before a plane: near on the left of column 35, so that it has the median."""
    depth = np.full(HW, far_m, np.float32)
    depth[:, :35] = NEAR_M
    return depth


@pytest.mark.parametrize('scale', [1.0, 0.01, 40.0])
@pytest.mark.parametrize('intrinsics', [TELE, WIDE])
def test_truth_in_any_scale_is_on_its_surfaces(intrinsics: np.ndarray, scale: float) -> None:
    pred = step() * np.float32(scale)

    assert edge_chamfer(pred, step(), intrinsics) == pytest.approx(0.0, abs=1e-5)
    assert near_surface_share(pred, step(), intrinsics) == 1.0


@pytest.mark.parametrize(('shift_m', 'share'), [(0.05, 1.0), (0.2, 0.5), (-0.6, 0.5)])
def test_shifted_plane_is_as_far_off_as_it_is_shifted(shift_m: float, share: float) -> None:
    """Half of the boundary pixels are on the far plane, and each counts in both directions."""
    pred = step(FAR_M + shift_m)

    assert edge_chamfer(pred, step(), TELE) == pytest.approx(abs(shift_m), rel=1e-4)
    assert near_surface_share(pred, step(), TELE) == share


@pytest.mark.parametrize('between_m', [2.5, 3.5, 4.4])
def test_curtain_between_the_planes_is_as_far_off_as_the_nearer_plane(between_m: float) -> None:
    """One of the four columns of boundary pixels flies; all true points are still covered."""
    pred = step()
    pred[:, 34] = between_m

    gap_m = min(between_m - NEAR_M, FAR_M - between_m)
    assert edge_chamfer(pred, step(), TELE) == pytest.approx(gap_m / 4, rel=1e-4)
    assert near_surface_share(pred, step(), TELE) == 0.75


def test_point_midway_between_the_closest_surfaces_is_on_neither() -> None:
    truth = step(NEAR_M * 1.051)
    pred = truth.copy()
    pred[:, 34] = NEAR_M * 1.0255

    assert near_surface_share(pred, truth, TELE) == 0.75


@pytest.mark.parametrize(('shift', 'share'), [(1.02, 0.0), (1.04, 1.0), (0.96, 1.0)])
def test_points_lie_off_all_surfaces_beyond_three_percent_of_their_depth(
    shift: float, share: float
) -> None:
    truth = step()
    truth[:, 50:] = np.nan  # unknown, so nobody can say what is off there
    edges = TrueEdges(TrueBoundaries(truth[None]), TELE[None])
    pred = step()
    pred[:, :35] *= np.float32(shift)

    off, total = edges.count_off(pred[None])

    assert total == pytest.approx(HW[0] * 50 / OFF_STRIDE, abs=1)
    assert off / total == pytest.approx(share * 35 / 50, abs=0.04)


def test_curtain_that_is_not_published_costs_nothing_but_completeness() -> None:
    pred = step()
    pred[:, 34] = np.nan

    assert near_surface_share(pred, step(), TELE) == 1.0
    assert edge_chamfer(pred, step(), TELE) == pytest.approx(0.0, abs=1e-5)
    spacing_m = NEAR_M / 50
    assert edge_chamfer(pred, step(), WIDE) == pytest.approx(spacing_m / 4, rel=1e-4)


def test_it_is_acc_and_comp_of_the_points_at_boundary_pixels(rng: np.random.Generator) -> None:
    truth = step()
    pred = (truth * rng.uniform(0.9, 1.1, HW)).astype(np.float32)
    boundaries = TrueBoundaries(truth[None])
    scale = np.float32(boundaries.scale(pred[None]))

    clouds = [
        unproject_depth(depth[None], WIDE[None])[boundaries.mask].astype(np.float64)
        for depth in (scale * pred, truth)
    ]
    metrics = reconstruction_metrics(*clouds)

    assert edge_chamfer(pred, truth, WIDE) == metrics.acc_mean + metrics.comp_mean


def test_several_views_are_averaged() -> None:
    flat = np.full(HW, NEAR_M, np.float32)  # has no boundary, so it does not count
    preds = np.stack([step(FAR_M + 0.2), step(FAR_M + 0.4), flat])
    truths = np.stack([step(), step(), flat])

    intrinsics = np.stack([TELE] * 3)
    assert edge_chamfer(preds, truths, intrinsics) == pytest.approx(0.3, rel=1e-4)


def test_nothing_near_a_boundary_has_no_figure() -> None:
    flat = np.full(HW, NEAR_M, np.float32)
    gone = step()
    gone[:, 30:40] = np.nan

    for pred, truth in ((flat, flat), (gone, step())):
        assert np.isnan(edge_chamfer(pred, truth, WIDE))
        assert np.isnan(near_surface_share(pred, truth, WIDE))


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ShapeError):
        edge_chamfer(step()[:-1], step(), WIDE)
    with pytest.raises(ShapeError):
        edge_chamfer(step()[None], step()[None], WIDE)
