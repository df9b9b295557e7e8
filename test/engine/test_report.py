"""The report is one file that needs nothing else, tells every figure and escapes what it tells."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.evaluation.record import EvaluationRecord
from moe3d_engine.evaluation.record import Figures
from moe3d_engine.evaluation.record import FrameRecord
from moe3d_engine.evaluation.record import PUBLISHED
from moe3d_engine.evaluation.record import read_record
from moe3d_engine.evaluation.report import CloudPicture
from moe3d_engine.evaluation.report import FramePicture
from moe3d_engine.evaluation.report import write_report
import numpy as np
import pytest

pytest.importorskip('matplotlib')


def example() -> EvaluationRecord:
    frames = [
        FrameRecord(
            str(i), methods={PUBLISHED: Figures({'abs_rel': 0.1 * i}, {'flying_pred': (i, 9)})}
        )
        for i in range(4)
    ]
    frames.append(FrameRecord('9', dropped='no camera_info'))
    return EvaluationRecord(
        'bag-offline',
        {'bag': '<script>', 'settings': {'window.max_views': 4}},
        tuple(frames),
        sequence={'ate_rmse_m': 0.25},
        reliability={'counts': [3, 0], 'confidence': [0.2, None], 'correct': [0.25, None]},
        timings={'latencies_ms': [20.0, 30.0, 25.0], 'rate_hz': 10.0},
    )


def test_report_is_self_contained_and_complete(tmp_path: Path) -> None:
    depth = np.full((12, 16), 2.0, np.float32)
    depth[0, 0] = np.nan
    picture = FramePicture('3', np.zeros((12, 16, 3), np.uint8), depth, depth, depth / 4, 0.3)
    cloud = CloudPicture(np.random.default_rng(0).random((50, 3)), np.arange(50) < 5)

    path = write_report(tmp_path / 'out', example(), [picture], cloud)

    html = path.read_text()
    assert html.count('<img') == html.count('src="data:image/png;base64,') == 5
    assert 'http' not in html
    assert '<script' not in html
    assert '&lt;script&gt;' in html
    for text in (
        '5 in = 4 published + 1 dropped (no camera_info: 1)',
        'ate_rmse_m',
        '0.25',
        '0.15',
    ):
        assert text in html, text
    assert read_record(tmp_path / 'out' / 'evaluation.json') == read_record(
        path.with_name('evaluation.json')
    )


def test_report_without_truth_cloud_or_times_leaves_these_out(tmp_path: Path) -> None:
    record = EvaluationRecord(
        'bag-offline', {}, (FrameRecord('1', methods={PUBLISHED: Figures()}),)
    )
    depth = np.full((4, 4), np.nan, np.float32)
    picture = FramePicture('1', np.zeros((4, 4, 3), np.uint8), depth, None, depth, float('nan'))

    html = write_report(tmp_path, record, [picture], None).read_text()

    assert html.count('<img') == 1
    assert 'Latency' not in html
