"""Depth errors against hand-made maps and against the reference's numbers."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
from moe3d_engine.lab.metrics.depth_metrics import l1_scale
import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parents[2] / 'golden' / 'depth_metrics_cut3r.npz'
CONFIGS = {
    'median_max70_clip70': {'align': 'median', 'max_depth': 70.0, 'clip_max': 70.0},
    'metric_max70': {'align': 'none', 'max_depth': 70.0},
}
KINDS = [('mono', ''), ('video', '_video')]


@pytest.mark.parametrize('config', CONFIGS)
@pytest.mark.parametrize(('kind', 'suffix'), KINDS)
def test_figures_equal_the_reference(config: str, kind: str, suffix: str) -> None:
    """CUT3R's nine numbers; its fifth (delta < 1.) is always 0 and is not ours."""
    golden = np.load(GOLDEN, allow_pickle=False)

    metrics = depth_metrics(golden['pred' + suffix], golden['gt' + suffix], **CONFIGS[config])

    expected = np.delete(golden[f'{config}__{kind}'], 4)
    np.testing.assert_allclose(metrics, expected, rtol=1e-6)


@pytest.mark.parametrize(('kind', 'suffix'), KINDS)
def test_scaled_figures_equal_the_reference_in_its_own_arithmetic(kind: str, suffix: str) -> None:
    golden = np.load(GOLDEN, allow_pickle=False)
    pred, gt = golden['pred' + suffix], golden['gt' + suffix]
    valid = np.isfinite(pred) & (gt > 0) & (gt < 70)
    limits = {'max_depth': 70.0, 'clip_max': 70.0}

    scale = l1_scale(torch.from_numpy(pred[valid]), torch.from_numpy(gt[valid]))
    in_float32 = depth_metrics(scale * pred.astype(np.float64), gt, align='none', **limits)
    in_float64 = depth_metrics(pred, gt, align='scale', **limits)

    expected = np.delete(golden[f'scale_max70_clip70__{kind}'], 4)
    np.testing.assert_allclose(in_float32, expected, rtol=1e-6)
    np.testing.assert_allclose(in_float64, expected, rtol=4e-3)


def test_hand_computed_errors() -> None:
    gt = np.array([[1.0, 2.0], [4.0, 5.0]], np.float32)
    depth = np.array([[1.5, 2.0], [3.0, 5.0]], np.float32)

    metrics = depth_metrics(depth, gt, align='none')

    assert metrics.abs_rel == pytest.approx((0.5 + 0.25) / 4)
    assert metrics.sq_rel == pytest.approx((0.25 + 0.25) / 4)
    assert metrics.rmse == pytest.approx(np.sqrt(1.25 / 4))
    assert (metrics.delta1, metrics.delta2, metrics.delta3) == (0.5, 1.0, 1.0)
    assert metrics.valid_pixels == 4


def test_unknown_pixels_of_either_map_do_not_count() -> None:
    gt = np.array([1.0, 2.0, np.nan, np.inf, 0.0, -1.0, 3.0])
    depth = np.array([1.0, np.nan, 1.0, 1.0, 1.0, 1.0, np.inf])

    metrics = depth_metrics(depth, gt, align='none')

    assert metrics.valid_pixels == 1
    assert metrics.abs_rel == 0.0


def test_nothing_valid_gives_nan() -> None:
    metrics = depth_metrics(np.full((2, 2), np.nan), np.ones((2, 2)))

    assert metrics.valid_pixels == 0
    assert np.isnan(metrics.abs_rel)


@pytest.mark.parametrize('align', ['median', 'scale', 'scale_shift'])
def test_scaled_truth_has_no_error(align: str, rng: np.random.Generator) -> None:
    gt = rng.uniform(1.0, 8.0, (30, 40))

    assert depth_metrics(gt / 3.7, gt, align=align).abs_rel == pytest.approx(0.0, abs=1e-6)


def test_scale_and_shift_ignores_a_fifth_of_outliers(rng: np.random.Generator) -> None:
    """The L1 optimum passes through the undisturbed majority."""
    gt = rng.uniform(1.0, 8.0, 500)
    depth = (gt - 0.5) / 2.0
    gt[:100] += 20.0

    metrics = depth_metrics(depth, gt, align='scale_shift')

    assert metrics.delta1 == 0.8
    assert metrics.rmse == pytest.approx(20.0 * np.sqrt(0.2), rel=1e-4)


def test_unknown_alignment_and_other_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match='scale_shift'):
        depth_metrics(np.ones(3), np.ones(3), align='best')
    with pytest.raises(ShapeError, match='Resample'):
        depth_metrics(np.ones(3), np.ones(4))
