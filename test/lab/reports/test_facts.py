"""Facts about figures: whatever a command writes is explained, once, and the docs agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('scipy')
pytest.importorskip('skimage')

from moe3d_engine.lab.metrics.poses import TrajectoryErrors
from moe3d_engine.lab.metrics.reconstruction import ReconstructionMetrics
from moe3d_engine.lab.reports.compare_live import SERIES
from moe3d_engine.lab.reports.facts import direction_of
from moe3d_engine.lab.reports.facts import FACTS
from moe3d_engine.lab.reports.facts import facts_table
from moe3d_engine.lab.reports.facts import heading_of
from moe3d_engine.lab.runs.window_truth import WindowTruth

PAGE = Path(__file__).parents[3] / 'docs' / 'metrics.md'
K = np.array([[[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]]])
MEASURED_LIVE = {name for series in SERIES for name in series.names}


def box() -> np.ndarray:
    """Return a box before a wall, one view."""
    depth = np.full((1, 24, 32), 3.0, np.float32)
    depth[0, 6:18, 8:24] = 1.5
    return depth


def test_every_figure_that_is_computed_has_facts() -> None:
    figures = WindowTruth(box(), K, all_metrics=True).judge(box(), metric=True)
    clouds_and_poses = {*TrajectoryErrors._fields, *ReconstructionMetrics._fields}

    names = {*figures.means, *figures.shares, *clouds_and_poses, *MEASURED_LIVE}

    assert names <= set(FACTS)


def test_every_live_figure_has_a_better_side() -> None:
    assert all(direction_of(name) for name in MEASURED_LIVE)


def test_figures_beyond_the_usual_are_computed_only_when_asked_for() -> None:
    usual = WindowTruth(box(), K).judge(box(), metric=True)
    everything = WindowTruth(box(), K, all_metrics=True).judge(box(), metric=True)

    assert set(everything.means) - set(usual.means) == {
        'boundary_f1_moge', 'dbe_accuracy_px', 'dbe_completeness_px', 'free_space_violation',
    }  # fmt: skip
    assert everything.means['boundary_f1_moge'] == 1.0
    assert everything.means['dbe_accuracy_px'] == 0.0
    assert everything.means['free_space_violation'] == 0.0


def test_points_before_the_surface_are_in_free_space_and_relative_depth_claims_nothing() -> None:
    truth = WindowTruth(box(), K, all_metrics=True)

    assert truth.judge(0.8 * box(), metric=True).means['free_space_violation'] == 1.0
    assert np.isnan(truth.judge(0.8 * box(), metric=False).means['free_space_violation'])


def test_headings_say_the_unit_and_unknown_names_are_their_own() -> None:
    assert heading_of('ate_rmse_m') == 'ATE [m]'
    assert heading_of('delta1') == 'd < 1.25'
    assert heading_of('frames_without_pose') == 'frames_without_pose'


def test_page_of_metrics_shows_the_facts() -> None:
    _, _, rest = PAGE.read_text().partition('<!-- facts begin -->\n')

    assert rest.partition('<!-- facts end -->')[0] == facts_table()
