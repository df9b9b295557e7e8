"""The structure of the code: who imports what, how long a file is, what its name says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ('moe3d_engine', 'moe3d_ros')
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob('*.py'))
MAX_LINES, MAX_FUNCTION_LINES = 350, 60

# Import -> files and folders that may have it, relative to the root.
ROS_ONLY = ('moe3d_ros/', 'launch/')
PLACES = {
    'torch': (
        'moe3d_engine/model/',
        'moe3d_engine/lab/training/',
        'moe3d_engine/backends/torch_backend.py',
        'moe3d_engine/graphs/',
        'moe3d_engine/lab/runs/cost.py',
    ),
    'scipy': ('moe3d_engine/lab/',),
    'openvino': ('moe3d_engine/backends/openvino_backend.py', 'moe3d_engine/graphs/rounding.py'),
    'tensorrt': ('moe3d_engine/plans/compiler.py',),
    'matplotlib': ('moe3d_engine/lab/', 'moe3d_ros/tools/'),
    'rosbags': ('moe3d_engine/bags/', 'moe3d_engine/lab/fuzz/', 'moe3d_ros/tools/'),
    'open3d': ('moe3d_engine/lab/mappers/tsdf_grid.py',),
    'rerun': ('moe3d_engine/lab/reports/rerun_log.py',),
    'octomap': ('moe3d_engine/lab/mappers/octomap_tree.py',),
    'moe3d_ros': ROS_ONLY,
    'rclpy': ROS_ONLY,
    'ament_index_python': ROS_ONLY,
    'launch': ROS_ONLY,
    'launch_ros': ROS_ONLY,
    'tf2_ros': ROS_ONLY,
    'rcl_interfaces': ROS_ONLY,
    'builtin_interfaces': ROS_ONLY,
    'rosgraph_msgs': ROS_ONLY,
    **{f'{name}_msgs': ROS_ONLY for name in ('sensor', 'nav', 'geometry', 'std', 'diagnostic')},
    'lifecycle_msgs': ROS_ONLY,
}
HEAVY = {'torch', 'openvino', 'tensorrt', 'rclpy', 'cv2', 'matplotlib', 'rosbags', 'onnx', 'scipy'}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> Iterator[str]:
    """Yield the top-level name of each import, the ones inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split('.')[0]


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `code`."""
    program = f'{code}\nimport sys; print("LOADED", *sys.modules)'
    result = subprocess.run(
        [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = result.stdout.rpartition('LOADED')[2].split()
    return {name.split('.')[0] for name in modules}


@pytest.mark.parametrize('path', MODULES, ids=relative)
def test_import_is_where_it_may_be(path: Path) -> None:
    misplaced = {
        name
        for name in imports_of(path)
        if name in PLACES and not relative(path).startswith(PLACES[name])
    }

    assert not misplaced


@pytest.mark.parametrize('path', MODULES, ids=relative)
def test_file_is_short_and_its_name_says_something(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES
    assert path.stem not in {'utils', 'helpers', 'common', 'misc'}


@pytest.mark.parametrize('path', MODULES, ids=relative)
def test_functions_are_short(path: Path) -> None:
    """Docstrings do not count: what is documented well may be long."""
    long = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = (
                node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            )
            lines = (node.end_lineno or 0) - first.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                long[node.name] = lines

    assert not long


def test_rules_name_files_that_exist() -> None:
    named = {place for places in PLACES.values() for place in places}

    assert not {place for place in named if not (ROOT / place).exists()}


def test_bare_import_of_the_engine_loads_nothing_heavy() -> None:
    assert not loaded_by('import moe3d_engine') & (HEAVY | {'moe3d_ros'})


def test_help_of_the_command_loads_nothing_heavy() -> None:
    code = (
        'import contextlib\n'
        'from moe3d_ros.cli import main\n'
        'with contextlib.suppress(SystemExit):\n'
        "    main(['--help'])"
    )

    assert not loaded_by(code) & HEAVY


def test_package_names_no_place_outside_itself() -> None:
    words = ('/work/', '../' + 'shared', 'shared/' + 'golden', 'shared/' + 'data')
    folders = ('moe3d_engine', 'moe3d_ros', 'launch', 'config', 'requirements', 'docs', 'test')
    suffixes = {'.py', '.md', '.rst', '.yaml', '.xml', '.txt', '.rviz', '.json'}
    texts = [path for folder in folders for path in (ROOT / folder).rglob('*')]
    docker = list((ROOT / 'docker').iterdir())
    texts += [*ROOT.glob('*.*'), *docker, ROOT / 'Makefile', ROOT / '.ci' / 'run']

    found = [
        relative(path)
        for path in texts
        if path.is_file()
        and (path.suffix in suffixes or path in docker or path.name in {'Makefile', 'run'})
        and path != Path(__file__)
        and any(word in path.read_text() for word in words)
    ]

    assert not found
