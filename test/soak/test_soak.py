"""The node for minutes, killed and interrupted it holds what it promises. `make soak`."""

from __future__ import annotations

from collections.abc import Callable
import fcntl
import json
from pathlib import Path
from random import Random
import signal
import time
from typing import Any

from moe3d_ros.fastdds_profile import SHARED_MEMORY
from moe3d_ros.share import share_file
import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

# What the fixtures of conftest.py make.
Soak = Any
Report = Callable[[str, dict[str, Any]], None]

NUM_KILLS, NUM_SIGNALS = 3, 8
SAMPLE_S = 1.0
WARM_UP = 0.25  # of the time; then nothing grows
MAX_GROWTH_MB = 50.0
SETTLE_S = 30.0


def left_over() -> set[Path]:
    """Return the segments of shared memory whose process is gone."""
    return {path for path in SHARED_MEMORY.glob('fastdds_*') if is_of_the_dead(path)}


def is_of_the_dead(segment: Path) -> bool:
    """Return whether nobody holds the lock beside a segment."""
    try:
        with segment.with_name(f'{segment.name}_el').open('rb') as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # it is held, or there is none
        return False
    return True


def counts(diagnostics: dict[str, str]) -> dict[str, int]:
    """Return the counts of frames in a node's diagnostics, without those that are 0."""
    names = [k for k in diagnostics if k in ('frames_in', 'published') or k.startswith('dropped.')]
    return {name: int(diagnostics[name]) for name in names if diagnostics[name] != '0'}


def is_accounted_for(found: dict[str, int]) -> bool:
    """Return whether every frame that came in is published or dropped."""
    return found.get('frames_in', 0) == sum(n for k, n in found.items() if k != 'frames_in')


def have_poses(diagnostics: dict[str, str]) -> bool:
    """Return whether every frame of the tracked camera that came in was tracked or dropped."""
    names = [name for name in diagnostics if name.startswith('tracked.')]
    tracked = sum(int(diagnostics[name]) for name in [*names, 'untracked'])
    return tracked == int(diagnostics.get('camera.front.frames_in', diagnostics['frames_in']))


def test_minutes_at_thirty_hertz_lose_and_leak_nothing(soak: Soak, add_to_report: Report) -> None:
    add_to_report('stream', check_minutes(soak, 30))


def test_minutes_of_three_cameras_at_fifteen_hertz_lose_and_leak_nothing(
    rig_soak: Soak, add_to_report: Report
) -> None:
    # The pictures are no scene, so the distances between the cameras tell nobody the scale.
    extrinsics = share_file('config/rig_extrinsics.yaml')
    settings = ('-p', f'rig.extrinsics:={extrinsics}', '-p', 'scale.require_lock:=false')
    params_file = str(share_file('config/rig.yaml'))
    arguments = ('--params-file', params_file, '--ros-args', *settings)
    add_to_report('rig', check_minutes(rig_soak, 15, *arguments))


def check_minutes(soak: Soak, rate_hz: int, *arguments: str) -> dict[str, Any]:
    """Let the node run with these arguments, check what it promises, and return figures."""
    listener, samples = soak.listener, []
    with soak.node(*arguments) as node, soak.camera(rate_hz) as camera:
        listener.wait_for_depth()
        start_s = time.monotonic()
        while (elapsed_s := time.monotonic() - start_s) < 60 * soak.minutes:
            listener.spin_until(lambda: node.popen.poll() is not None, SAMPLE_S)
            found = listener.diagnostics
            latency = {name: found[f'latency_ms.{name}'] for name in ('p50', 'p95', 'p99')}
            samples.append({'s': round(elapsed_s), **node.sample(), **latency, **counts(found)})
        assert camera.end(signal.SIGTERM) == 0
        sent = json.loads(soak.log_of('camera').splitlines()[-1])
        listener.spin_until(lambda: False, 3.0)  # diagnostics come once a second
        settled = listener.spin_until(
            lambda: is_accounted_for(counts(listener.diagnostics)), SETTLE_S
        )
        final = counts(listener.diagnostics)
        code = node.end(signal.SIGINT)

    warm = samples[int(WARM_UP * len(samples)) :]
    assert settled, final
    assert code == 0, soak.log_of('node')
    assert 0 < listener.num_depths <= final['published']
    assert have_poses(listener.diagnostics)
    assert listener.num_impossible == 0
    assert warm[-1]['rss_mb'] - warm[0]['rss_mb'] < MAX_GROWTH_MB
    assert {sample['threads'] for sample in warm[-3:]} <= {warm[0]['threads']}
    assert {sample['files'] for sample in warm[-3:]} <= {warm[0]['files']}
    assert 'Traceback' not in soak.log_of('node')
    return {
        'minutes': soak.minutes, **sent, **final,
        'not_received': sent['sent'] - final['frames_in'],
        'depths_heard': listener.num_depths, 'poses_heard': listener.num_poses,
        'poses_hz': round(listener.num_poses / sent['seconds'], 2),
        'exit_code': code, 'over_time': samples,
    }  # fmt: skip


def test_kills_of_node_and_camera_are_survived_by_the_other(
    soak: Soak, add_to_report: Report
) -> None:
    before = left_over()
    recovered_s: dict[str, list[dict[str, float]]] = {'node': [], 'camera': []}
    with soak.camera():
        for _ in range(NUM_KILLS):
            with soak.node() as node:
                start_s = time.monotonic()
                soak.listener.wait_for_depth()
                recovered_s['node'].append({'s': round(time.monotonic() - start_s, 1)})
                assert node.end(signal.SIGKILL) == -signal.SIGKILL
    with soak.node() as node:
        for _ in range(NUM_KILLS):
            with soak.camera() as camera:
                start_s = time.monotonic()
                soak.listener.wait_for_depth()
                recovered_s['camera'].append({'s': round(time.monotonic() - start_s, 1)})
                assert camera.end(signal.SIGKILL) == -signal.SIGKILL
        assert node.end(signal.SIGINT) == 0
    left = left_over() - before
    add_to_report(
        'kills',
        {
            'depth again after node': recovered_s['node'],
            'depth again after camera': recovered_s['camera'],
            'segments left behind': len(left),
        },
    )

    for segment in left:
        segment.unlink()
    log = soak.log_of('node')
    assert 'Traceback' not in log
    assert not left or 'fastdds shm clean' in log  # each node that starts names the cure


def test_signals_at_any_moment_end_the_node_cleanly(soak: Soak, add_to_report: Report) -> None:
    rng, ended = Random(0), []
    with soak.camera():
        for number in range(NUM_SIGNALS):
            with soak.node() as node:
                soak.listener.wait_for_depth()
                soak.listener.spin_until(lambda: False, rng.random())
                name = ('SIGINT', 'SIGTERM')[number % 2]
                start_s = time.monotonic()
                code = node.end(signal.Signals[name])
                took_s = round(time.monotonic() - start_s, 2)
                ended.append({'signal': name, 'code': code, 's': took_s})
    add_to_report('signals', {'ended': ended})

    assert {entry['code'] for entry in ended} == {0}, soak.log_of('node')
    assert 'Traceback' not in soak.log_of('node')
    assert 'still busy' not in soak.log_of('node')
