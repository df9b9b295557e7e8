"""The files that describe the package agree with each other and can be read."""

from __future__ import annotations

import ast
from contextlib import suppress
from importlib import metadata
from pathlib import Path
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def setup_argument(name: str) -> str:
    """Return a literal keyword argument of setup() without running setup.py."""
    tree = ast.parse((ROOT / 'setup.py').read_text())
    (value,) = (
        keyword.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup'
        for keyword in node.keywords
        if keyword.arg == name
    )
    return str(ast.literal_eval(value))


def test_version_is_the_same_in_both_manifests() -> None:
    version = ElementTree.parse(ROOT / 'package.xml').findtext('version')

    assert version == setup_argument('version')


def test_licence_is_the_same_in_all_files() -> None:
    licence = ElementTree.parse(ROOT / 'package.xml').findtext('license')

    assert licence == setup_argument('license') == 'Apache-2.0'
    assert (
        'Apache License\n                           Version 2.0' in (ROOT / 'LICENSE').read_text()
    )


@pytest.mark.parametrize('name', ['package.xml', 'config/fastdds.xml'])
def test_xml_is_well_formed(name: str) -> None:
    ElementTree.parse(ROOT / name)


def test_profile_holds_an_image_in_shared_memory() -> None:
    profile = ElementTree.parse(ROOT / 'config' / 'fastdds.xml')
    defined = {
        element.text for element in profile.iterfind('.//{*}transport_descriptor/{*}transport_id')
    }
    used = {element.text for element in profile.iterfind('.//{*}userTransports/{*}transport_id')}
    full_hd_rgb8_bytes = 1920 * 1080 * 3

    assert used == defined
    assert int(profile.findtext('.//{*}segment_size', '0')) > 4 * full_hd_rgb8_bytes


def test_rviz_shows_topics_that_the_launch_file_remaps() -> None:
    rviz = yaml.safe_load((ROOT / 'config' / 'reconstruct.rviz').read_text())
    shown = {
        display['Topic']['Value']
        for display in rviz['Visualization Manager']['Displays']
        if 'Topic' in display
    }
    launch = ast.parse((ROOT / 'launch' / 'reconstruct.launch.py').read_text())
    names = {
        getattr(node.targets[0], 'id', ''): node.value
        for node in launch.body
        if isinstance(node, ast.Assign)
    }
    of_camera, of_node = (
        ast.literal_eval(names[name]) for name in ('RVIZ_TOPICS', 'RVIZ_POSE_TOPICS')
    )

    assert shown == {
        *(f'/moe3d/camera/{topic}' for topic in of_camera),
        *(f'/moe3d/{topic}' for topic in of_node),
    }


def test_requirements_name_no_registry() -> None:
    for path in (ROOT / 'requirements').glob('*.txt'):
        for line in path.read_text().splitlines():
            assert re.fullmatch(
                r'(#.*)?|-r \w+\.txt|[A-Za-z0-9_-]+([<>=~!]=?[\w.*,<>=]+)?', line
            ), f'{path.name}: {line}'


def listed(name: str) -> set[str]:
    """Return the distributions of a requirements file, with those that they bring."""
    found: set[str] = set()
    for line in (ROOT / 'requirements' / name).read_text().splitlines():
        if line.startswith('-r '):
            found |= listed(line.removeprefix('-r ').strip())
        elif line and not line.startswith('#'):
            found |= brought(line)
    return found


def brought(requirement: str) -> set[str]:
    """Return a distribution and all that it requires, but for extras."""
    found: set[str] = set()
    waiting = [requirement]
    while waiting:
        name = re.split(r'[^\w.-]', waiting.pop())[0].lower().replace('_', '-')
        if name not in found:
            found.add(name)
            with suppress(metadata.PackageNotFoundError):
                waiting += [r for r in metadata.requires(name) or () if 'extra ==' not in r]
    return found


def test_what_the_demo_imports_is_installed_for_it() -> None:
    code = 'import sys, moe3d_ros.tools.demo.demo; print(*{n.split(".")[0] for n in sys.modules})'
    printed = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout

    of_module = metadata.packages_distributions()
    imported = {
        d.lower().replace('_', '-') for name in printed.split() for d in of_module.get(name, ())
    }

    assert 'numpy' in imported
    assert imported - {'moe3d-ros'} <= listed('demo.txt')
