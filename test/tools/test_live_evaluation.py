"""A bag through the running node: every image is accounted for, and everything has its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import json
import math
import os
from pathlib import Path
import subprocess
import time

from moe3d_engine.cli.main import run as moe3d
from moe3d_engine.errors import Moe3dError
from moe3d_engine.lab.reports.record import read_record
from moe3d_ros.tools.accounting import account_for
from moe3d_ros.tools.commands import evaluate
from moe3d_ros.tools.live_evaluation import find_saturation
from moe3d_ros.tools.process_usage import UsageMonitor
import pytest

StartMoe3d = Callable[..., 'subprocess.Popen[str]']
WAIT_S = 120  # at most, on a machine that is busy with something else


def test_live_evaluation_accounts_for_every_image_of_each_repeat(
    camera_bag: Path, tiny_card: Path, tmp_path: Path, start_moe3d: StartMoe3d
) -> None:
    pytest.importorskip('matplotlib')
    out = tmp_path / 'out'

    process = start_moe3d(
        'evaluate', tiny_card, '--bag', camera_bag, '--live', '--repeats', '2',
        '--frames', '5', '--out', out, '--json',
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=2 * WAIT_S)

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
        of_repeat = [f.dropped for f in record.frames if f.key.startswith(number) and f.dropped]
        assert Counter(of_repeat) == repeat['dropped']
        assert 0 < repeat['latency_ms']['p50'] <= repeat['latency_ms']['max']
        assert len(usage['time_s']) == len(usage['cpu_percent']) == len(usage['rss_mb']) > 0
        assert max(usage['rss_mb']) > 10
        assert max(usage['cpu_percent']) > 0
    assert printed['counts'] == counts
    assert (out / 'report.html').stat().st_size > 5_000
    assert not (out / 'output').exists()


def test_every_image_has_its_own_fate() -> None:
    named = {2: ['busy'], 4: ['no_camera_info'], 5: ['busy', 'stale_stamp']}
    dropped = {'busy': 2, 'no_camera_info': 1, 'stale_stamp': 1, 'not_received': 1}

    fates = account_for([1, 2, 3, 4, 5, 5, 5, 6], [1, 3, 5], dropped, named)

    assert fates == ['', 'busy', '', 'no_camera_info', '', 'busy', 'stale_stamp', 'not_received']


@pytest.mark.parametrize(
    ('published', 'dropped', 'named'),
    [
        ([1], {'busy': 1}, {}),  # counted, but not named
        ([1], {}, {2: ['busy']}),  # named, but not counted
        ([1], {'unaccounted': 1}, {}),  # the node has lost sight of one
        ([1, 2], {}, {2: ['busy']}),  # published and dropped
        ([1, 2, 3], {}, {}),  # depth of an image that was not sent
        ([1], {'not_received': 2}, {}),
    ],
)
def test_image_that_is_unaccounted_for_is_an_error(
    published: list[int], dropped: dict[str, int], named: dict[int, list[str]]
) -> None:
    with pytest.raises(Moe3dError, match=r'node\.log'):
        account_for([1, 2], published, dropped, named)


def test_node_names_the_images_that_it_cannot_use(
    camera_bag: Path, tiny_card: Path, tmp_path: Path, start_moe3d: StartMoe3d
) -> None:
    """Forty times as fast as recorded; most images come while the engine is busy."""
    pytest.importorskip('matplotlib')
    process = start_moe3d(
        'evaluate', tiny_card, '--bag', camera_bag, '--live', '--repeats', '1', '--rate', '40',
        '--out', tmp_path, '--json',
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=2 * WAIT_S)

    assert process.returncode == 0, stderr
    counts = json.loads(stdout)['counts']
    assert counts['in'] == counts['published'] + sum(counts['dropped'].values())
    assert counts['dropped'].get('busy', 0) > 0
    assert 'or' not in ' '.join(counts['dropped']).split()


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


@pytest.mark.parametrize(
    'asked',
    [['--runs', '2'], ['--simulated-odometry'], ['--reference-depth'], ['--poses', 'network']],
)
def test_options_of_tracked_poses_are_refused_and_not_ignored(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert moe3d(['evaluate', '--bag', 'any', '--live', *asked], [evaluate]) == 2

    assert 'Leave --live out' in capsys.readouterr().err


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='needs /proc')
def test_usage_of_a_process_at_work_is_a_core() -> None:
    with UsageMonitor(os.getpid()) as monitor:
        end_s = time.process_time() + 0.8
        while time.process_time() < end_s:
            math.sqrt(2.0)

    assert 5 < max(monitor.usage.cpu_percent) < 250
    assert min(monitor.usage.rss_mb) > 10
    assert sorted(monitor.usage.time_s) == monitor.usage.time_s
