"""The classic filters against their originals' masks, and the cut that makes them comparable."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.metrics.filters import confidence_score
from moe3d_engine.lab.metrics.filters import da3_confidence_mask
from moe3d_engine.lab.metrics.filters import da3_score
from moe3d_engine.lab.metrics.filters import depth_aliasing_mask
from moe3d_engine.lab.metrics.filters import depth_edge_mask
from moe3d_engine.lab.metrics.filters import depth_edge_score
from moe3d_engine.lab.metrics.filters import keep_at
from moe3d_engine.lab.metrics.filters import radius_outliers
from moe3d_engine.lab.metrics.filters import ror_score
from moe3d_engine.lab.metrics.filters import shadow_score
from moe3d_engine.lab.metrics.filters import sor_score
from moe3d_engine.lab.metrics.filters import statistical_outliers

GOLDEN = Path(__file__).parents[2] / 'golden'


@pytest.mark.parametrize('name', ['depth', 'depth_blur'])
@pytest.mark.parametrize('size_px', [3, 5])
@pytest.mark.parametrize('rtol', [0.03, 0.04, 0.1])
def test_depth_edges_equal_utils3d(name: str, size_px: int, rtol: float) -> None:
    golden = np.load(GOLDEN / 'utils3d_edge_masks.npz', allow_pickle=False)

    mask = depth_edge_mask(golden[name], rtol, size_px)

    np.testing.assert_array_equal(mask, golden[f'{name}__edge_rtol{rtol}_k{size_px}'])


def test_windows_of_an_even_side_are_refused() -> None:
    with pytest.raises(ConfigError, match='odd side in pixels; got 4'):
        depth_edge_mask(np.ones((4, 4)), 0.03, 4)


@pytest.mark.parametrize('rtol', [0.03, 0.04, 0.1])
@pytest.mark.parametrize('name', ['depth', 'depth_blur'])
def test_aliased_depth_equals_utils3d(name: str, rtol: float) -> None:
    golden = np.load(GOLDEN / 'utils3d_edge_masks.npz', allow_pickle=False)

    mask = depth_aliasing_mask(golden[name], rtol)

    np.testing.assert_array_equal(mask, golden[f'{name}__alias_rtol{rtol}'])


def test_curtain_is_aliased_and_step_and_hole_are_not() -> None:
    depth = np.full((9, 12), 2.0, np.float32)
    depth[:, 6:] = 4.0
    depth[4, 2] = np.nan
    assert not depth_aliasing_mask(depth).any()

    depth[:, 6] = 3.0
    np.testing.assert_array_equal(np.flatnonzero(depth_aliasing_mask(depth).all(axis=0)), [6])


@pytest.mark.parametrize(('nb_neighbors', 'std_ratio'), [(20, 2.0), (20, 1.0), (30, 0.5)])
def test_statistical_outliers_equal_open3d(nb_neighbors: int, std_ratio: float) -> None:
    golden = np.load(GOLDEN / 'open3d_outlier_filters.npz', allow_pickle=False)

    outliers = statistical_outliers(golden['points'], nb_neighbors, std_ratio)

    np.testing.assert_array_equal(~outliers, golden[f'sor_nb{nb_neighbors}_std{std_ratio}__keep'])


@pytest.mark.parametrize(('nb_points', 'radius'), [(16, 0.15), (5, 0.1)])
def test_radius_outliers_equal_open3d(nb_points: int, radius: float) -> None:
    golden = np.load(GOLDEN / 'open3d_outlier_filters.npz', allow_pickle=False)

    outliers = radius_outliers(golden['points'], nb_points, radius)

    np.testing.assert_array_equal(~outliers, golden[f'ror_n{nb_points}_r{radius}__keep'])


def test_depth_edge_score_of_hand_made_windows() -> None:
    depth = np.array([[1.0, 1.0, 1.0, 4.0, 4.0]], np.float32)

    np.testing.assert_array_equal(depth_edge_score(depth), [[0, 0, 3, 0.75, 0]])


@pytest.mark.parametrize('unknown', [np.nan, np.inf, 0.0, -1.0])
def test_unknown_depth_has_no_score_and_makes_no_edge(unknown: float) -> None:
    depth = np.full((2, 4, 4), 3.0, np.float32)
    depth[1, 1, 2] = unknown

    score = depth_edge_score(depth)

    assert np.isnan(score[1, 1, 2])
    assert np.nansum(score) == 0.0
    assert not depth_edge_mask(depth, 0.01).any()


def test_views_do_not_touch() -> None:
    depth = np.stack((np.full((3, 3), 1.0), np.full((3, 3), 9.0)))

    assert not depth_edge_score(depth).any()


def test_scores_of_hand_made_points_count_the_point_itself() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]], np.float32)

    np.testing.assert_array_equal(sor_score(points, 2), [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(sor_score(points, 9), [4 / 3, 1.0, 5 / 3])  # no more than 3
    np.testing.assert_array_equal(ror_score(points, 1.5), [-2, -2, -1])


def test_point_map_with_holes_keeps_its_shape(rng: np.random.Generator) -> None:
    points = rng.uniform(size=(4, 5, 3))
    points[1, 2] = np.nan
    points[3, 0, 2] = np.inf
    holes = ~np.isfinite(points).all(axis=-1)

    for score, alone in (
        (sor_score(points, 3), sor_score(points[~holes], 3)),
        (ror_score(points, 0.5), ror_score(points[~holes], 0.5)),
    ):
        assert np.isnan(score[holes]).all()
        np.testing.assert_array_equal(score[~holes], alone)
    assert statistical_outliers(points, 3, 100.0)[holes].all()
    assert radius_outliers(points, 0, 0.5)[holes].all()


def test_no_points_give_no_scores() -> None:
    empty = np.full((2, 3), np.nan)

    assert np.isnan(sor_score(empty, 4)).all()
    assert np.isnan(ror_score(empty, 1.0)).all()
    assert statistical_outliers(empty, 4, 1.0).all()


def test_least_confident_pixel_is_the_most_suspicious() -> None:
    confidence = np.array([[1.5, 7.0], [np.nan, 3.0]], np.float32)

    np.testing.assert_array_equal(
        keep_at(confidence_score(confidence), 0.7), [[False, True], [False, True]]
    )


@pytest.mark.parametrize('share', [0.0, 0.31, 0.5, 1.0])
def test_exactly_the_share_is_kept_and_it_is_the_least_suspicious(
    share: float, rng: np.random.Generator
) -> None:
    score = rng.normal(size=(7, 9))
    score[2, 3:6] = (np.nan, np.inf, -np.inf)

    keep = keep_at(score, share)

    assert np.count_nonzero(keep) == min(round(share * 61), 60)
    assert not keep[2, 3:6].any()
    assert score[keep].max(initial=-9) <= score[~keep & np.isfinite(score)].min(initial=9)


def test_ties_go_to_the_first() -> None:
    np.testing.assert_array_equal(
        keep_at(np.array([1.0, 0.0, 1.0, 1.0]), 0.75), [True, True, True, False]
    )


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match='share'):
        keep_at(np.zeros(3), 1.1)
    with pytest.raises(ConfigError, match='nb_neighbors'):
        sor_score(np.zeros((4, 3)), 0)
    with pytest.raises(ConfigError, match='radius'):
        ror_score(np.zeros((4, 3)), 0.0)
    with pytest.raises(ShapeError, match=r'\(4, 2\)'):
        sor_score(np.zeros((4, 2)), 1)


def test_shadow_score_finds_the_curtain_between_two_walls() -> None:
    z = np.full((7, 9), 2.0, np.float32)
    z[:, 5:] = 1.0
    z[:, 4] = 1.5
    rows, columns = np.indices(z.shape)
    points = np.stack([(columns - 4) * z / 40, (rows - 3) * z / 40, z], -1)

    score = shadow_score(points)

    np.testing.assert_allclose(score[:, :3], -2.0, atol=1e-6)
    assert (score[:, 4] > -0.2).all()
    points[3, 4] = np.nan
    assert np.isnan(shadow_score(points)[3, 3:6]).all()


@pytest.mark.parametrize(
    ('confidence', 'threshold'),
    [
        (np.arange(1.0, 2.01, 0.1), 1.4),  # the 40th percentile
        (np.linspace(1.0, 1.1, 11), 1.05),  # the constant, above the 40th
        (np.linspace(1.0, 1.01, 11), 1.009),  # the 90th percentile, below the constant
    ],
)
def test_depth_anything_keeps_what_reaches_its_threshold(
    confidence: np.ndarray, threshold: float
) -> None:
    removed = da3_confidence_mask(confidence)

    np.testing.assert_array_equal(removed, confidence < threshold - 1e-9)
    for score in (confidence_score(confidence), da3_score(confidence)):
        kept = keep_at(score, 1 - removed.mean())
        np.testing.assert_array_equal(kept, ~removed)  # at its share both are the percentile


@pytest.mark.parametrize(('share', 'kept'), [(0.3, 30), (0.6, 60), (0.9, 81)])
def test_depth_anything_ranks_as_vggt_down_to_its_floor(share: float, kept: int) -> None:
    confidence = np.linspace(1.0, 1.25, 101)[1:]  # 81 of 100 reach 1.05

    removed = ~keep_at(da3_score(confidence), share)

    np.testing.assert_array_equal(~removed, np.arange(100) >= 100 - kept)
    if kept == 60:
        np.testing.assert_array_equal(removed, da3_confidence_mask(confidence))


def test_unknown_confidence_is_removed_and_moves_no_threshold() -> None:
    confidence = np.array([np.nan, 1.0, 1.2, 1.4, np.inf, 1.6, 1.8])

    np.testing.assert_array_equal(da3_confidence_mask(confidence), [1, 1, 1, 0, 1, 0, 0])
    assert da3_confidence_mask(np.full(3, np.nan)).all()
