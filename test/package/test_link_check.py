"""The measurement behind `moe3d doctor` tells what arrives between two processes."""

from __future__ import annotations

import os
from pathlib import Path
import time

from moe3d_engine.errors import ConfigError
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.tools.link_check import measure_link
from moe3d_ros.tools.link_check import QUEUE_DEPTH


@pytest.mark.parametrize('reliability', ['best_effort', 'reliable'])
def test_small_messages_all_arrive(reliability: str) -> None:
    start_s = time.monotonic()
    report = measure_link(1000, rate_hz=50.0, count=QUEUE_DEPTH, reliability=reliability)
    took_ms = 1e3 * (time.monotonic() - start_s)

    assert (report.sent, report.received) == (QUEUE_DEPTH, QUEUE_DEPTH)
    assert report.median_ms is not None
    assert 0.0 < report.median_ms < took_ms


def test_module_in_the_working_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'numpy.py').write_text("open('has_been_run', 'w')")
    monkeypatch.chdir(tmp_path)

    report = measure_link(1000, rate_hz=50.0, count=QUEUE_DEPTH, reliability='reliable')

    assert report.received == QUEUE_DEPTH
    assert [path.name for path in tmp_path.iterdir()] == ['numpy.py']


def test_sender_in_another_domain_is_reported_as_not_matched() -> None:
    other = str(int(os.environ['ROS_DOMAIN_ID']) + 1)
    environment = os.environ | {'ROS_DOMAIN_ID': other}

    report = measure_link(1000, 50.0, 10, 'best_effort', environment, match_timeout_s=3.0)

    assert (report.sent, report.received, report.median_ms) == (0, 0, None)


@pytest.mark.parametrize(
    ('size_bytes', 'rate_hz', 'count', 'reliability'),
    [(0, 1.0, 1, 'reliable'), (1, 0.0, 1, 'reliable'), (1, 1.0, 1, 'perfect')],
)
def test_impossible_request_is_refused(
    size_bytes: int, rate_hz: float, count: int, reliability: str
) -> None:
    with pytest.raises(ConfigError, match='got'):
        measure_link(size_bytes, rate_hz, count, reliability)
