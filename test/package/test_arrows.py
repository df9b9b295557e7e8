"""Imports between our own files: no arrow turns, and a robot never reaches the laboratory."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from graphlib import CycleError
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted(
    path for name in ('moe3d_engine', 'moe3d_ros') for path in (ROOT / name).rglob('*.py')
)
# Folders whose files stand on different floors: each file is a room of its own.
STAIRCASES = {'moe3d_engine', 'moe3d_engine.lab', 'moe3d_ros'}
MAX_FILES = 15

Graph = dict[str, set[str]]


def module_of(path: Path) -> str:
    """Return the dotted name of a file."""
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


MODULES = {module_of(path): path for path in PATHS}


def imports_of(path: Path) -> set[str]:
    """Return our own modules that a file imports, inside functions and for types included."""
    found: set[str] = set()
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f'{path} imports by a relative name'
            for alias in node.names:
                full = f'{node.module}.{alias.name}'
                found.add(full if full in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and 'import_module(' in source:
            found.add(str(node.value))  # a module that is imported by its name, such as a backend
    return found & set(MODULES)


GRAPH: Graph = {name: imports_of(path) - {name} for name, path in MODULES.items()}


def room_of(module: str) -> str:
    """Return the room of a module: its folder, or itself on a staircase."""
    if MODULES[module].name == '__init__.py':
        return module
    folder = module.rpartition('.')[0]
    return module if folder in STAIRCASES else folder


def rooms(graph: Graph) -> Graph:
    """Return the arrows between rooms."""
    arrows: Graph = defaultdict(set)
    for module, imported in graph.items():
        arrows[room_of(module)] |= {room_of(other) for other in imported} - {room_of(module)}
    return arrows


def cycle_in(graph: Graph) -> list[str]:
    """Return the names along a cycle; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def reached_from(starts: Iterable[str], graph: Graph) -> set[str]:
    """Return all modules that some of them import, however far."""
    reached, waiting = set(), list(starts)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += graph[module]
    return reached


def test_no_file_imports_itself_by_a_detour() -> None:
    assert not cycle_in(GRAPH)


def test_no_room_imports_itself_by_a_detour() -> None:
    assert not cycle_in(rooms(GRAPH))


def test_a_cycle_would_be_found() -> None:
    assert cycle_in({'a': {'b'}, 'b': {'c'}, 'c': {'a'}})
    assert not cycle_in({'a': {'b', 'c'}, 'b': {'c'}, 'c': set()})


def test_engine_knows_no_ros() -> None:
    turned = {
        (module, other)
        for module, imported in GRAPH.items()
        for other in imported
        if module.startswith('moe3d_engine') and other.startswith('moe3d_ros')
    }

    assert not turned


def test_laboratory_is_imported_by_itself_and_by_tools_only() -> None:
    allowed = ('moe3d_engine.lab', 'moe3d_ros.tools', 'moe3d_ros.cli')
    turned = {
        (module, other)
        for module, imported in GRAPH.items()
        for other in imported
        if other.startswith('moe3d_engine.lab') and not module.startswith(allowed)
    }

    assert not turned


@pytest.mark.parametrize(
    'start', ['moe3d_ros.run', 'moe3d_ros.tools.bags.replay', 'moe3d_engine.session']
)
def test_robot_reaches_neither_laboratory_nor_demo(start: str) -> None:
    reached = reached_from([start], GRAPH)

    assert not {m for m in reached if m.startswith(('moe3d_engine.lab', 'moe3d_ros.tools.demo'))}


@pytest.mark.parametrize('package', ['moe3d_engine', 'moe3d_ros', 'test'])
def test_no_folder_holds_more_files_than_a_reader_sees_at_once(package: str) -> None:
    crowded = {
        folder.relative_to(ROOT).as_posix(): len(list(folder.glob('*.py')))
        for folder in [ROOT / package, *(ROOT / package).rglob('*/')]
        if len(list(folder.glob('*.py'))) > MAX_FILES
    }

    assert not crowded
