"""What `import moe3d_engine` offers and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import moe3d_engine
import pytest

HEAVY = ('torch', 'openvino', 'rclpy', 'cv2', 'matplotlib', 'rosbags', 'trimesh', 'onnx')
LIST_LOADED = f'import sys; print([m for m in {HEAVY} if m in sys.modules])'


@pytest.mark.parametrize(
    'statement',
    [
        'import moe3d_engine',
        'import moe3d_ros.cli',
        'from moe3d_ros.cli import installed_commands; installed_commands()',
    ],
)
def test_import_loads_nothing_heavy(statement: str) -> None:
    loaded = subprocess.run(
        [sys.executable, '-c', f'{statement}\n{LIST_LOADED}'],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert loaded.strip() == '[]'


@pytest.mark.parametrize('name', moe3d_engine.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(moe3d_engine, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match='no attribute'):
        moe3d_engine.nothing  # noqa: B018
