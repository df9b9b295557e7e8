"""Live runs are compared without pairing: a slower node is worse, a busy moment proves nothing."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.lab.reports.compare import Comparison
from moe3d_engine.lab.reports.compare_live import compare_live
from moe3d_engine.lab.reports.compare_live import LIVE
from moe3d_engine.lab.reports.compare_live import SERIES
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_ros.cli import main
import numpy as np
import pytest

IMAGES = 100


def live(
    seed: int, slow: float = 1.0, dropped: int = 0, repeats: int = 3, busy: bool = False
) -> EvaluationRecord:
    """Return a run; `slow` makes everything dearer, `busy` delays a row of images in a repeat."""
    rng = np.random.default_rng(seed)
    frames, latencies_ms, figures, usage = [], [], {}, {}
    for number in range(1, repeats + 1):
        lost = set(rng.choice(IMAGES, dropped, replace=False).tolist())
        frames += [
            FrameRecord(f'{number}:{i}', dropped='busy')
            if i in lost
            else FrameRecord(f'{number}:{i}', methods={PUBLISHED: Figures()})
            for i in range(IMAGES)
        ]
        times_ms = slow * rng.normal(50, 5, IMAGES - dropped)
        if busy and number == 2:
            times_ms[40:52] += 60
        latencies_ms += times_ms.tolist()
        figures[str(number)] = {
            'recorded': IMAGES - dropped,
            'rate_hz': 10 / slow + rng.normal(0, 0.05),
            'rss_mb_max': slow * rng.normal(500, 2),
        }
        usage[str(number)] = {'cpu_percent': (slow * rng.normal(50, 5, 60)).tolist()}
    timings = {'repeats': figures, 'usage': usage, 'latencies_ms': latencies_ms}
    return EvaluationRecord(LIVE, {'bag_sha256': 'b', 'rate': 1.0}, tuple(frames), timings=timings)


def compared(a: EvaluationRecord, b: EvaluationRecord) -> dict[str, Comparison]:
    return {row.name: row for row in compare_live(a, b)}


def test_slower_node_is_worse_by_every_figure_with_an_interval() -> None:
    rows = compared(live(0), live(1, slow=1.3, dropped=20))

    assert list(rows) == [name for series in SERIES for name in series.names]
    for row in rows.values():
        assert row.verdict == 'worse', row
        assert row.low * row.high > 0, row
        assert row.low <= row.b - row.a <= row.high, row
    assert rows['dropped'].b == 0.2
    assert rows['latency_p50_ms'].a == pytest.approx(50, abs=1)
    assert {row.verdict for row in compare_live(live(1, slow=1.3, dropped=20), live(0))} == {
        'better'
    }


def test_same_run_is_equal() -> None:
    rows = compared(live(0), live(0))

    assert {row.verdict for row in rows.values()} == {'equal'}
    assert all(row.a == row.b for row in rows.values())


def test_interval_of_independent_samples_is_that_of_unpaired_means() -> None:
    a, b = live(2), live(3, slow=1.02)

    row = compared(a, b)['cpu_percent']

    error = 5 * np.sqrt(2 / 180)
    assert row.high - row.low == pytest.approx(2 * 1.96 * error, rel=0.35)


def test_one_busy_moment_is_no_difference() -> None:
    """Twelve neighbours are delayed once: a bootstrap of single images would call p95 worse."""
    row = compared(live(0), live(1, busy=True))['latency_p95_ms']

    assert row.verdict == 'equal'


def test_what_a_single_repeat_measures_once_has_no_interval() -> None:
    rows = compared(live(0, repeats=1), live(1, slow=2.0, repeats=1))

    unknown = {name for name, row in rows.items() if row.verdict == 'unknown'}
    assert unknown == {'rate_hz', 'rss_mb_max'}
    assert rows['latency_p50_ms'].verdict == 'worse'


def test_runs_that_were_played_differently_are_refused() -> None:
    faster = live(1)
    faster = replace(faster, configuration={**faster.configuration, 'rate': 2.0})

    with pytest.raises(InputError, match='rate'):
        compare_live(live(0), faster)


def test_command_compares_live_runs_and_refuses_other_kinds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f'{name}.json' for name in 'abc']
    records = (live(0, repeats=1), live(1, slow=1.5), replace(live(0), kind='bag-offline'))
    for path, record in zip(paths, records, strict=True):
        record.write(path)
    command = ['evaluate', '--compare', str(paths[0])]

    assert main([*command, str(paths[1])]) == 0
    assert '| latency_p99_ms |' in capsys.readouterr().out
    assert main([*command, str(paths[1]), '--json']) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)['figures']}
    assert rows['latency_p99_ms']['verdict'] == 'worse'
    assert rows['latency_p99_ms']['frames'] == IMAGES
    assert main([*command, str(paths[2])]) == 2
    assert 'bag-offline' in capsys.readouterr().err
