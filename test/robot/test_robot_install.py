"""A robot's installation is the two packages without the laboratory, and they suffice."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(__file__).with_name('robot_node.py')


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """Return a folder with what is installed on a robot."""
    for package in ('moe3d_engine', 'moe3d_ros', 'config'):
        ignore = shutil.ignore_patterns('lab', '__pycache__')
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    return tmp_path


def test_node_without_laboratory_turns_an_image_into_depth(robot: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(NODE)],
        env=os.environ | {'PYTHONPATH': str(robot)},
        cwd=robot,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert 'commands run replay reconstruct build doctor' in lines
    assert 'depth 32FC1 192 144' in lines
