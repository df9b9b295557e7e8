"""Replay and recorder, over the middleware, in separate processes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
import json
from pathlib import Path
import signal
import subprocess
import time

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.bags.reader import read_messages
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.errors import InputError
from moe3d_ros.tools.bags.recorder import Recorder
from moe3d_ros.tools.bags.replay import replay
from moe3d_ros.tools.bags.replay import ReplayOptions
from moe3d_ros.tools.bags.writer import BagWriter
from moe3d_ros.tools.demo.bag import CAMERA_INFO_TOPIC
from moe3d_ros.tools.demo.bag import DEPTH_TOPIC
from moe3d_ros.tools.demo.bag import IMAGE_TOPIC
from moe3d_ros.tools.demo.bag import POSE_TOPIC
import pytest

StartMoe3d = Callable[..., 'subprocess.Popen[str]']
WAIT_S = 120  # at most, on a machine that is busy with something else
AWAITED_TOPICS = {IMAGE_TOPIC, CAMERA_INFO_TOPIC}
ALL_TOPICS = {IMAGE_TOPIC, CAMERA_INFO_TOPIC, DEPTH_TOPIC, POSE_TOPIC}


def padded(data: bytes) -> bytes:
    # RTPS pads serialized data to whole words.
    return data + bytes(-len(data) % 4)


def test_replayed_messages_arrive_byte_identical_and_in_order(
    camera_bag: Path, tmp_path: Path, start_moe3d: StartMoe3d
) -> None:
    recorded = tmp_path / 'recorded'
    with Recorder(recorded, ALL_TOPICS.__contains__) as recorder:
        process = start_moe3d('replay', camera_bag, '--rate', '2', '--json')
        assert recorder.spin_until(lambda: process.poll() is not None, WAIT_S), (
            'replay did not end'
        )
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr
        assert recorder.spin_until(
            lambda: all(recorder.counts[topic] == 12 for topic in AWAITED_TOPICS), WAIT_S
        )

    summary = json.loads(stdout)
    assert summary['sent'] == {name: 12 for name in ALL_TOPICS}
    assert summary['acknowledged']
    for name in ALL_TOPICS:
        sent = [padded(message.data) for message in read_messages(camera_bag, [name])]
        received = [message.data for message in read_messages(recorded, [name])]
        # A topic that is not waited for may be discovered after its first messages.
        expected = sent if name in AWAITED_TOPICS else sent[len(sent) - len(received) :]
        assert received == expected, name


def test_recorded_bag_keeps_types_and_offered_qos(
    camera_bag: Path, tmp_path: Path, start_moe3d: StartMoe3d
) -> None:
    recorded = tmp_path / 'recorded'
    with Recorder(recorded, ALL_TOPICS.__contains__) as recorder:
        process = start_moe3d('replay', camera_bag, '--rate', '10', '--frames', '3')
        assert recorder.spin_until(lambda: process.poll() is not None, WAIT_S)

    original, copy = read_topics(camera_bag), read_topics(recorded)
    assert copy[IMAGE_TOPIC].count == 3
    for name in copy:
        assert (copy[name].type, copy[name].qos) == (original[name].type, original[name].qos)


def test_replay_without_subscriber_gives_up_with_a_hint(camera_bag: Path) -> None:
    with pytest.raises(InputError, match='--wait-for-subscribers 0'):
        replay(camera_bag, ReplayOptions(timeout_s=0.3))


def test_replay_never_runs_ahead_of_the_recorded_pace(camera_bag: Path) -> None:
    options = ReplayOptions(rate=4.0, clock=True, subscribers=0, topics=[IMAGE_TOPIC])
    sent_ns: list[int] = []

    summary = replay(camera_bag, options, lambda: sent_ns.append(time.time_ns()))

    assert summary.sent == {IMAGE_TOPIC: 12}
    due_ns = [summary.first_sent_ns + 100_000_000 * i / options.rate for i in range(12)]
    late_ns = [at_ns - due for at_ns, due in zip(sent_ns, due_ns, strict=True)]
    assert min(late_ns) > -1_000_000  # the replay itself paces by another clock


def test_interrupt_ends_an_endless_replay_cleanly(
    camera_bag: Path, tmp_path: Path, start_moe3d: StartMoe3d
) -> None:
    with Recorder(tmp_path / 'recorded', ALL_TOPICS.__contains__) as recorder:
        process = start_moe3d('replay', camera_bag, '--rate', '20', '--loop', '--json')
        assert recorder.spin_until(lambda: recorder.counts[IMAGE_TOPIC] > 15, WAIT_S)
        process.send_signal(signal.SIGINT)
        assert recorder.spin_until(lambda: process.poll() is not None, WAIT_S)

    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)['sent'][IMAGE_TOPIC] > 12


def copy_images(bag: Path, path: Path, sizes: dict[int, int], count: int) -> Path:
    """Copy the first images of a bag; those at some places are cut to so many bytes."""
    writer = BagWriter(path)
    topic = read_topics(bag)[IMAGE_TOPIC]
    writer.add_topic(IMAGE_TOPIC, topic.type, topic.qos)
    for number, message in enumerate(islice(read_messages(bag, [IMAGE_TOPIC]), count)):
        writer.write(IMAGE_TOPIC, message.log_ns, message.data[: sizes.get(number)])
    writer.close()
    return path


def test_a_loop_that_the_node_cannot_tell_from_late_images_is_refused(
    camera_bag: Path, tmp_path: Path
) -> None:
    bag = copy_images(camera_bag, tmp_path / 'bag', {}, 10)

    with pytest.raises(InputError, match=r'span 0\.9 s'):
        replay(bag, ReplayOptions(loop=True, subscribers=0))


def test_topic_whose_name_is_none_is_skipped_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = 'std_msgs/msg/String'
    writer = BagWriter(tmp_path / 'bag')
    for name in ('/good', '/no good', '/9/lives'):
        writer.add_topic(name, kind, OfferedQos())
        writer.write(name, 1, writer.serialize(writer.types[kind](data='a'), kind))
    writer.close()

    summary = replay(tmp_path / 'bag', ReplayOptions(subscribers=0))

    assert summary.sent == {'/good': 1}
    assert sorted(summary.skipped) == ['/9/lives', '/no good']
    assert all(line.count('\n') == 0 for line in caplog.messages)
    assert '/no good is not played' in caplog.text


def test_what_cannot_be_read_is_not_sent_but_counted(camera_bag: Path, tmp_path: Path) -> None:
    bag = copy_images(camera_bag, tmp_path / 'bag', {0: 0, 1: 2, 2: 90}, 12)

    summary = replay(bag, ReplayOptions(subscribers=0, rate=100))

    assert summary.sent == {IMAGE_TOPIC: 9}
    assert summary.damaged == {IMAGE_TOPIC: 3}


def test_asking_for_a_topic_that_is_not_there_is_an_error(camera_bag: Path) -> None:
    with pytest.raises(InputError, match='has no /nothing'):
        replay(camera_bag, ReplayOptions(topics=['/nothing'], subscribers=0))


def test_writer_never_overwrites_a_bag(camera_bag: Path) -> None:
    with pytest.raises(InputError, match='exists already'):
        BagWriter(camera_bag)


def test_log_order_is_kept_for_messages_written_out_of_order(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    writer = BagWriter(path)
    writer.add_topic('/text', 'std_msgs/msg/String', OfferedQos(reliable=False, depth=3))
    for log_ns in (30, 10, 20):
        text = writer.types['std_msgs/msg/String'](data=str(log_ns))
        writer.write('/text', log_ns, writer.serialize(text, 'std_msgs/msg/String'))
    writer.close()

    assert [message.log_ns for message in read_messages(path)] == [10, 20, 30]
    assert read_topics(path)['/text'].qos == OfferedQos(reliable=False, depth=3)
