"""Nothing in the working folder is executed, however a command starts another one."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

from moe3d_ros.tools.own_module import own_module
import pytest

SCRIPT = Path(sys.executable).with_name('moe3d')
COMMANDS = {
    'child': own_module('moe3d_ros.cli'),
    'console script': [sys.executable, str(SCRIPT)],
    'python -m': [sys.executable, '-m', 'moe3d_ros.cli'],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a picture that is none, and a numpy that says that it has been run."""
    (tmp_path / 'numpy.py').write_text("open('has_been_run', 'w')\nraise ImportError('planted')")
    (tmp_path / 'a.png').touch()
    return tmp_path


def reconstruct(command: list[str], folder: Path) -> str:
    """Reconstruct the picture from within the folder; return what is said about it."""
    done = subprocess.run(
        [*command, 'reconstruct', 'a.png', '--out', 'a.npz'],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize('name', ['child', 'console script'])
def test_numpy_beside_the_data_is_not_run(name: str, folder: Path) -> None:
    if name == 'console script' and not SCRIPT.exists():
        pytest.skip('the package is not installed here')

    assert 'a.png' in reconstruct(COMMANDS[name], folder)

    assert not (folder / 'has_been_run').exists()


def test_plain_python_would_run_it(folder: Path) -> None:
    reconstruct(COMMANDS['python -m'], folder)

    assert (folder / 'has_been_run').exists()
