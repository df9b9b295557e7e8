"""`colcon build` installs what ROS looks for, where it looks for it."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    'name',
    [
        'share/ament_index/resource_index/packages/moe3d_ros',
        'share/moe3d_ros/package.xml',
        'share/moe3d_ros/launch/reconstruct.launch.py',
        'share/moe3d_ros/config/reconstruct.yaml',
        'share/moe3d_ros/config/reconstruct.rviz',
        'share/moe3d_ros/config/rig.rviz',
        'share/moe3d_ros/config/foxglove/camera.json',
        'share/moe3d_ros/config/fastdds.xml',
        'share/moe3d_ros/config/consumers/nav2_costmap.yaml',
        'share/moe3d_ros/config/consumers/rtabmap.yaml',
    ],
)
def test_colcon_installs_file_unchanged(colcon_install: Path, name: str) -> None:
    source = ROOT / name.removeprefix('share/moe3d_ros/')
    if not source.exists():
        source = ROOT / 'resource' / 'moe3d_ros'

    assert (colcon_install / 'moe3d_ros' / name).read_bytes() == source.read_bytes()


@pytest.mark.parametrize('name', ['moe3d', 'moe3d_node'])
def test_colcon_installs_executable_where_ros2_run_looks(colcon_install: Path, name: str) -> None:
    executable = colcon_install / 'moe3d_ros' / 'lib' / 'moe3d_ros' / name

    assert os.access(executable, os.X_OK)


def test_colcon_installs_all_modules_and_weights(
    colcon_install: Path, installed_environment: Mapping[str, str]
) -> None:
    (site_packages,) = (colcon_install / 'moe3d_ros').glob('lib/python3*/site-packages')
    suffixes = {'.py', '.json', '.onnx', '.npz', '.safetensors'}

    for package in ('moe3d_engine', 'moe3d_ros'):
        wanted = {
            path.relative_to(ROOT)
            for path in (ROOT / package).rglob('*')
            if path.suffix in suffixes
        }
        installed = {
            path.relative_to(site_packages)
            for path in (site_packages / package).rglob('*')
            if path.suffix in suffixes
        }
        assert installed == wanted
    assert str(site_packages) in installed_environment['PYTHONPATH'].split(os.pathsep)


def test_installed_command_answers_help(
    colcon_install: Path, installed_environment: Mapping[str, str], tmp_path: Path
) -> None:
    result = subprocess.run(
        [colcon_install / 'moe3d_ros/lib/moe3d_ros/moe3d', '--help'],
        env=dict(installed_environment),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert 'demo' in result.stdout
