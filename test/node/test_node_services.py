"""What can be asked of a running node: its last cloud as a file, another factor of its scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeRig = Callable[..., Rig]
MakeMessage = Callable[..., Message]

DEPTH = '/moe3d/camera/depth/image_rect'


def start(rig: Rig) -> Rig:
    """Return the rig with an active node, a camera and a listener to depth."""
    rig.start()
    rig.connect_camera()
    rig.listen(Image, DEPTH)
    return rig


def save(rig: Rig) -> Message:
    """Ask for the cloud and return the answer."""
    client = rig.peer.create_client(Trigger, '/moe3d/save_cloud')
    rig.wait_until(client.service_is_ready)
    asked = client.call_async(Trigger.Request())
    rig.wait_until(asked.done)
    return asked.result()


def last_depth(rig: Rig) -> Message:
    return np.frombuffer(rig.received[DEPTH][-1].data, np.float32)


@pytest.mark.parametrize('format_name', ['ply', 'pcd'])
def test_last_cloud_is_saved_and_the_answer_names_file_and_points(
    make_rig: MakeRig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    tmp_path: Path,
    format_name: str,
) -> None:
    folder = tmp_path / 'new' / 'folder'
    rig = start(make_rig(save__folder=str(folder), save__format=format_name, cloud__stride=2))
    rig.send_and_wait(image_message(), info_message())

    answer = save(rig)
    again = save(rig)

    path = folder / f'camera_{rig.stamp_ns}.{format_name}'
    assert answer.success
    assert answer.message == f'{path}: {14 * 21} points'
    assert list(folder.iterdir()) == [path]
    assert path.read_bytes().startswith({'ply': b'ply\n', 'pcd': b'# .PCD v0.7'}[format_name])
    assert not again.success
    assert 'exists already' in again.message


def test_without_a_cloud_and_without_a_folder_the_answer_says_so(
    make_rig: MakeRig, image_message: MakeMessage, info_message: MakeMessage, tmp_path: Path
) -> None:
    file = tmp_path / 'file'
    file.touch()
    rig = start(make_rig(save__folder=str(file / 'folder')))

    before = save(rig)
    rig.send_and_wait(image_message(), info_message())
    nowhere = save(rig)
    rig.node.set_parameters([Parameter('save.folder', value=str(tmp_path))])
    somewhere = save(rig)

    assert not before.success
    assert 'There is no cloud yet' in before.message
    assert not nowhere.success
    assert str(file) in nowhere.message
    assert 'save.folder' in nowhere.message
    assert somewhere.success


def test_relative_depth_has_no_cloud_to_save(
    make_rig: MakeRig,
    fake_backend: MakeRig,
    image_message: MakeMessage,
    info_message: MakeMessage,
) -> None:
    rig = make_rig(fake_backend(metric=False))
    rig.start()
    rig.connect_camera()
    rig.listen(Image, '/moe3d/camera/relative_depth/image_rect')
    rig.send_and_wait(image_message(), info_message())

    answer = save(rig)

    assert not answer.success
    assert 'depth in metres' in answer.message


@pytest.mark.parametrize('poses', ['tracking', 'network'])
def test_factor_of_a_fixed_scale_changes_what_follows(
    make_rig: MakeRig, image_message: MakeMessage, info_message: MakeMessage, poses: str
) -> None:
    rig = start(make_rig(scale__source='fixed', scale__factor=2.0, poses__source=poses))
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    rig.send_and_wait(image_message(), info_message())
    rig.wait_until(lambda: len(rig.received[DEPTH]) == 1)
    before = last_depth(rig)

    changed = rig.node.set_parameters([Parameter('scale.factor', value=3.0)])[0]
    rig.send_and_wait(image_message(), info_message())
    rig.wait_until(lambda: len(rig.received[DEPTH]) == 2)

    assert changed.successful
    np.testing.assert_allclose(last_depth(rig), 1.5 * before, rtol=1e-5)
    rig.wait_until(lambda: reports and told(reports[-1], 'scale.factor') == '3')


def told(report: Message, key: str) -> str:
    """Return a value of a report; empty where it has none."""
    return {pair.key: pair.value for pair in report.status[0].values}.get(key, '')


def test_factor_of_a_measured_scale_stays_and_the_answer_says_what_to_do(live_rig: Rig) -> None:
    refused = live_rig.node.set_parameters([Parameter('scale.factor', value=3.0)])[0]
    nonsense = live_rig.node.set_parameters([Parameter('scale.factor', value=0.0)])[0]

    assert not refused.successful
    assert 'scale.source to fixed' in refused.reason
    assert not nonsense.successful
