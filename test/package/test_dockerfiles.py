"""The Dockerfiles: they parse, and what they name is in the repository."""

from __future__ import annotations

import json
from pathlib import Path
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / 'docker'
DOCKERFILES = sorted(DOCKER.glob('*.Dockerfile'))
KNOWN = {'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'FROM', 'RUN', 'VOLUME', 'WORKDIR'}
PACKAGE = '/opt/moe3d/src/moe3d_ros'
# `name` or `owner/name` with a tag; the host of a registry would have a dot or a colon before /.
IMAGE = re.compile(r'([a-z0-9_-]+/)?[a-z0-9_-]+:[\w.-]+')
VARIABLE = re.compile(r'\$\{(\w+)\}')

each_file = pytest.mark.parametrize('path', DOCKERFILES, ids=lambda path: path.name)


class Instruction(NamedTuple):
    """An instruction and all that follows it, as one line."""

    name: str
    text: str


def instructions(path: Path) -> list[Instruction]:
    """Return the instructions of a Dockerfile, without comments."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith('#')]
    joined = '\n'.join(lines).replace('\\\n', ' ')
    found = [line.strip().partition(' ') for line in joined.splitlines() if line.strip()]
    return [Instruction(name, text.strip()) for name, _, text in found]


def copies(path: Path) -> list[tuple[list[str], str]]:
    """Return sources and target of each COPY."""
    words = [shlex.split(i.text) for i in instructions(path) if i.name == 'COPY']
    return [(sources, target) for *sources, target in words]


def test_there_is_a_file_for_each_kind_of_machine() -> None:
    assert [path.name for path in DOCKERFILES] == [
        'cpu.Dockerfile', 'gpu.Dockerfile', 'jetson.Dockerfile',
    ]  # fmt: skip


@each_file
def test_instructions_are_known_and_images_name_no_registry(path: Path) -> None:
    found = instructions(path)
    defaults = dict(
        shlex.split(i.text)[0].split('=', 1) for i in found if i.name == 'ARG' and '=' in i.text
    )

    assert {i.name for i in found} <= KNOWN
    assert [i.name for i in found[:2]] == ['ARG', 'FROM']
    assert found[1].text == '${BASE_IMAGE}'
    assert IMAGE.fullmatch(defaults['BASE_IMAGE'])
    assert set(VARIABLE.findall(path.read_text())) <= set(defaults)


@each_file
def test_shell_commands_parse(path: Path) -> None:
    for instruction in instructions(path):
        if instruction.name == 'RUN':
            subprocess.run(['sh', '-n', '-c', instruction.text], check=True)
        elif instruction.name in {'CMD', 'ENTRYPOINT'}:
            words = json.loads(instruction.text)
            assert words
            assert all(isinstance(word, str) for word in words)


@each_file
def test_copied_and_installed_files_exist(path: Path) -> None:
    copied = {}
    for sources, target in copies(path):
        for source in sources:
            assert (ROOT / source).exists(), source
            into_folder = target.endswith('/')
            copied[f'{target}{Path(source).name}' if into_folder else target] = source
        assert len(sources) == 1 or target.endswith('/')

    text = ' '.join(i.text for i in instructions(path) if i.name == 'RUN')
    installed = re.findall(r'-r (\S+)', text)
    assert installed
    for name in installed:
        assert copied[name] == f'requirements/{Path(name).name}'


def test_requirements_that_are_copied_need_no_other_file() -> None:
    for path in DOCKERFILES:
        for sources, _ in copies(path):
            for name in sources:
                if name.startswith('requirements/'):
                    assert '\n-r ' not in f'\n{(ROOT / name).read_text()}'


def test_entry_point_parses_and_runs_a_file_that_is_copied() -> None:
    (cpu,) = (path for path in DOCKERFILES if path.name == 'cpu.Dockerfile')
    commands = {i.name: i.text for i in instructions(cpu)}
    shell, script = json.loads(commands['ENTRYPOINT'])

    assert shell == 'bash'
    assert (['docker/entrypoint.sh'], '/opt/moe3d/') in copies(cpu)
    assert script == '/opt/moe3d/entrypoint.sh'
    subprocess.run(['bash', '-n', DOCKER / 'entrypoint.sh'], check=True)
    *ros2_launch, package, launch_file = json.loads(commands['CMD'])
    assert ros2_launch == ['ros2', 'launch']
    assert package == 'moe3d_ros'
    assert (ROOT / 'launch' / launch_file).is_file()


def test_entry_point_without_ros_says_so() -> None:
    if list(Path('/opt/ros').glob('*')):
        pytest.skip('ROS is installed here')

    result = subprocess.run(
        ['bash', DOCKER / 'entrypoint.sh', 'true'], capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert 'no ROS 2 in /opt/ros' in result.stderr


def test_package_can_be_made_from_the_copied_files_alone(tmp_path: Path) -> None:
    for sources, target in copies(DOCKER / 'cpu.Dockerfile'):
        if not target.startswith(PACKAGE):
            continue
        for source in sources:
            place = tmp_path / (Path(source).name if target.endswith('/') else Path(target).name)
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, place,
                    ignore=shutil.ignore_patterns('__pycache__', '*.safetensors', '*.onnx'),
                )  # fmt: skip
            else:
                shutil.copy2(ROOT / source, place)

    made = subprocess.run(
        [sys.executable, 'setup.py', '--quiet', 'egg_info', 'install_data', '--install-dir', 'i'],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert made.returncode == 0, made.stderr
    for name in ('launch/reconstruct.launch.py', 'config/fastdds.xml', 'package.xml'):
        assert (tmp_path / 'i' / 'share' / 'moe3d_ros' / name).is_file()
    listed = (tmp_path / 'moe3d_ros.egg-info' / 'SOURCES.txt').read_text()
    assert 'moe3d_engine/backend.py' in listed
    assert 'moe3d_ros/node.py' in listed


def test_readme_names_every_file_and_no_other() -> None:
    named = re.findall(r'`(\w+\.Dockerfile)`', (DOCKER / 'README.md').read_text())

    assert set(named) == {path.name for path in DOCKERFILES}
