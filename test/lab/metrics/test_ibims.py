"""Depth boundary errors against the public code's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('skimage')

from moe3d_engine.lab.metrics.ibims import depth_boundary_errors
from moe3d_engine.lab.metrics.ibims import depth_edges

GOLDEN = Path(__file__).parents[2] / 'golden'
CASES = ('identical', 'blur1', 'blur2', 'blur4', 'shift3', 'flat')


@pytest.mark.parametrize('case', CASES)
def test_errors_equal_the_public_code(case: str) -> None:
    golden = np.load(GOLDEN / 'ibims_dbe.npz')

    found = depth_boundary_errors(golden[f'{case}__pred'], golden['edges_gt'] > 0)

    assert found.accuracy_px == pytest.approx(golden[f'{case}__dbe_acc'], abs=1e-9)
    assert found.completeness_px == pytest.approx(golden[f'{case}__dbe_comp'], abs=1e-9)


@pytest.mark.parametrize('case', CASES)
def test_edges_equal_the_public_code(case: str) -> None:
    golden = np.load(GOLDEN / 'ibims_dbe.npz')

    np.testing.assert_array_equal(depth_edges(golden[f'{case}__pred']), golden[f'{case}__edges'])


def test_truth_without_edges_judges_nothing() -> None:
    depth = np.ones((8, 8), np.float32)

    assert np.isnan(depth_boundary_errors(depth, np.zeros((8, 8), bool))).all()
    assert not depth_edges(np.zeros((8, 8), np.float32)).any()
