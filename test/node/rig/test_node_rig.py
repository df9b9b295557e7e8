"""Three cameras in one node: one inference a moment, and every image is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from moe3d_ros.outputs.drops import from_event
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

Node = Any  # what the fixtures of conftest.py make
Message = Any
Value = bool | int | float | str | list[str]
MakeMessage = Callable[..., Message]

CAMERAS = ('front', 'left', 'right')
REDS = {'front': 51, 'left': 102, 'right': 153}  # depth 1 + 4 red
MS = 1_000_000
DEPTH = {camera: f'/moe3d/{camera}/depth/image_rect' for camera in CAMERAS}
EXTRINSICS = """
cameras:
  front: {rig_from_camera: [0.5, 0, 0, 0, 0, 0, 1]}
  left: {rig_from_camera: [0, 0.3, 0, 0, 0, 0, 1]}
  right: {rig_from_camera: [0, -0.3, 0, 0, 0, 0, 1]}
"""


class Cameras:
    """Publishers of three cameras, and all that the node says about their images."""

    def __init__(self, node: Node, make_image: MakeMessage, make_info: MakeMessage) -> None:
        self.rig, self._make_image, self._make_info = node, make_image, make_info
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self.images = {c: node.publish(Image, f'/{c}/image_raw', qos) for c in CAMERAS}
        self.infos = {c: node.publish(CameraInfo, f'/{c}/camera_info', qos) for c in CAMERAS}
        publishers: list[Publisher] = [*self.images.values(), *self.infos.values()]
        node.wait_until(lambda: all(p.get_subscription_count() for p in publishers))
        self.depths = {c: node.listen(Image, DEPTH[c]) for c in CAMERAS}
        self.events: list[Message] = []  # many at once, when the others stop waiting
        node.peer.create_subscription(DiagnosticArray, '/moe3d/drops', self.events.append, 100)
        node.wait_until(lambda: node.node.count_subscribers('/moe3d/drops') > 0)
        self.sent = 0

    def send(
        self,
        cameras: Iterable[str] = CAMERAS,
        apart_ms: dict[str, int] | None = None,
        without_info: tuple[str, ...] = (),
    ) -> None:
        """Publish a moment; cameras may be apart in stamps, or lack their camera_info."""
        self.rig.next_stamp()
        for camera in cameras:
            image = self._make_image(rgb=(REDS[camera], 255, 204))
            info = self._make_info()
            stamp_ns = self.rig.stamp_ns + (apart_ms or {}).get(camera, 0) * MS
            stamp = info.header.stamp = image.header.stamp
            stamp.sec, stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
            info.header.stamp = stamp
            image.header.frame_id = info.header.frame_id = f'{camera}_optical'
            if camera not in without_info:
                self.infos[camera].publish(info)
            self.images[camera].publish(image)
            self.sent += 1

    def arrive(self) -> None:
        """Wait until the node has taken what was sent, and for the time between two moments."""
        self.rig.wait_until(lambda: self.rig.count('frames_in') == self.sent)
        time.sleep(0.03)

    def settle(self) -> None:
        """Wait until each image was published or dropped."""
        self.rig.wait_until(lambda: self.num_done == self.sent)

    @property
    def num_done(self) -> int:
        """How many images were published or dropped."""
        values = self.rig.node.statistics.values()
        return sum(
            int(n) for k, n in values.items() if k == 'published' or k.startswith('dropped.')
        )

    def of(self, camera: str, name: str) -> int:
        """Return a count of a camera."""
        return int(self.rig.node.statistics.values().get(f'camera.{camera}.{name}', 0))

    def rig_values(self) -> dict[str, str]:
        """Return what diagnostics say of moments."""
        values: dict[str, str] = self.rig.node._active.counts()
        return values

    def check_accounts(self) -> None:
        """Check that each camera's counts add up, and that each drop was an event."""
        assert self.num_done == self.rig.count('frames_in') == self.sent
        values = self.rig.node.statistics.values()
        for camera in CAMERAS:
            dropped = sum(
                int(n) for k, n in values.items() if k.startswith(f'camera.{camera}.dropped.')
            )
            assert self.of(camera, 'frames_in') == self.of(camera, 'published') + dropped
        num_dropped = sum(int(n) for k, n in values.items() if k.startswith('dropped.'))
        self.rig.wait_until(lambda: len(self.events) == num_dropped)
        assert {from_event(event).camera for event in self.events} <= set(CAMERAS)


@pytest.fixture
def connect(
    make_rig: Callable[..., Node], image_message: MakeMessage, info_message: MakeMessage
) -> Callable[..., Cameras]:
    """Return a function that starts a node with three cameras."""

    def start(**parameters: Value) -> Cameras:
        given = {
            'camera__names': list(CAMERAS),
            'poses__source': 'network',
            'camera_info__timeout_s': 0.3,
            'rig__silent_s': 0.3,
            **parameters,
        }
        node = make_rig(**given)
        node.start()
        return Cameras(node, image_message, info_message)

    return start


@pytest.fixture
def extrinsics(tmp_path: Path) -> str:
    """Return the path of a file that says where the cameras sit."""
    path = tmp_path / 'extrinsics.yaml'
    path.write_text(EXTRINSICS)
    return str(path)


@pytest.mark.parametrize('poses', ['network', 'tracking'])
def test_three_cameras_are_reconstructed_by_one_inference(
    connect: Callable[..., Cameras], poses: str
) -> None:
    cameras = connect(poses__source=poses)
    before = cameras.rig.backend.num_windows
    for _ in range(4):
        cameras.send()
        cameras.settle()

    assert cameras.rig.backend.num_windows - before == 4
    assert cameras.rig_values()['rig.moments'] == '4'
    cameras.rig.wait_until(lambda: all(len(depth) == 4 for depth in cameras.depths.values()))
    for camera in CAMERAS:
        message = cameras.depths[camera][-1]
        depth = np.frombuffer(message.data, np.float32)
        assert message.header.frame_id == f'{camera}_optical'
        assert message.header.stamp == cameras.depths['front'][-1].header.stamp
        np.testing.assert_allclose(depth[0], 1 + 4 * REDS[camera] / 255, rtol=1e-5)
    cameras.check_accounts()


def test_camera_that_falls_silent_is_done_without_and_joins_again(
    connect: Callable[..., Cameras],
) -> None:
    cameras = connect()
    for _ in range(3):
        cameras.send()
        cameras.settle()
    while cameras.rig_values()['rig.silent'] != 'left':
        cameras.send(('front', 'right'))
        cameras.arrive()
    cameras.settle()
    published = cameras.of('front', 'published')
    cameras.send(('front', 'right'))
    cameras.settle()
    assert cameras.of('front', 'published') == published + 1  # at once

    cameras.send()
    cameras.settle()
    before = cameras.of('left', 'published')
    for _ in range(3):
        cameras.send()
        cameras.settle()

    assert cameras.of('left', 'published') == before + 3
    assert cameras.rig_values()['rig.silent'] == ''
    cameras.check_accounts()


def test_images_apart_by_more_than_the_tolerance_are_dropped_with_figures(
    connect: Callable[..., Cameras], capfd: pytest.CaptureFixture[str]
) -> None:
    cameras = connect(rig__tolerance_s=0.005)
    for _ in range(30):
        cameras.send(apart_ms={'left': 12})
        cameras.arrive()
    cameras.settle()

    assert cameras.of('left', 'published') == 0
    assert cameras.of('left', 'dropped.unmatched') > 0
    assert cameras.of('front', 'published') > 0
    assert cameras.rig_values()['rig.out_of_step'] in ('left', '')
    cameras.check_accounts()
    assert 'raise rig.tolerance_s' in capfd.readouterr().err


def test_camera_without_camera_info_is_dropped_and_stops_nobody(
    connect: Callable[..., Cameras], capfd: pytest.CaptureFixture[str]
) -> None:
    cameras = connect()
    for _ in range(30):
        cameras.send(without_info=('right',))
        cameras.arrive()
    cameras.rig.wait_until(lambda: cameras.of('right', 'dropped.no_camera_info') > 0)
    cameras.settle()

    assert cameras.of('right', 'dropped.no_camera_info') == 30
    assert cameras.of('front', 'published') > 0
    assert 'no camera_info of exactly its stamp' in capfd.readouterr().err
    cameras.check_accounts()


def test_bad_image_of_one_camera_leaves_the_moment_to_the_others(
    connect: Callable[..., Cameras],
) -> None:
    cameras = connect()
    make_info = cameras._make_info

    def uncalibrated_left() -> Message:
        made = make_info()
        made.k = [0.0] * 9 if len(calls) % 3 == 1 else made.k
        calls.append(1)
        return made

    calls: list[int] = []
    cameras._make_info = uncalibrated_left
    cameras.send()
    cameras.settle()

    assert cameras.of('left', 'dropped.bad_camera_info') == 1
    assert cameras.of('front', 'published') == cameras.of('right', 'published') == 1
    cameras.check_accounts()


def test_merged_cloud_is_in_the_frame_of_the_rig(
    connect: Callable[..., Cameras], extrinsics: str
) -> None:
    cameras = connect(
        rig__extrinsics=extrinsics, rig__frame='base_link', cloud__merged=True,
        scale__source='fixed', poses__source='tracking',
    )  # fmt: skip
    clouds = cameras.rig.listen(PointCloud2, '/moe3d/points')
    own = {c: cameras.rig.listen(PointCloud2, f'/moe3d/{c}/points') for c in CAMERAS}

    cameras.send()
    cameras.rig.wait_until(lambda: bool(clouds) and all(own.values()))

    merged = np.frombuffer(clouds[0].data, np.float32).reshape(-1, 5)
    places = {'front': (0.5, 0, 0), 'left': (0, 0.3, 0), 'right': (0, -0.3, 0)}
    each = []
    for camera in CAMERAS:
        points = np.frombuffer(own[camera][0].data, np.float32).reshape(-1, 5)
        each.append(points[np.isfinite(points[:, 2]), :3] + places[camera])
    assert clouds[0].header.frame_id == 'base_link'
    assert clouds[0].is_dense
    np.testing.assert_allclose(merged[:, :3], np.concatenate(each), atol=1e-5)


def test_frame_of_the_rig_is_that_of_the_first_camera_unless_it_is_named(
    connect: Callable[..., Cameras], extrinsics: str
) -> None:
    cameras = connect(rig__extrinsics=extrinsics, cloud__merged=True, scale__source='fixed')
    clouds = cameras.rig.listen(PointCloud2, '/moe3d/points')

    cameras.send()
    cameras.rig.wait_until(lambda: bool(clouds))

    merged = np.frombuffer(clouds[0].data, np.float32).reshape(-1, 5)
    assert clouds[0].header.frame_id == 'front_optical'
    assert merged[:, 2].min() == pytest.approx(1 + 4 * REDS['front'] / 255, rel=1e-5)


def test_nobody_listening_costs_no_inference_and_all_are_accounted_for(
    make_rig: Callable[..., Node], image_message: MakeMessage, info_message: MakeMessage
) -> None:
    node = make_rig(camera__names=list(CAMERAS), poses__source='network')
    node.start()
    before = node.backend.num_windows
    qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
    for camera in CAMERAS:
        images = node.publish(Image, f'/{camera}/image_raw', qos)
        infos = node.publish(CameraInfo, f'/{camera}/camera_info', qos)
        node.wait_until(lambda i=images: i.get_subscription_count() > 0)
        node.wait_until(lambda i=infos: i.get_subscription_count() > 0)
        image, info = image_message(), info_message()
        image.header.stamp = info.header.stamp = node.next_stamp()
        infos.publish(info)
        images.publish(image)
    node.wait_until(lambda: node.count('dropped.no_subscriber') == 3)

    assert node.backend.num_windows == before


def test_deactivation_leaves_no_image_unaccounted(connect: Callable[..., Cameras]) -> None:
    cameras = connect(rig__silent_s=30.0)
    cameras.send(('front', 'right'))
    cameras.rig.wait_until(lambda: cameras.rig.count('frames_in') == 2)

    assert cameras.rig.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS

    assert cameras.num_done == 2


@pytest.mark.parametrize(
    ('parameters', 'said'),
    [
        ({'window__max_views': 2}, 'but there are 3 cameras'),
        ({'rig__extrinsics': '/nowhere/rig.yaml'}, 'cannot be read'),
        ({'cloud__merged': True}, 'needs camera.names and rig.extrinsics'),
        ({'scale__source': 'rig'}, 'distances between cameras'),
        ({'camera__names': ['a', 'a']}, 'another name'),
        ({'camera__names': ['a', '1']}, 'no digit first'),
        ({'camera__names': [''], 'rig__extrinsics': 'tf'}, 'there is one camera'),
        ({'rig__frame': '/base'}, 'leading slash'),
    ],
)
def test_rig_that_cannot_be_is_refused_with_what_to_do(
    make_rig: Callable[..., Node],
    parameters: dict[str, Value],
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    node = make_rig(**{'camera__names': list(CAMERAS), **parameters})

    assert node.node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert said in ' '.join(capfd.readouterr().err.split())


def test_one_camera_has_no_words_of_a_rig(
    live_rig: Node, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    live_rig.send_and_wait(image_message(), info_message())

    assert not any('rig.' in name for name in live_rig.node._active.counts())
    assert not any(name.startswith('camera.') for name in live_rig.node.statistics.values())
    assert live_rig.count('published') == 1


def test_rig_of_tf_needs_tf2(
    make_rig: Callable[..., Node],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    node = make_rig(camera__names=list(CAMERAS), rig__extrinsics='tf')

    assert node.node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert 'rig.extrinsics tf asks TF' in capfd.readouterr().err
