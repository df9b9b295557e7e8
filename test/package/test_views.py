"""Views for Foxglove and RViz: they show what the node publishes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

from moe3d_ros.topics import drops_topic
from moe3d_ros.topics import motion_topics
from moe3d_ros.topics import output_topics
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NODE = '/moe3d'
CAMERAS = {'camera': ('camera',), 'rig': ('left', 'front', 'right')}
LAYOUTS = {name: ROOT / 'config' / 'foxglove' / f'{name}.json' for name in CAMERAS}
each_layout = pytest.mark.parametrize('name', LAYOUTS)


def published(cameras: tuple[str, ...]) -> set[str]:
    """Return the topics that go out for some cameras."""
    topics = {'/diagnostics', drops_topic(NODE)}
    for camera in cameras:
        topics |= {*output_topics(camera, metric=True, node=NODE)}
        topics |= {*motion_topics(camera, node=NODE)}
    return topics


def read(name: str) -> dict[str, Any]:
    layout: dict[str, Any] = json.loads(LAYOUTS[name].read_text())
    return layout


def strings(value: object) -> Iterator[str]:
    """Yield all strings of a layout, names of settings included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def leaves(tree: str | dict[str, Any]) -> list[str]:
    """Return the panels of a layout's tree."""
    return [tree] if isinstance(tree, str) else leaves(tree['first']) + leaves(tree['second'])


@each_layout
def test_every_topic_of_a_layout_is_one_that_the_node_publishes(name: str) -> None:
    topics = {text for text in strings(read(name)) if text.startswith('/')}

    assert topics
    assert topics <= published(CAMERAS[name])


@each_layout
def test_layout_shows_each_camera_its_cloud_the_way_and_the_health(name: str) -> None:
    panels = read(name)['configById']
    (scene,) = (panels[panel]['topics'] for panel in panels if panel.startswith('3D!'))
    (health,) = (p for panel, p in panels.items() if panel.startswith('DiagnosticSummary!'))
    images = {p['imageMode']['imageTopic'] for n, p in panels.items() if n.startswith('Image!')}
    motion = motion_topics('camera', node=NODE)

    assert health['topicToRender'] == '/diagnostics'
    for topic in (motion.path, motion.odometry):
        assert scene[topic]['visible']
    for camera in CAMERAS[name]:
        outputs = output_topics(camera, metric=True, node=NODE)
        assert scene[outputs.points]['visible']
        assert {outputs.color, outputs.depth} <= images


@each_layout
def test_each_panel_of_a_layout_has_one_place(name: str) -> None:
    layout = read(name)

    assert sorted(leaves(layout['layout'])) == sorted(layout['configById'])


@each_layout
def test_images_have_the_calibration_of_their_camera(name: str) -> None:
    for panel in read(name)['configById'].values():
        mode = panel.get('imageMode')
        if mode:
            (camera,) = (c for c in CAMERAS[name] if mode['imageTopic'].startswith(f'{NODE}/{c}/'))
            info = output_topics(camera, metric=True, node=NODE).camera_info
            assert mode['calibrationTopic'] == info


def test_rviz_of_a_rig_shows_each_camera_as_that_of_one_camera_does() -> None:
    def shown(file: str) -> dict[str, str]:
        content = yaml.safe_load((ROOT / 'config' / file).read_text())
        displays = content['Visualization Manager']['Displays']
        return {d['Topic']['Value']: d['Class'] for d in displays if 'Topic' in d}

    one, rig = shown('reconstruct.rviz'), shown('rig.rviz')
    wanted = {
        topic.replace('/camera/', f'/{camera}/'): kind
        for topic, kind in one.items()
        for camera in CAMERAS['rig']
        if not topic.endswith('boundary_confidence')
    }

    assert rig == wanted
    assert set(rig) <= published(CAMERAS['rig'])


def test_names_in_rviz_say_which_camera() -> None:
    text = (ROOT / 'config' / 'rig.rviz').read_text()
    for camera in CAMERAS['rig']:
        assert len(re.findall(rf'Name: .*, {camera}$', text, flags=re.M)) == 4
