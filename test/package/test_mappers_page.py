"""The page of mappers names settings that are shipped and tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path
import re

from moe3d_ros.tools.consumers.catalogue import RULES
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs/mappers.md').read_text()
ROWS = [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in PAGE.splitlines()
    if line.startswith('|')
][2:]
TESTS = {
    node.name
    for path in (ROOT / 'test/tools').rglob('test_*.py')
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.FunctionDef)
}
FILES = {
    'Nav2 costmap': 'nav2_costmap',
    'nvblox': 'nvblox',
    'octomap_server': 'octomap_server',
    'robot_localization': 'robot_localization',
    'rtabmap': 'rtabmap',
    'all': 'robot_localization',
}


def keys_of(content: object) -> set[str]:
    """Return the last parts of all keys."""
    if not isinstance(content, dict):
        return set()
    own = {str(key).rpartition('.')[2] for key in content}
    return own.union(*(keys_of(value) for value in content.values()))


def test_every_consumer_with_rules_has_rows() -> None:
    assert {row[0] for row in ROWS} == {rules.NAME for rules in RULES} | {'all'}


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row[0]}: {row[1]}')
def test_row_names_tests_that_exist_and_settings_that_are_shipped(row: list[str]) -> None:
    consumer, _, settings, tests = row
    shipped = yaml.safe_load((ROOT / f'config/consumers/{FILES[consumer]}.yaml').read_text())
    named = set(re.findall(r'`(\w+)`', tests))

    assert named
    assert named <= TESTS
    assert set(re.findall(r'`(\w+)`', settings)) <= keys_of(shipped)


def test_tests_that_the_text_names_exist() -> None:
    assert set(re.findall(r'`(test_\w+)`', PAGE)) <= TESTS
