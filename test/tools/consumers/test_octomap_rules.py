"""Settings of octomap_server that drop or spoil clouds are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moe3d_ros.tools.consumers import octomap
from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
import pytest

Find = Callable[..., list[Trouble]]
POINTS = {'/moe3d/camera/points': CLOUD}
GOOD = {'frame_id': 'odom', 'sensor_model.max_range': 6.0}


def test_good_octomap_has_no_trouble(find: Find) -> None:
    assert not find(octomap, GOOD, POINTS)


@pytest.mark.parametrize(
    ('name', 'value', 'effect'),
    [
        ('sensor_model.max_range', -1.0, 'every point is an obstacle'),
        ('sensor_model.max_range', 0.0, 'nothing farther than 0 m'),
        ('sensor_model.max_range', 0.5, 'nothing farther than 0.5 m'),
        ('point_cloud_min_z', 200.0, 'no point is left'),
    ],
)
def test_octomap_setting_that_spoils_the_cloud_is_named(
    find: Find, name: str, value: float, effect: str
) -> None:
    (trouble,) = find(octomap, GOOD | {name: value}, POINTS)

    assert (trouble.setting, trouble.value) == (name, value)
    assert effect in trouble.effect


def test_default_range_of_octomap_marks_points_that_say_free_space(find: Find) -> None:
    (trouble,) = find(octomap, {}, {'/moe3d/camera/points_clearing': CLOUD})

    assert 'free space included' in trouble.effect


def test_octomap_whose_input_was_not_remapped_is_told_how(find: Find) -> None:
    (trouble,) = find(octomap, GOOD, {'/cloud_in': CLOUD})

    assert 'Remap cloud_in:=/moe3d/camera/points' in trouble.remedy


def test_octomap_queue_that_runs_over_while_tf_is_late_is_named(
    find: Find, outputs: Outputs
) -> None:
    (trouble,) = find(octomap, GOOD, POINTS, replace(outputs, tf_lag_s=3.0))

    assert 'only 5 messages wait' in trouble.effect
    assert not find(octomap, GOOD, POINTS, replace(outputs, tf_lag_s=0.2))


def test_octomap_without_a_frame_transforms_into_map() -> None:
    assert octomap.frames(Consumer('/octomap_server', {})) == [('frame_id', 'map')]
