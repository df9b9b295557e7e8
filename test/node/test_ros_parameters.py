"""The table of parameters, the file of defaults and the engine's defaults agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.assets import find_weights
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.policy import Thresholds
from moe3d_engine.session import SessionConfig
from moe3d_engine.window import check_fits
from moe3d_ros.settings.cloud import CloudForm
from moe3d_ros.settings.parameters import declare_parameters
from moe3d_ros.settings.parameters import node_config
from moe3d_ros.settings.table import ParameterRow
from moe3d_ros.settings.table import PARAMETERS
from moe3d_ros.settings.table import parameters_table
from moe3d_ros.settings.table import ParameterValue
from moe3d_ros.share import share_file
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

DEFAULTS = {row.name: row.default for row in PARAMETERS}


def flat(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return nested parameters by their full names."""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            values |= flat(value, f'{prefix}{name}.')
        else:
            values[prefix + name] = value
    return values


def test_file_holds_every_parameter_with_its_default_and_type() -> None:
    tree = yaml.safe_load(share_file('config/reconstruct.yaml').read_text())

    values = flat(tree['/**']['ros__parameters'])

    assert values == DEFAULTS
    assert list(values) == list(DEFAULTS)
    assert {n: type(v) for n, v in values.items()} == {n: type(v) for n, v in DEFAULTS.items()}


def test_example_of_a_rig_makes_sense() -> None:
    tree = yaml.safe_load(share_file('config/rig.yaml').read_text())
    values = flat(tree['/**']['ros__parameters'])

    config = node_config({**DEFAULTS, **values})

    assert set(values) <= set(DEFAULTS)
    assert config.rig.cameras == ('front', 'left', 'right')
    assert config.camera == 'front'
    assert config.rig.extrinsics == 'tf'
    check_fits(config.session.window, find_weights('moe3d-small').spec)


def test_defaults_are_those_of_the_engine() -> None:
    # The library has no limit, the node has.
    expected = SessionConfig(thresholds=Thresholds(depth_max_m=40.0))

    assert node_config(DEFAULTS).session == expected


def test_cloud_is_whole_by_default() -> None:
    assert node_config(DEFAULTS).cloud == CloudForm()


def test_organised_cloud_of_one_point_per_cube_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r'Set cloud\.organized to false'):
        node_config({**DEFAULTS, 'cloud.voxel_m': 0.05})
    thinned = node_config({**DEFAULTS, 'cloud.voxel_m': 0.05, 'cloud.organized': False}).cloud

    assert thinned == CloudForm(organized=False, voxel_m=0.05)


@pytest.mark.parametrize('text', ['network', 'source', '320'])
def test_resolutions_that_exist_are_taken(text: str) -> None:
    assert str(node_config({**DEFAULTS, 'output.resolution': text}).resolution) == text


@pytest.mark.parametrize('text', ['', 'full', '8', '-320', '3.5', '320x240'])
def test_resolution_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r'output\.resolution is network, source or'):
        node_config({**DEFAULTS, 'output.resolution': text})


def test_switching_rejection_off_keeps_every_pixel() -> None:
    config = node_config({**DEFAULTS, 'rejection.enabled': False}).session.thresholds

    assert (config.min_agreement, config.min_confidence) == (0.0, 0.0)


@pytest.mark.parametrize('name', ['front', 'robot1/front_left', '_x'])
def test_camera_names_that_topics_allow_are_taken(name: str) -> None:
    assert node_config({**DEFAULTS, 'camera.name': name}).camera == name


@pytest.mark.parametrize('name', ['', '1st', 'a b', '/front', 'front/', 'a//b', 'köln', '~x'])
def test_camera_names_that_topics_do_not_allow_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r'camera\.name'):
        node_config({**DEFAULTS, 'camera.name': name})


@pytest.mark.parametrize('row', [row for row in PARAMETERS if row.choices], ids=lambda r: r.name)
def test_value_that_is_no_choice_is_refused(row: ParameterRow) -> None:
    with pytest.raises(ConfigError, match=row.name):
        node_config({**DEFAULTS, row.name: 'nonsense'})


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'poses.source': 'odometry'}, 'poses.odometry_topic'),
        ({'scale.source': 'odometry'}, 'poses.odometry_topic'),
        ({'scale.source': 'reference_depth'}, 'scale.reference_topic'),
        ({'poses.odometry_from': 'tf', 'poses.odometry_topic': 'odom'}, 'which one holds'),
        ({'poses.odometry_from': 'tf', 'poses.base_from_camera': '0 0 0 0 0 0 1'}, 'leave'),
        ({'poses.odometry_from': 'tf', 'tf.publish': True}, 'would hear itself'),
        ({'poses.odometry_frame': '/odom'}, 'leading slash'),
        (
            {'poses.source': 'network', 'scale.source': 'odometry', 'poses.odometry_topic': 'o'},
            'set it to tracking or odometry',
        ),
        ({'poses.source': 'network', 'tf.publish': True}, 'tf.publish sends the poses'),
        ({'scale.require_lock': True}, 'nobody measures'),
        (
            {'scale.require_lock': True, 'scale.source': 'network', 'poses.odometry_topic': 'o'},
            'nobody measures',
        ),
    ],
)
def test_what_is_asked_for_without_its_input_is_refused(
    changes: dict[str, ParameterValue], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        node_config({**DEFAULTS, **changes})


@pytest.mark.parametrize('name', ['poses.base_from_camera', 'scale.camera_from_reference'])
@pytest.mark.parametrize(
    'text', ['1 2 3', '0 0 0 0 0 0', '0 0 0 0 0 0 0', 'a b c d e f g', 'nan 0 0 0 0 0 1']
)
def test_place_of_a_sensor_that_is_none_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f'{name} is .x y z qx qy qz qw'):
        node_config({**DEFAULTS, name: text})


def test_place_of_a_sensor_becomes_its_transform() -> None:
    values = {**DEFAULTS, 'poses.base_from_camera': '1, 2, 3, 0, 0, 1, 1'}
    base_from_camera = node_config(values).side_inputs.base_from_camera

    assert base_from_camera is not None
    expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(base_from_camera, expected, atol=1e-12)


def test_no_input_beside_the_images_is_the_default() -> None:
    side = node_config(DEFAULTS).side_inputs

    assert not side.has_odometry
    assert not side.reference_topic
    assert side.base_from_camera is None
    assert side.camera_from_reference is None


def test_scale_and_its_lock_reach_the_session() -> None:
    changes = {'scale.source': 'reference_depth', 'scale.reference_topic': 'depth/image_rect'}
    scale = node_config({**DEFAULTS, **changes, 'scale.require_lock': True}).session.scale

    assert (scale.source, scale.require_lock) == ('reference_depth', True)


def test_declared_parameters_describe_themselves(ros_context: Context) -> None:
    node = rclpy.create_node('parameters', context=ros_context, start_parameter_services=False)
    try:
        declare_parameters(node)
        for row in PARAMETERS:
            descriptor = node.describe_parameter(row.name)
            assert descriptor.description == row.text
            assert not descriptor.read_only  # the node itself says what may change, and when
            assert all(choice in descriptor.additional_constraints for choice in row.choices)
        refused = node.set_parameters([Parameter('rejection.min_agreement', value=1.5)])
        assert not refused[0].successful
    finally:
        node.destroy_node()


def test_table_of_the_readme_names_every_parameter_and_default() -> None:
    lines = parameters_table().splitlines()

    assert len(lines) == 2 + len(PARAMETERS)
    assert '| `depth.max_m` | `40.0` | yes |' in parameters_table()
    assert all(f'`{row.name}`' in line for row, line in zip(PARAMETERS, lines[2:], strict=True))


def test_share_file_is_found_in_a_sourced_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'share' / 'moe3d_ros' / 'config' / 'mine.yaml'
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')

    assert share_file('config/mine.yaml') == path
    with pytest.raises(InputError, match=r'config/other\.yaml'):
        share_file('config/other.yaml')
