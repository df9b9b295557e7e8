"""Settings of nvblox that drop or spoil depth are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moe3d_ros.tools.consumers import nvblox
from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
import pytest

Find = Callable[..., list[Trouble]]
DEPTH, COLOR = '/moe3d/camera/depth/image_rect', '/moe3d/camera/color/image_rect'
INPUTS = {DEPTH: IMAGE, COLOR: IMAGE}
RANGE = 'static_mapper.projective_integrator_max_integration_distance_m'


def test_nvblox_with_its_defaults_on_remapped_topics_has_no_trouble(find: Find) -> None:
    assert not find(nvblox, {}, INPUTS)


@pytest.mark.parametrize(
    ('name', 'value', 'effect'),
    [
        ('use_depth', False, 'no depth is integrated'),
        ('integrate_depth_rate_hz', 0.0, 'no depth is integrated'),
        ('use_topic_transforms', True, 'more than 100 ms off'),
        ('use_tf_transforms', False, 'no image finds its pose'),
        ('static_mapper.do_depth_preprocessing', True, 'grows by 3 pixels'),
        (RANGE, 0.5, 'beyond 0.5 m'),
    ],
)
def test_nvblox_setting_that_drops_depth_is_named(
    find: Find, name: str, value: object, effect: str
) -> None:
    (trouble,) = find(nvblox, {name: value}, INPUTS)

    assert trouble.severe
    assert (trouble.setting, trouble.value) == (name, value)
    assert effect in trouble.effect


def test_range_of_nvblox_is_told_without_being_a_failure(find: Find) -> None:
    (trouble,) = find(nvblox, {RANGE: 5.0}, INPUTS)

    assert not trouble.severe


def test_nvblox_queue_that_runs_over_while_tf_is_late_is_named(
    find: Find, outputs: Outputs
) -> None:
    late = replace(outputs, tf_lag_s=5.0)

    assert any('only 10 messages wait' in t.effect for t in find(nvblox, {}, INPUTS, late))
    assert not find(nvblox, {'maximum_input_queue_length': 30}, INPUTS, late)


def test_cloud_in_the_lidar_input_of_nvblox_is_named(find: Find) -> None:
    (trouble,) = find(nvblox, {}, INPUTS | {'/moe3d/camera/points': CLOUD})

    assert 'no camera' in trouble.effect


def test_colour_that_nvblox_does_not_take_is_named(find: Find, outputs: Outputs) -> None:
    bgr = replace(outputs.streams[COLOR], encoding='bgr8')
    heard = replace(outputs, streams={**outputs.streams, COLOR: bgr})

    (trouble,) = find(nvblox, {}, INPUTS, heard)
    assert 'only rgb8, bgra8' in trouble.effect


def test_nvblox_whose_inputs_were_not_remapped_is_told_how(find: Find) -> None:
    (trouble,) = find(nvblox, {'use_color': False}, {'/camera_0/depth/image': IMAGE})

    assert f'camera_0/depth/image:={DEPTH}' in trouble.remedy


def test_nvblox_builds_its_map_in_odom_unless_it_is_told_otherwise() -> None:
    assert nvblox.frames(Consumer('/nvblox_node', {})) == [('global_frame', 'odom')]
