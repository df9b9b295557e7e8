"""What a parameter file says of the node is found as ROS finds it."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
import pytest

pytest.importorskip('yaml')

from moe3d_ros.settings.file import read_params_file
from moe3d_ros.share import share_file

FILE = """
/**:
  ros__parameters:
    camera: {name: left}
    depth.max_m: 9.0
/rig:
  moe3d:
    ros__parameters: {depth: {max_m: 7.0}}
/*/other:
  ros__parameters: {input: {transport: compressed}}
"""


@pytest.mark.parametrize(
    ('node', 'expected'),
    [
        ('/moe3d', {'camera.name': 'left', 'depth.max_m': 9.0}),
        ('/rig/moe3d', {'camera.name': 'left', 'depth.max_m': 7.0}),
        (
            '/a/other',
            {'camera.name': 'left', 'depth.max_m': 9.0, 'input.transport': 'compressed'},
        ),
    ],
)
def test_node_gets_what_its_name_matches(
    tmp_path: Path, node: str, expected: dict[str, object]
) -> None:
    path = tmp_path / 'p.yaml'
    path.write_text(FILE)

    assert read_params_file(path, node) == expected


def test_shipped_file_speaks_to_every_node() -> None:
    values = read_params_file(share_file('config/reconstruct.yaml'), '/any/name')

    assert values['camera.name'] == 'camera'
    assert values['input.transport'] == 'raw'


@pytest.mark.parametrize(
    'text',
    ['a: [', '- 1', '', '{a: ' * 5000 + '}' * 5000, '/**: &a {ros__parameters: {b: *a}}'],
    ids=['broken', 'list', 'empty', 'deep', 'in itself'],
)
def test_file_that_is_none_is_refused_by_name_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'p.yaml'
    path.write_text(text)

    with pytest.raises(ConfigError, match=r'p\.yaml') as refusal:
        read_params_file(path, '/moe3d')
    assert '\n' not in str(refusal.value)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'missing\.yaml'):
        read_params_file(tmp_path / 'missing.yaml', '/moe3d')
