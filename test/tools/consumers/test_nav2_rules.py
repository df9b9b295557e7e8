"""Settings of a costmap of Nav2 that drop or spoil clouds are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moe3d_ros.tools.consumers import nav2
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
import pytest

Find = Callable[..., list[Trouble]]
POINTS, CLEARING = '/moe3d/camera/points', '/moe3d/camera/points_clearing'
GOOD = {
    'plugins': ['layer'],
    'global_frame': 'odom',
    'robot_base_frame': 'base_link',
    'layer.observation_sources': 'near far',
    'layer.min_obstacle_height': 0.1,
    'layer.near.topic': POINTS,
    'layer.near.data_type': 'PointCloud2',
    'layer.near.clearing': True,
    'layer.near.max_obstacle_height': 2.0,
    'layer.near.raytrace_max_range': 4.0,
    'layer.far.topic': CLEARING,
    'layer.far.data_type': 'PointCloud2',
    'layer.far.marking': False,
    'layer.far.clearing': True,
    'layer.far.min_obstacle_height': -100.0,
    'layer.far.max_obstacle_height': 100.0,
}


def severe(troubles: list[Trouble]) -> set[str]:
    return {trouble.setting for trouble in troubles if trouble.severe}


def test_good_costmap_has_no_trouble(find: Find) -> None:
    assert not severe(find(nav2, GOOD))


@pytest.mark.parametrize(
    ('name', 'value', 'effect'),
    [
        ('layer.near.data_type', 'LaserScan', 'another type'),
        ('layer.near.max_obstacle_height', 0.0, 'every point above 0 m is discarded'),
        ('layer.near.clearing', False, 'stays an obstacle'),
        ('layer.near.marking', False, 'makes no obstacles'),
        ('layer.near.raytrace_max_range', 2.0, 'between 2 and 2.5 m are never cleared'),
        ('layer.near.obstacle_max_range', 0.0, 'nothing is used'),
        ('layer.near.sensor_frame', 'base_link', 'rays start there'),
        ('layer.near.expected_update_rate', 0.1, 'out of date'),
        ('layer.near.topic', '/moe3d/cam/points', 'nobody publishes'),
        ('layer.near.topic', 'moe3d/camera/points', 'differently in each release'),
        ('layer.far.marking', True, 'become obstacles'),
        ('layer.far.clearing', False, 'does nothing'),
        ('layer.far.max_obstacle_height', 2.0, 'before they clear'),
        ('layer.far.min_obstacle_height', 0.0, 'before they clear'),
        ('layer.enabled', False, 'marks and clears nothing'),
        ('layer.max_obstacle_height', 0.0, 'low enough'),
        ('layer.z_voxels', 4, 'end at 0.80 m'),
        ('plugins', ['static_layer'], 'not loaded'),
    ],
)
def test_costmap_setting_that_drops_data_is_named_with_value_and_remedy(
    find: Find, name: str, value: object, effect: str
) -> None:
    (trouble, *_) = [t for t in find(nav2, GOOD | {name: value}) if t.setting == name]

    assert trouble.severe
    assert effect in trouble.effect
    assert trouble.value == value
    assert trouble.remedy


@pytest.mark.parametrize(
    ('end', 'effect'),
    [
        ('data_type', 'another type'),
        ('max_obstacle_height', 'every point above 0 m is discarded'),
        ('clearing', 'stays an obstacle'),
    ],
)
def test_default_of_a_source_is_taken_where_it_is_not_set(
    find: Find, end: str, effect: str
) -> None:
    left = {name: value for name, value in GOOD.items() if name != f'layer.near.{end}'}

    assert any(effect in trouble.effect for trouble in find(nav2, left))


def test_costmap_without_the_clearing_cloud_is_told_that_nan_and_inf_never_clear(
    find: Find,
) -> None:
    alone = GOOD | {'layer.observation_sources': 'near', 'layer.near.inf_is_valid': True}

    (trouble,) = (t for t in find(nav2, alone) if t.severe)
    assert 'NaN and Inf never clear' in trouble.effect
    assert CLEARING in trouble.remedy


def test_misspelled_topic_of_a_source_is_answered_with_the_right_one(find: Find) -> None:
    troubles = find(nav2, GOOD | {'layer.near.topic': '/moe3d/camera/point'})

    assert any(t.remedy == f'Did you mean {POINTS}?' for t in troubles)


def test_pose_of_the_robot_that_comes_later_than_the_tolerance_is_named(
    find: Find, outputs: Outputs
) -> None:
    odometry = replace(outputs.streams['/moe3d/odometry'], latencies_s=(0.5,) * 20)
    late = replace(
        outputs, streams={**outputs.streams, '/moe3d/odometry': odometry}, sends_tf=True
    )

    assert 'transform_tolerance' in severe(find(nav2, GOOD, heard=late))
    assert not severe(find(nav2, GOOD | {'transform_tolerance': 1.0}, heard=late))
    assert not severe(find(nav2, GOOD, heard=replace(late, sends_tf=False)))


def test_topic_of_a_lidar_that_is_not_there_is_told_without_being_a_failure(find: Find) -> None:
    both = GOOD | {'layer.observation_sources': 'near far scan', 'layer.scan.topic': '/scan'}

    assert not severe(find(nav2, both))
    assert any(trouble.value == '/scan' for trouble in find(nav2, both))


def test_topic_that_another_source_uses_is_not_proposed(find: Find, outputs: Outputs) -> None:
    without = replace(outputs, published=outputs.published - {CLEARING})

    (trouble,) = (t for t in find(nav2, GOOD, heard=without) if t.value == CLEARING)
    assert trouble.severe
    assert POINTS + '?' not in trouble.remedy


def test_costmap_without_our_topics_is_not_judged_by_them(find: Find) -> None:
    lidar = {
        'plugins': ['layer'],
        'layer.observation_sources': 'scan',
        'layer.scan.topic': '/scan',
    }
    heard = Outputs(published=frozenset({'/scan'}))

    assert not find(nav2, lidar, heard=heard)


def test_layer_of_another_package_is_not_judged_by_these_rules(find: Find) -> None:
    other = {'layer.plugin': 'spatio_temporal_voxel_layer/SpatioTemporalVoxelLayer'}

    assert not find(nav2, GOOD | other | {'layer.near.data_type': 'LaserScan'})
    for ours in ('nav2_costmap_2d::VoxelLayer', 'nav2_costmap_2d::ObstacleLayer'):
        assert find(nav2, GOOD | {'layer.plugin': ours, 'layer.near.data_type': 'LaserScan'})
