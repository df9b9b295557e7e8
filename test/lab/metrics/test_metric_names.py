"""The metrics under their public names and signatures."""

from __future__ import annotations

import subprocess
import sys

from moe3d_engine.lab import metrics as evaluation
import numpy as np
import pytest

NAMES = (
    'boundary_f1', 'boundary_f1_moge', 'depth_boundary_errors', 'depth_metrics', 'edge_chamfer',
    'f_score', 'flying_point_rate', 'free_space_violation', 'fuse_depth', 'near_surface_share',
    'reconstruction_metrics', 'relative_pose_auc', 'trajectory_errors', 'umeyama',
)  # fmt: skip


@pytest.mark.parametrize('name', NAMES)
def test_metric_is_a_function_of_the_package(name: str) -> None:
    pytest.importorskip('scipy')

    assert getattr(evaluation, name).__name__ == name


def test_function_hides_the_module_of_its_name_however_it_was_imported() -> None:
    code = (
        'from moe3d_engine.lab.metrics.depth_metrics import DepthMetrics\n'
        'from moe3d_engine.lab.metrics import depth_metrics\n'
        'import sys; assert callable(depth_metrics); assert "scipy" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_unknown_metric_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match='no_such_metric'):
        _ = evaluation.no_such_metric


def test_masked_pixels_do_not_count() -> None:
    gt = np.ones((2, 2), np.float32)
    pred = np.array([[1, 1], [1, 9]], np.float32)
    mask = np.array([[True, True], [True, False]])

    assert evaluation.depth_metrics(pred, gt, mask, align='none').abs_rel == 0.0
    assert evaluation.depth_metrics(pred, gt, align='none').abs_rel == pytest.approx(2.0)


@pytest.mark.parametrize('levels', ['gt', 'pred'])
def test_flying_point_rate_of_truth_is_zero_and_of_a_ramp_is_not(levels: str) -> None:
    gt = np.full((20, 20), 1.0, np.float32)
    gt[:, 10:] = 2.0
    ramp = gt.copy()
    ramp[:, 9:11] = [1.4, 1.6]

    assert evaluation.flying_point_rate(gt, gt, levels) == 0.0
    assert evaluation.flying_point_rate(ramp, gt, levels) > 0.3
