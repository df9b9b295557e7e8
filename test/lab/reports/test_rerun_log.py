"""Recordings for Rerun: what a run has published is read back by its stamps."""

from __future__ import annotations

from pathlib import Path
import re
import shutil
import subprocess
import sys

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.reports.rerun_log import RerunLog
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import Scale
from moe3d_engine.types import View
import numpy as np
import pytest

HW = (12, 16)
K = np.array([[15.0, 0, 7.5], [0, 15.0, 5.5], [0, 0, 1]])
STAMPS_NS = (1_700_000_000_000_000_001, 1_700_000_000_100_000_001)


def reconstruction(stamp_ns: int, x: float, source: str = 'tracking') -> Reconstruction:
    """Return a wall 2 m away, one pixel rejected and one beyond range, seen from `x` metres."""
    pose = np.eye(4)
    pose[0, 3] = x
    view = View(
        np.full((*HW, 3), 90, np.uint8), K, stamp_ns, pose=PosePrior(invert_rigid(pose), source)
    )
    raw = np.full((1, *HW), 2.0, np.float32)
    depth = raw.copy()
    depth[0, 0, :2] = np.nan, np.inf
    outputs = RawOutputs(raw, raw, raw, np.zeros((1, 9), np.float32), raw)
    return Reconstruction(
        (view,), (0,), view.image[None], K[None], raw, depth, raw, np.eye(4)[None],
        Scale(1.0, 0.0, 'fixed', True, 'locked'), outputs,
    )  # fmt: skip


def test_missing_sdk_is_one_line_that_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)

    with pytest.raises(ConfigError, match='pip install rerun-sdk') as error:
        RerunLog(tmp_path / 'run.rrd')

    assert '\n' not in str(error.value)


def test_recording_is_valid_and_holds_images_depth_cloud_and_both_paths_by_stamp(
    tmp_path: Path,
) -> None:
    pytest.importorskip('rerun')
    program = Path(sys.executable).with_name('rerun')
    tool = str(program) if program.is_file() else shutil.which('rerun')
    if tool is None:
        pytest.skip('the program rerun is not installed')
    path = tmp_path / 'run.rrd'
    world = np.eye(4)
    world[:3, 3] = 5.0, 6.0, 7.0
    log = RerunLog(path)
    for number, stamp_ns in enumerate(STAMPS_NS):
        true_pose = world.copy()
        true_pose[0, 3] += 0.2 * number
        log.add(reconstruction(stamp_ns, 0.1 * number), true_pose)
    log.add(reconstruction(STAMPS_NS[1] + 10**8, 0.0, source='odometry'), None)
    log.close()

    def read(*command: str) -> str:
        done = subprocess.run([tool, 'rrd', *command], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    read('verify', str(path))
    rows, content = {}, {}
    for chunk in read('print', '-vvv', str(path)).split('Chunk(')[1:]:
        head = re.search(r'with (\d+) rows .* - (/\S+)', chunk)
        assert head is not None
        rows[head[2]] = rows.get(head[2], 0) + int(head[1])
        content[head[2]] = content.get(head[2], '') + chunk
    assert rows['/odom/camera/color'] == rows['/odom/camera/depth'] == 3
    assert rows['/odom/camera/points'] == rows['/odom/tracked'] == rows['/odom/true'] == 2
    for stamp in ('2023-11-14T22:13:20.000000001', '2023-11-14T22:13:20.100000001'):
        assert all(stamp in content[f'/odom/{name}'] for name in ('camera/points', 'tracked'))
    assert '[0.1, ' in content['/odom/tracked/way']
    assert '[0.2, ' in content['/odom/true/way']
