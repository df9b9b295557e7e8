"""A bag through the running node: every image is accounted for, and everything has its time."""

from __future__ import annotations

from collections.abc import Callable
import json
import math
import os
from pathlib import Path
import subprocess
import time

from moe3d_engine.evaluation.record import read_record
from moe3d_ros.live_evaluation import find_saturation
from moe3d_ros.process_usage import UsageMonitor
import pytest

StartMoe3d = Callable[..., 'subprocess.Popen[str]']


def test_live_evaluation_accounts_for_every_image_of_each_repeat(
    camera_bag: Path, tiny_card: Path, tmp_path: Path, start_moe3d: StartMoe3d
) -> None:
    pytest.importorskip('matplotlib')
    out = tmp_path / 'out'

    process = start_moe3d(
        'evaluate', tiny_card, '--bag', camera_bag, '--live', '--repeats', '2',
        '--frames', '5', '--out', out, '--json',
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=100)

    assert process.returncode == 0, stderr
    printed = json.loads(stdout)
    record = read_record(out / 'evaluation.json')
    assert record.kind == 'bag-live'
    counts = record.counts()
    assert counts['in'] == 10
    assert counts['published'] + sum(counts['dropped'].values()) == 10
    assert len({frame.key for frame in record.frames}) == 10
    assert len(record.timings['latencies_ms']) == counts['published']
    assert [*record.timings['latency_ms']] == ['p50', 'p95', 'p99', 'max']
    for number in '12':
        repeat, usage = record.timings['repeats'][number], record.timings['usage'][number]
        assert repeat['sent'] == repeat['recorded'] + sum(repeat['dropped'].values()) == 5
        assert 0 < repeat['latency_ms']['p50'] <= repeat['latency_ms']['max']
        assert len(usage['time_s']) == len(usage['cpu_percent']) == len(usage['rss_mb']) > 0
        assert max(usage['rss_mb']) > 10
        assert max(usage['cpu_percent']) > 0
    assert printed['counts'] == counts
    assert (out / 'report.html').stat().st_size > 5_000
    assert not (out / 'output').exists()


@pytest.mark.parametrize('limit', [0.3, 1.0, 3.0, 11.0])
def test_saturation_is_found_from_either_side_in_few_runs(limit: float) -> None:
    asked: list[float] = []

    def keeps_up(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    found = find_saturation(keeps_up, 1.0)

    assert found is not None
    assert limit / 2 ** (1 / 8) * 0.999 <= found <= limit
    assert len(asked) <= 8
    assert len(set(asked)) == len(asked)


def test_nothing_is_claimed_where_no_rate_is_kept_up_with() -> None:
    assert find_saturation(lambda rate: False, 1.0) is None
    assert find_saturation(lambda rate: True, 1.0) == 16.0


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='needs /proc')
def test_usage_of_a_process_at_work_is_a_core() -> None:
    with UsageMonitor(os.getpid()) as monitor:
        end_s = time.process_time() + 0.8
        while time.process_time() < end_s:
            math.sqrt(2.0)

    assert 5 < max(monitor.usage.cpu_percent) < 250
    assert min(monitor.usage.rss_mb) > 10
    assert sorted(monitor.usage.time_s) == monitor.usage.time_s
