"""The node goes through its lifecycle without losing or leaking anything."""

from __future__ import annotations

from collections.abc import Callable
import os
import threading
from typing import Any

from moe3d_engine.errors import BackendError
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from moe3d_engine.intake.drops import DropReason
import moe3d_ros.active
from moe3d_ros.outputs.drops import from_event
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeRig = Callable[..., Rig]
MakeMessage = Callable[..., Message]

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


def test_node_goes_through_all_states(rig: Rig) -> None:
    steps = [
        ('configure', 'inactive'),
        ('activate', 'active'),
        ('deactivate', 'inactive'),
        ('activate', 'active'),
        ('deactivate', 'inactive'),
        ('cleanup', 'unconfigured'),
        ('configure', 'inactive'),
        ('shutdown', 'finalized'),
    ]
    for transition, state in steps:
        assert getattr(rig.node, f'trigger_{transition}')() == SUCCESS
        assert rig.state == state

    assert rig.backend.num_closed == 2


@pytest.mark.parametrize('transitions', [[], ['configure'], ['configure', 'activate']])
def test_shutdown_releases_from_each_state(rig: Rig, transitions: list[str]) -> None:
    for transition in transitions:
        getattr(rig.node, f'trigger_{transition}')()

    assert rig.node.trigger_shutdown() == SUCCESS
    assert rig.state == 'finalized'
    assert rig.backend.num_closed == (1 if transitions else 0)


def test_ten_cycles_leak_no_publishers_subscriptions_or_timers(rig: Rig) -> None:
    def entities() -> list[int]:
        node = rig.node
        return [
            len(list(group))
            for group in (
                node.publishers, node.subscriptions, node.timers, node.waitables,
                node._managed_entities,
            )
        ]  # fmt: skip

    before = entities()
    for _ in range(10):
        rig.start()
        assert rig.node.trigger_deactivate() == SUCCESS
        assert rig.node.trigger_cleanup() == SUCCESS

    assert entities() == before
    assert rig.backend.num_closed == 10


def test_twenty_lives_leave_threads_and_files_as_they_were(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    def held() -> tuple[list[str], int]:
        threads = sorted(thread.name for thread in threading.enumerate())
        return threads, len(os.listdir('/proc/self/fd'))

    def live() -> None:
        publishers = live_rig.images, live_rig.infos
        live_rig.wait_until(lambda: all(p.get_subscription_count() for p in publishers))
        live_rig.send_and_wait(image_message(), info_message())
        assert live_rig.node.trigger_deactivate() == SUCCESS
        assert live_rig.node.trigger_cleanup() == SUCCESS

    live()
    before = held()
    for _ in range(20):
        live_rig.start()
        live()

    assert held() == before
    assert live_rig.backend.num_closed == 21


def test_backend_that_does_not_open_leaves_node_unconfigured(
    make_rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig()

    def refuse(name: str, weights: str, threads: int | None) -> None:
        raise BackendError('The backend is out of order. Repair it.')

    rig.node._open_backend = refuse

    assert rig.node.trigger_configure() == FAILURE
    assert rig.state == 'unconfigured'
    assert 'The backend is out of order. Repair it.' in capfd.readouterr().err


def test_wrong_numbers_at_warm_up_leave_node_unconfigured(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.backend.returns_nan = True

    assert rig.node.trigger_configure() == FAILURE
    assert rig.state == 'unconfigured'
    assert rig.backend.num_closed == 1
    assert 'not finite' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('parameters', 'text'),
    [
        ({'window__max_views': 5}, 'takes at most 4 views'),
        ({'camera__name': 'two words'}, 'camera.name'),
        ({'input__transport': 'theora'}, 'input.transport is one of raw, compressed'),
        ({'depth__min_m': 3.0, 'depth__max_m': 2.0}, 'depth.min_m < depth.max_m'),
        ({'scale__source': 'none', 'depth__encoding': '16UC1'}, 'means millimetres'),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_reason(
    make_rig: Rig, capfd: pytest.CaptureFixture[str], parameters: dict[str, Any], text: str
) -> None:
    rig = make_rig(**parameters)
    num_publishers = len(list(rig.node.publishers))

    assert rig.node.trigger_configure() == FAILURE
    assert rig.state == 'unconfigured'
    assert len(list(rig.node.publishers)) == num_publishers
    assert text in capfd.readouterr().err


def test_unforeseen_exception_is_logged_with_traceback(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    def explode(name: str, weights: str, threads: int | None) -> None:
        raise ZeroDivisionError('nobody has thought of this')

    rig.node._open_backend = explode

    assert rig.node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert rig.state == 'unconfigured'
    logged = capfd.readouterr().err
    assert 'on_configure failed' in logged
    assert 'nobody has thought of this' in logged


def test_deactivation_waits_for_the_running_inference_and_publishes_it(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    backend = live_rig.backend
    backend.entered.clear()
    backend.free.clear()
    live_rig.send(image_message(), info_message())
    live_rig.wait_until(backend.entered.is_set)
    live_rig.send(image_message(), info_message())
    live_rig.wait_until(lambda: live_rig.count('frames_in') == 2)
    backend.free.set()

    assert live_rig.node.trigger_deactivate() == SUCCESS
    assert live_rig.num_done == 2
    assert live_rig.count('published') >= 1
    assert backend.num_closed == 0


def test_inference_that_never_ends_is_given_up_without_closing_its_backend(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moe3d_ros.active, 'WORKER_TIMEOUT_S', 0.2)
    backend = live_rig.backend
    backend.entered.clear()
    backend.free.clear()
    live_rig.send(image_message(), info_message())
    live_rig.wait_until(backend.entered.is_set)

    live_rig.node.trigger_deactivate()

    assert live_rig.state == 'unconfigured'
    assert backend.num_closed == 0
    assert 'still busy after 0.2 s' in capfd.readouterr().err


def test_node_publishes_again_after_it_was_inactive(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.node.trigger_deactivate()
    live_rig.node.trigger_activate()
    live_rig.wait_until(lambda: live_rig.images.get_subscription_count() == 1)
    live_rig.wait_until(lambda: live_rig.infos.get_subscription_count() == 1)

    live_rig.send_and_wait(image_message(), info_message())

    assert live_rig.count('published') == 2
    depths = live_rig.received['/moe3d/camera/depth/image_rect']
    live_rig.wait_until(lambda: len(depths) == 2)
    assert all(isinstance(depth, Image) for depth in depths)


def test_parameters_are_read_at_configure_and_fixed_until_cleanup(rig: Rig) -> None:
    def set_encoding(value: str) -> Message:
        return rig.node.set_parameters([Parameter('depth.encoding', value=value)])[0]

    assert set_encoding('16UC1').successful
    rig.start()
    refused = set_encoding('32FC1')
    assert not refused.successful
    assert 'depth.encoding' in refused.reason
    assert 'cleanup' in refused.reason
    assert set_encoding('16UC1').successful  # it stays as it is
    rig.node.trigger_deactivate()
    rig.node.trigger_cleanup()

    assert set_encoding('32FC1').successful


def test_each_drop_is_an_event_with_stamp_and_reason(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    events = live_rig.listen(DiagnosticArray, '/moe3d/drops')
    bad = image_message()
    bad.encoding = 'nonsense'

    live_rig.send_and_wait(bad, info_message())

    live_rig.wait_until(lambda: len(events) == 1)
    drop = from_event(events[0])
    assert (drop.reason, drop.stamp_ns) == (DropReason.BAD_IMAGE, live_rig.stamp_ns)
    assert 'nonsense' in drop.text
