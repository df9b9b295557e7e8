"""A blurred model is called worse with an interval; the same run in another order is equal."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from moe3d_engine.cli.main import run as moe3d
from moe3d_engine.errors import InputError
from moe3d_engine.lab.commands import evaluate
from moe3d_engine.lab.commands.evaluate_compare import name_frames
from moe3d_engine.lab.metrics import boundary_f1_moge
from moe3d_engine.lab.reports.compare import compare_records
from moe3d_engine.lab.reports.compare import unmatched_frames
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.metrics.ibims import depth_boundary_errors
from moe3d_engine.lab.metrics.ibims import depth_edges
from moe3d_engine.lab.runs.window_truth import WindowTruth
from scipy.ndimage import gaussian_filter

NUM_FRAMES = 40
K = np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])


def scene(seed: int) -> np.ndarray:
    """Return a wall with three boxes before it, (48, 64) float32."""
    rng = np.random.default_rng(seed)
    depth = np.full((48, 64), 4.0, np.float32)
    for _ in range(3):
        top, left = rng.integers(4, 28), rng.integers(4, 44)
        depth[top : top + 14, left : left + 14] = rng.uniform(1.0, 3.0)
    return depth


def judge(depth: np.ndarray, truth: np.ndarray) -> Figures:
    figures = WindowTruth(truth[None], K[None]).judge(depth[None], metric=True)
    errors = depth_boundary_errors(depth, depth_edges(truth))
    means = {name: figures.means[name] for name in ('abs_rel', 'boundary_f1', 'edge_chamfer_m')}
    means |= {
        'boundary_f1_moge': boundary_f1_moge(depth, truth, np.ones(truth.shape, bool), 1),
        'dbe_accuracy_px': errors.accuracy_px,
        'dbe_completeness_px': errors.completeness_px,
    }
    names = ('flying_gt', 'flying_pred', 'collapsed', 'near_surface', 'aliased')
    return Figures(means, {name: figures.shares[name] for name in names})


def run(sigma: float) -> EvaluationRecord:
    frames = []
    for seed in range(NUM_FRAMES):
        truth = scene(seed)
        noise = np.random.default_rng(seed).normal(1.0, 0.002, truth.shape)
        depth = gaussian_filter(truth * noise, sigma).astype(np.float32)
        frames.append(FrameRecord(str(seed), methods={PUBLISHED: judge(depth, truth)}))
    return EvaluationRecord('views', {'data_sha256': 'boxes'}, tuple(frames))


@pytest.fixture(scope='module')
def sharp() -> EvaluationRecord:
    return run(0.0)


@pytest.fixture(scope='module')
def blurred() -> EvaluationRecord:
    return run(2.0)


def test_blurred_depth_is_worse_by_every_boundary_and_flying_figure(
    sharp: EvaluationRecord, blurred: EvaluationRecord
) -> None:
    rows = {row.name: row for row in compare_records(sharp, blurred)}

    judged = {'boundary_f1', 'boundary_f1_moge', 'flying_gt', 'flying_pred'}
    judged |= {'dbe_accuracy_px', 'dbe_completeness_px', 'collapsed', 'abs_rel'}
    judged |= {'edge_chamfer_m', 'near_surface', 'aliased'}
    assert set(rows) == judged
    for row in rows.values():
        assert row.verdict == 'worse', row
        assert row.low * row.high > 0, row
        assert row.low <= row.b - row.a <= row.high, row
    assert {row.verdict for row in compare_records(blurred, sharp)} == {'better'}


def test_shuffled_run_is_equal(sharp: EvaluationRecord) -> None:
    order = np.random.default_rng(0).permutation(NUM_FRAMES)
    shuffled = replace(sharp, frames=tuple(sharp.frames[i] for i in order))

    rows = compare_records(sharp, shuffled)

    assert {(row.verdict, row.b - row.a, row.low, row.high) for row in rows} == {
        ('equal', 0.0, 0.0, 0.0)
    }


def test_figures_are_those_of_the_report(
    sharp: EvaluationRecord, blurred: EvaluationRecord
) -> None:
    summaries = [record.summary()[PUBLISHED] for record in (sharp, blurred)]

    for row in compare_records(sharp, blurred):
        assert [row.a, row.b] == pytest.approx([summary[row.name] for summary in summaries])


def test_interval_is_that_of_paired_differences() -> None:
    rng = np.random.default_rng(1)
    level = rng.uniform(0.0, 100.0, 400)  # common to both runs, so no part of the difference
    difference = rng.normal(0.1, 1.0, 400)
    weights = rng.uniform(1.0, 9.0, 400)
    a, b = (
        EvaluationRecord('views', {}, tuple(
            FrameRecord(str(i), methods={PUBLISHED: Figures({'rmse': v}, {'f_score': (v * w, w)})})
            for i, (v, w) in enumerate(zip(values.tolist(), weights.tolist(), strict=True))
        ))
        for values in (level, level + difference)
    )  # fmt: skip

    rows = {row.name: row for row in compare_records(a, b)}

    pooled = float(np.average(difference, weights=weights))
    spread = np.sqrt(np.sum((weights * (difference - pooled)) ** 2)) / weights.sum()
    for name, mean, error in (
        ('rmse', difference.mean(), difference.std() / 20),
        ('f_score', pooled, spread),
    ):
        expected = [mean - 1.96 * error, mean + 1.96 * error]
        assert [rows[name].low, rows[name].high] == pytest.approx(expected, abs=0.1 * error)


def test_frames_of_one_run_only_are_named_and_left_out(sharp: EvaluationRecord) -> None:
    shorter = replace(sharp, frames=(*sharp.frames[1:], FrameRecord('0', dropped='busy')))

    assert unmatched_frames(sharp, shorter) == {'only_a': ['0'], 'only_b': []}
    assert {row.frames for row in compare_records(sharp, shorter)} == {NUM_FRAMES - 1}


def test_runs_over_different_data_are_refused(sharp: EvaluationRecord) -> None:
    with pytest.raises(InputError, match='different data'):
        compare_records(sharp, replace(sharp, configuration={'data_sha256': 'spheres'}))
    with pytest.raises(InputError, match='in common'):
        compare_records(sharp, replace(sharp, frames=()))


def test_command_compares_records_on_disk(
    sharp: EvaluationRecord,
    blurred: EvaluationRecord,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [tmp_path / 'a.json', tmp_path / 'b.json']
    shorter = replace(blurred, frames=blurred.frames[1:])
    for record, path in zip((sharp, shorter), paths, strict=True):
        record.write(path)
    command = ['evaluate', '--compare', *map(str, paths), '--out', str(tmp_path / 'out')]

    assert moe3d(command, [evaluate]) == 0

    printed = capsys.readouterr().out
    assert '| worse |' in printed
    assert 'Published by A alone and left out: 0\n' in printed
    written = json.loads((tmp_path / 'out' / 'compare.json').read_text())
    assert {row['verdict'] for row in written['figures']} == {'worse'}
    assert written['only_a'] == ['0']


def test_long_list_of_frames_is_cut_on_the_screen() -> None:
    assert name_frames(['5', '7']) == '5, 7'
    assert name_frames([str(i) for i in range(12)]).endswith(', 9 and 2 more')
