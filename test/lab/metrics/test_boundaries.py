"""Boundary sharpness against the references' numbers and against steps made by hand."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.depth_edges import boundary_f1
from moe3d_engine.lab.metrics.boundaries import boundary_f1_moge
import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / 'golden'
CASES = ('identical', 'blur_s1', 'shift_1px', 'noise_2pct')


def stairs() -> np.ndarray:
    """Return depth with a near square in the middle: steps of factor 2 in all four directions."""
    depth = np.full((12, 16), 4.0, np.float32)
    depth[4:8, 5:11] = 2.0
    return depth


@pytest.mark.parametrize('case', CASES)
def test_f1_equals_depth_pro(case: str) -> None:
    golden = np.load(GOLDEN / 'depthpro_boundary.npz', allow_pickle=False)

    score = boundary_f1(golden[f'{case}__pred'], golden[f'{case}__gt'])

    assert score == pytest.approx(golden[f'{case}__SI_boundary_F1'], abs=1e-9)


@pytest.mark.parametrize('case', ['identical', 'blur_s1'])
@pytest.mark.parametrize('radius', [1, 2, 3])
def test_f1_equals_moge(case: str, radius: int) -> None:
    """The reference divides in float32."""
    golden = np.load(GOLDEN / 'moge_boundary.npz', allow_pickle=False)

    score = boundary_f1_moge(golden[f'{case}__pred'], golden['gt'], golden['mask'], radius)

    assert score == pytest.approx(golden[f'{case}__f1_radius123'][radius - 1], abs=1e-7)


def test_scale_does_not_matter() -> None:
    gt = stairs()

    assert boundary_f1(3.7 * gt, gt) == 1.0
    assert boundary_f1_moge(3.7 * gt, gt, np.ones(gt.shape, bool), 2) == 1.0


def test_flat_prediction_scores_nothing() -> None:
    gt = stairs()

    assert boundary_f1(np.ones_like(gt), gt) == 0.0
    assert boundary_f1_moge(np.ones_like(gt), gt, np.ones(gt.shape, bool), 1) == 0.0


@pytest.mark.parametrize('unknown', [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_hole_in_ground_truth_is_no_boundary_and_hides_what_is_predicted_there(
    unknown: float,
) -> None:
    gt, pred = stairs(), stairs()
    gt[1:3, 12:15] = unknown
    pred[1:3, 12:15] = 1.0

    assert boundary_f1(pred, gt) == 1.0
    assert boundary_f1_moge(pred, gt, np.ones(gt.shape, bool), 1) == 1.0


def test_mask_hides_what_is_predicted_there() -> None:
    gt, pred = stairs(), stairs()
    pred[1:3, 12:15] = 1.0
    mask = np.ones(gt.shape, bool)
    mask[1:3, 12:15] = False

    assert boundary_f1_moge(pred, gt, np.ones_like(mask), 1) < 0.9
    assert boundary_f1_moge(pred, gt, mask, 1) == 1.0


@pytest.mark.parametrize('unknown', [np.nan, np.inf, 0.0])
def test_rejected_boundary_costs_recall_but_not_precision(unknown: float) -> None:
    """Half of the square's columns are rejected: of the rows' steps all, of the columns' half."""
    gt, pred = stairs(), stairs()
    pred[:, 8:] = unknown  # right half: the step at the right side and half of top and bottom
    recall = (1 + 0.5 + 0 + 0.5) / 4  # left, top, right, bottom
    precision = (1 + 1 + 0 + 1) / 4  # a direction without a prediction counts 0

    expected = 2 * precision * recall / (precision + recall)

    assert boundary_f1(pred, gt) == pytest.approx(expected)


def test_wrong_shapes_and_radius_are_refused() -> None:
    depth = np.ones((4, 5), np.float32)
    mask = np.ones((4, 5), bool)

    with pytest.raises(ShapeError, match='one view at a time'):
        boundary_f1(depth[None], depth[None])
    with pytest.raises(ShapeError, match='5 x 5'):
        boundary_f1_moge(depth, depth, mask, 2)
    with pytest.raises(ConfigError, match='radius'):
        boundary_f1_moge(depth, depth, mask, 0)
