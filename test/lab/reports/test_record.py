"""The record of an evaluation: frames add up, figures are pooled, JSON holds no NaN."""

from __future__ import annotations

import json
import math
from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.reports.record import read_record
import pytest

RECORD = EvaluationRecord(
    'views',
    {'data': 'made up'},
    (
        FrameRecord(
            '1', methods={PUBLISHED: Figures({'abs_rel': 0.1}, {'flying_gt': (1.0, 2.0)})}
        ),
        FrameRecord(
            '2', methods={PUBLISHED: Figures({'abs_rel': math.nan}, {'flying_gt': (0.0, 8.0)})}
        ),
        FrameRecord('3', dropped='busy'),
        FrameRecord('4', dropped='busy'),
    ),
    sequence={'ate_rmse_m': math.nan},
    timings={'p50_ms': 3.0},
    tracking=({'ate_se3_percent': 1.0, 'lost': 0.0}, {'ate_se3_percent': 4.0}),
)


def test_every_frame_is_published_or_dropped_for_a_reason() -> None:
    assert RECORD.counts() == {'in': 4, 'published': 2, 'dropped': {'busy': 2}}


def test_means_leave_out_nan_and_shares_are_pooled() -> None:
    assert RECORD.summary() == {PUBLISHED: {'abs_rel': 0.1, 'flying_gt': 0.1}}


def test_record_survives_json_without_nan(tmp_path: Path) -> None:
    RECORD.write(tmp_path / 'a.json')
    again = read_record(tmp_path / 'a.json')
    again.write(tmp_path / 'b.json')

    assert 'NaN' not in (tmp_path / 'a.json').read_text()
    assert (tmp_path / 'a.json').read_bytes() == (tmp_path / 'b.json').read_bytes()
    assert again.summary() == RECORD.summary()
    assert math.isnan(again.sequence['ate_rmse_m'])


def test_figures_of_tracked_poses_have_a_spread_over_the_runs_that_have_them() -> None:
    assert RECORD.tracking_spread() == {
        'ate_se3_percent': (2.5, 1.0, 4.0),
        'lost': (0.0, 0.0, 0.0),
    }


def test_record_of_before_there_was_tracking_is_read(tmp_path: Path) -> None:
    RECORD.write(tmp_path / 'a.json')
    content = json.loads((tmp_path / 'a.json').read_text())
    del content['tracking']
    (tmp_path / 'a.json').write_text(json.dumps(content))

    assert read_record(tmp_path / 'a.json').tracking == ()


@pytest.mark.parametrize('content', ['', '[]', '{}', json.dumps({'format': 'other'})])
def test_other_json_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(InputError, match=r'a\.json'):
        read_record(tmp_path / 'a.json')


def test_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no record'):
        read_record(tmp_path / 'none.json')
