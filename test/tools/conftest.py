"""Bags and processes for tests over the real middleware."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
import signal
import subprocess
import sys

from moe3d_engine.lab.synthetic.scene_set import SyntheticSet
from moe3d_ros.fastdds_profile import use_shipped_profile
from moe3d_ros.tools.demo.bag import write_scene_bag
import numpy as np
import pytest

IMAGE_HW = (120, 160)


@pytest.fixture(autouse=True, scope='session')
def shipped_profile() -> None:
    """Let the recorder in this process take large messages, as its counterparts do."""
    use_shipped_profile()


def make_scene(num_frames: int) -> SyntheticSet:
    """Return views of a textured wall at 3 m, half hidden by a panel that moves at 1.5 m."""
    height, width = IMAGE_HW
    texture = np.random.default_rng(7).integers(0, 256, (height, width + 4 * num_frames, 3))
    wall = np.kron(texture[::8, ::8], np.ones((8, 8, 1))).astype(np.uint8)
    depth = np.full((num_frames, height, width), 3.0, np.float32)
    rgb = np.empty((num_frames, height, width, 3), np.uint8)
    pose = np.tile(np.eye(4), (num_frames, 1, 1))
    for i in range(num_frames):
        left = 20 + 4 * i
        rgb[i] = wall[:height, 2 * i : 2 * i + width]
        rgb[i, 30:90, left : left + 60] = (200, 80, 40)
        depth[i, 30:90, left : left + 60] = 1.5
        pose[i, 0, 3] = 0.05 * i
    focal_px = 136.0
    intrinsics = np.array([[focal_px, 0, 79.5], [0, focal_px, 59.5], [0, 0, 1]])
    return SyntheticSet(
        rgb=rgb,
        depth=depth,
        object_id=np.zeros(depth.shape, np.int32),
        intrinsics=np.tile(intrinsics, (num_frames, 1, 1)),
        world_from_cam=pose,
        name='textured wall',
        seed=0,
    )


@pytest.fixture(scope='session')
def camera_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of 12 frames at 10 Hz with image, camera_info, depth and pose."""
    path = tmp_path_factory.mktemp('bags') / 'camera_bag'
    write_scene_bag(path, make_scene(12))
    return path


StartMoe3d = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture(scope='module')
def start_moe3d() -> Iterator[StartMoe3d]:
    """Return a function that starts `moe3d ...` in its own process; all end with the module."""
    # A shell starts background jobs deaf to SIGINT, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, '-m', 'moe3d_ros.cli', *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    signal.signal(signal.SIGINT, before)
