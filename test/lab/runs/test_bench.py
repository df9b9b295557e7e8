"""Timings of windows: complete, each in a process of its own; kept features save work."""

from __future__ import annotations

import json
import time
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.commands.bench import count_gflops
from moe3d_engine.lab.commands.bench import format_table
from moe3d_engine.lab.commands.bench import make_report
from moe3d_engine.lab.runs.bench import BenchCase
from moe3d_engine.lab.runs.bench import run_case
import pytest


def test_case_reports_latency_stages_and_memory() -> None:
    result = run_case(BenchCase('moe3d-small', 'openvino:f32', 2, repeats=2, threads=1))

    assert set(result.sliding_ms) == set(result.plain_ms) == {'p50', 'p95', 'p99', 'max'}
    assert 0 < result.sliding_ms['p50'] <= result.sliding_ms['max']
    assert set(result.stages_ms) == {'preprocess', 'encode', 'reconstruct', 'postprocess'}
    assert result.peak_memory_mb > 50


def test_clock_starts_when_a_processor_has_been_busy_for_a_second() -> None:
    from moe3d_engine.lab.runs.bench import _warm_up

    starts: list[float] = []
    begin = time.perf_counter()
    _warm_up(lambda: starts.append(time.perf_counter()))

    assert time.perf_counter() - begin >= 1
    assert len(starts) >= 3


def test_unknown_runtime_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match='openvino:bf16'):
        run_case(BenchCase('moe3d-small', 'onnx', 1, repeats=1))


def test_sliding_window_computes_one_encoder_and_one_depth_whatever_its_length() -> None:
    two, four = (count_gflops('moe3d-small', views) for views in (2, 4))
    one = count_gflops('moe3d-small', 1)

    assert one['sliding'] == one['plain']
    per_view = four['plain'] - four['sliding']
    assert per_view == pytest.approx(3 * (two['plain'] - two['sliding']), rel=1e-9)
    assert two['sliding'] < 0.8 * two['plain']


def timed_row(num_views: int) -> dict[str, Any]:
    """Return a case as `moe3d bench` holds it."""
    return {
        'case': {'weights': 'mine', 'runtime': 'tensorrt', 'num_views': num_views},
        'input_hw': (392, 518),
        'open_s': 1.0,
        'sliding_ms': {'p50': 10.0, 'p95': 11.0, 'p99': 12.0, 'max': 13.0},
        'stages_ms': {'encode': 4.0, 'reconstruct': 6.0},
        'plain_ms': {'p50': 61.0 * num_views},
        'peak_memory_mb': 100.0,
        'gflops': {},
    }


def test_vggts_published_figures_stand_beside_ours_on_an_h100() -> None:
    gpu = 'NVIDIA H100 80GB HBM3'

    table = format_table([timed_row(2), timed_row(3)], {}, gpu)
    report = json.loads(json.dumps(make_report([timed_row(2)], {}, gpu)))

    lines = [line.split('|') for line in table.splitlines()]
    cells = {row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in lines[4:] if row[1:]}
    assert cells['2'] == ['0.05', '2.07', 'mine, tensorrt: 0.122']
    assert cells['200'] == ['8.75', '40.63', '']
    assert report['vggt_aggregator_on_h100']['100'] == {'seconds': 3.12, 'memory_gb': 21.15}


@pytest.mark.parametrize('gpu', ['', 'Orin', 'NVIDIA A100-SXM4-80GB'])
def test_figures_of_an_h100_are_not_shown_for_another_gpu(gpu: str) -> None:
    assert 'VGGT' not in format_table([timed_row(2)], {}, gpu)
    assert 'vggt_aggregator_on_h100' not in make_report([timed_row(2)], {}, gpu)
