"""The report is one file that needs nothing else, tells every figure and escapes what it tells."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.reports.figures import draw_frame
from moe3d_engine.lab.reports.paths import draw_track
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.reports.record import read_record
from moe3d_engine.lab.reports.report import write_report
from moe3d_engine.lab.reports.shown import CloudPicture
from moe3d_engine.lab.reports.shown import FramePicture
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
        {
            'bag': '<script>', 'weights_sha256': 'c0ffee',
            'settings': {'window': {'max_views': 4}, 'input_hw': [144, 192]},
        },
        tuple(frames),
        sequence={'ate_rmse_m': 0.25},
        reliability={'counts': [3, 0], 'confidence': [0.2, None], 'correct': [0.25, None]},
        timings={
            'latencies_ms': [20.0, 30.0, 25.0], 'rate_hz': 10.0, 'median_ms': {PUBLISHED: 7.25},
        },
    )  # fmt: skip


class Page(HTMLParser):
    """Collects the cells of a page's tables, and checks that its tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {'script', 'link', 'iframe', 'object'}
        if tag not in {'meta', 'img'}:
            self.open.append(tag)
        if tag == 'tr':
            self.rows.append([])
        elif tag in {'td', 'th'}:
            self.rows[-1].append('')

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {'td', 'th'}:
            self.rows[-1][-1] += data


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
    rows = Page(html).rows
    for row in (
        ['method', 'abs_rel ↓', 'flying_pred ↓', 'ms'],
        [PUBLISHED, '0.15', '0.1667', '7.25'],
        ['ate_rmse_m ↓', '0.25'],
        ['in', '5'],
        ['published', '4'],
        ['dropped: no camera_info', '1'],
        ['no camera_info', '9'],
        ['rate_hz', '10'],
        ['bag', '<script>'],
        ['weights_sha256', 'c0ffee'],
        ['settings.window.max_views', '4'],
        ['settings.input_hw', '144, 192'],
    ):
        assert row in rows, row
    assert read_record(path.with_name('evaluation.json')).counts()['in'] == 5
    for name in ('report', 'frames', 'frame-0', 'cloud', 'reliability', 'latency'):
        assert path.with_name(f'{name}.png').read_bytes().startswith(b'\x89PNG'), name


def example_track(*, metric: bool = True, known: int = 30) -> Track:
    """Track a walk on which the last frames are lost and drift away."""
    world_from_cam = np.tile(np.eye(4), (30, 1, 1))
    world_from_cam[:, 0, 3] = 0.1 * np.arange(30)
    world_from_cam[:, 2, 3] = np.sin(0.2 * np.arange(30))
    odom_from_cam = world_from_cam.copy()
    odom_from_cam[25:, 1, 3] += 0.05 * np.arange(5)
    world_from_cam[known:] = np.nan
    return Track(
        100_000_000 * np.arange(30), odom_from_cam, np.tile(1e-3 * np.eye(6), (30, 1, 1)),
        world_from_cam, np.full(30, 0.05 if metric else np.inf), np.ones(30, bool), metric,
        np.zeros(30, bool), np.arange(30) >= 25, np.full(30, np.nan),
    )  # fmt: skip


@pytest.mark.parametrize('metric', [True, False])
def test_report_shows_paths_and_figures_of_all_runs(tmp_path: Path, metric: bool) -> None:
    record = replace(
        example(), tracking=({'ate_se3_percent': 1.0}, {'ate_se3_percent': 4.0, 'lost': 0.1})
    )

    path = write_report(tmp_path, record, [], None, example_track(metric=metric))

    rows = Page(path.read_text()).rows
    assert ['tracked poses', 'mean of 2 runs', 'least', 'most'] in rows
    assert ['ate_se3_percent ↓', '2.5', '1', '4'] in rows
    assert path.with_name('track.png').read_bytes().startswith(b'\x89PNG')


def test_single_run_has_no_spread(tmp_path: Path) -> None:
    record = replace(example(), tracking=({'lost': 0.1},))

    rows = Page(write_report(tmp_path, record, [], None).read_text()).rows

    assert ['tracked poses', ''] in rows
    assert ['lost ↓', '0.1'] in rows


def test_track_of_which_little_is_known_has_no_picture(tmp_path: Path) -> None:
    assert not draw_track(tmp_path / 'track.png', example_track(known=2))
    assert not draw_track(tmp_path / 'track.png', None)
    assert not (tmp_path / 'track.png').exists()
    assert draw_track(tmp_path / 'track.png', example_track(known=3))


def test_key_of_a_frame_is_no_formula(tmp_path: Path) -> None:
    depth = np.ones((4, 4), np.float32)
    picture = FramePicture(r'$\bad$', np.zeros((4, 4, 3), np.uint8), depth, None, depth, 0.0)

    draw_frame(tmp_path / 'a.png', picture)

    assert (tmp_path / 'a.png').exists()


def test_report_without_truth_cloud_or_times_leaves_these_out(tmp_path: Path) -> None:
    record = EvaluationRecord(
        'bag-offline', {}, (FrameRecord('1', methods={PUBLISHED: Figures()}),)
    )
    depth = np.full((4, 4), np.nan, np.float32)
    picture = FramePicture('1', np.zeros((4, 4, 3), np.uint8), depth, None, depth, float('nan'))

    html = write_report(tmp_path, record, [picture], None).read_text()

    assert html.count('<img') == 1
    assert 'Times' not in html
