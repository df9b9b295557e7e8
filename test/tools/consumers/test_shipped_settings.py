"""The parameter files for consumers have no setting that drops or spoils data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moe3d_ros.settings.file import read_params_file
from moe3d_ros.tools.consumers.catalogue import RULES
from moe3d_ros.tools.consumers.catalogue import Rules
from moe3d_ros.tools.consumers.catalogue import rules_for
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import ODOMETRY
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / 'config' / 'consumers'
FILES = {
    'nav2_costmap': ('Nav2 costmap', '/local_costmap/local_costmap'),
    'nvblox': ('nvblox', '/nvblox_node'),
    'octomap_server': ('octomap_server', '/octomap_server'),
    'robot_localization': ('robot_localization', '/ekf_filter_node'),
    'rtabmap': ('rtabmap', '/rtabmap'),
}
Find = Callable[..., list[Trouble]]


def settings(name: str) -> dict[str, object]:
    return read_params_file(FOLDER / f'{name}.yaml', FILES[name][1])


def rules_of(name: str) -> Rules:
    return next(rules for rules in RULES if FILES[name][0] == rules.NAME)


def test_every_known_consumer_has_a_file_and_every_file_is_of_one() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(FILES)
    assert {kind for kind, _ in FILES.values()} == {rules.NAME for rules in RULES}


@pytest.mark.parametrize('name', FILES)
def test_shipped_settings_drop_and_spoil_nothing(name: str, find: Find, outputs: Outputs) -> None:
    inputs = {topic: stream.type for topic, stream in outputs.streams.items()}
    if name in ('nvblox', 'rtabmap'):
        inputs = {topic: kind for topic, kind in inputs.items() if kind in (IMAGE, ODOMETRY)}

    found = find(rules_of(name), settings(name), inputs, name=FILES[name][1])

    assert not [trouble for trouble in found if trouble.severe]


@pytest.mark.parametrize('name', FILES)
def test_node_with_the_shipped_settings_is_recognised(name: str) -> None:
    declared = {'approx_sync': True} if name == 'rtabmap' else {}

    assert rules_for(Consumer(FILES[name][1], declared | settings(name))) is rules_of(name)


def test_node_of_another_kind_is_not_taken_for_a_consumer() -> None:
    assert rules_for(Consumer('/talker', {'use_sim_time': False, 'frame_id': 'map'})) is None


@pytest.mark.parametrize('name', FILES)
def test_topics_of_the_shipped_settings_are_those_of_the_node(name: str, outputs: Outputs) -> None:
    text = (FOLDER / f'{name}.yaml').read_text()
    named = {word.rpartition(':=')[2] for word in text.split() if '/moe3d/' in word}

    assert named
    assert named <= outputs.published


@pytest.mark.parametrize('name', FILES)
def test_shipped_settings_keep_the_types_that_consumers_declare(name: str) -> None:
    """A whole number where a double is declared ends a node at its start."""
    whole = {
        key
        for key, value in settings(name).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }

    assert whole <= {
        'width', 'height', 'num_cameras', 'maximum_input_queue_length', 'moe3d_layer.z_voxels',
        'odom0_queue_size', 'qos', 'sync_queue_size', 'topic_queue_size',
    }  # fmt: skip


@pytest.mark.parametrize('name', FILES)
def test_no_setting_stands_twice_in_a_shipped_file(name: str) -> None:
    """YAML takes the last one, and ROS says nothing."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[object, object]:
        pairs = [(loader.construct_object(key), value) for key, value in node.value]
        keys = [key for key, _ in pairs]
        assert len(set(keys)) == len(keys), keys
        return {key: loader.construct_object(value, deep=True) for key, value in pairs}

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)

    yaml.load((FOLDER / f'{name}.yaml').read_text(), Strict)
