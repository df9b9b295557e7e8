"""Timings of windows: complete, each in a process of its own; kept features save work."""

from __future__ import annotations

from moe3d_engine.cli.bench import count_gflops
from moe3d_engine.errors import ConfigError
from moe3d_engine.evaluation.bench import BenchCase
from moe3d_engine.evaluation.bench import run_case
import pytest


def test_case_reports_latency_stages_and_memory() -> None:
    result = run_case(BenchCase('moe3d-small', 'openvino:f32', 2, repeats=2, threads=1))

    assert set(result.sliding_ms) == set(result.plain_ms) == {'p50', 'p95', 'p99', 'max'}
    assert 0 < result.sliding_ms['p50'] <= result.sliding_ms['max']
    assert set(result.stages_ms) == {'preprocess', 'encode', 'reconstruct', 'postprocess'}
    assert result.peak_memory_mb > 50


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
