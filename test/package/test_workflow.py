"""The workflow of continuous integration: it parses, and what it names is in the repository."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / '.github' / 'workflows' / 'ci.yml'
TEXT = PATH.read_text()
JOBS: dict[str, Any] = yaml.safe_load(TEXT)['jobs']
SCRIPTS = [step['run'] for job in JOBS.values() for step in job['steps'] if 'run' in step]


def test_each_step_does_one_thing() -> None:
    steps = [step for job in JOBS.values() for step in job['steps']]

    assert steps
    assert all(('run' in step) != ('uses' in step) for step in steps)
    assert all(re.fullmatch(r'actions/[\w-]+@v\d+', s['uses']) for s in steps if 'uses' in s)


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_parse(script: str) -> None:
    filled = re.sub(r'\$\{\{ *matrix\.\w+ *\}\}', 'value', script)

    assert '${{' not in filled
    subprocess.run(['bash', '-n', '-c', filled], check=True)


def test_pythons_are_those_of_the_makefile() -> None:
    makefile = (ROOT / 'Makefile').read_text()
    low, high = (int(x) for x in re.findall(r'\(3, (\d+)\)', makefile)[:2])
    wanted = [f'3.{minor}' for minor in range(low, high + 1)]

    assert JOBS['wheels']['strategy']['matrix']['python'] == wanted


def test_distributions_are_those_that_requirements_promise() -> None:
    promised = re.search(r'ROS 2 \(([\w, ]+)\)', (ROOT / 'requirements' / 'ros.txt').read_text())
    assert promised is not None

    wanted = promised[1].lower().split(', ')
    assert JOBS['ros']['strategy']['matrix']['distribution'] == wanted
    assert re.fullmatch(
        r'[a-z]+/ros:\$\{\{ matrix\.distribution \}\}-\w+', JOBS['ros']['container']
    )


def test_targets_files_and_folders_exist() -> None:
    text = '\n'.join(SCRIPTS)
    phony = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), flags=re.M)
    assert phony is not None

    assert set(re.findall(r'\bmake (\w+)', text)) <= set(phony[1].split())
    named = re.findall(r'(?:test|requirements)/[\w.]+', text)
    assert len(named) > 4
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_makefile_runs_every_folder_of_tests() -> None:
    named = set(re.findall(r'test/[\w/]+', (ROOT / 'Makefile').read_text()))
    elsewhere = {'test/gpu', 'test/soak'}  # by hand: CONTRIBUTING says how
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob('test/**/test_*.py')}
    missing = [
        str(folder)
        for folder in folders
        if not (named | elsewhere) & {str(folder), *map(str, folder.parents)}
    ]

    assert len(folders) > 25
    assert not missing


def test_file_and_page_say_that_it_has_never_run() -> None:
    assert 'has never been run' in TEXT
    page = (ROOT / 'CONTRIBUTING.md').read_text()
    assert re.search(r'`\.github/workflows/ci\.yml`.*has never been run', page)
