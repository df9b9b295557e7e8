"""The same file gives the same answer in every command: the same frames, or the same refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil
import sqlite3
import subprocess
import sys
from typing import Any
from typing import NamedTuple

from moe3d_engine.bags.views import read_bag_views
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import Message
from moe3d_engine.lab.runs import bag_run
from moe3d_ros.tools.bags.replay import replay
from moe3d_ros.tools.bags.replay import ReplayOptions
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from ruamel.yaml import YAML

STORE, ROS1 = get_typestore(Stores.LATEST), get_typestore(Stores.ROS1_NOETIC)
IMAGE, INFO, OTHER = '/cam/image_raw', '/cam/camera_info', '/other'
HW = (48, 64)
COUNT, BROKEN = 6, 2  # frames of each bag, and the one that is broken
STEP_NS, FIRST_NS = 100_000_000, 1_700_000_000_000_000_000
BROKEN_TIME = '1700000000.200000000 s'
PAGE = 4096
MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3


def message(name: str, *values: object) -> Message:
    return STORE.types[name](*values)


def header(stamp_ns: int) -> Message:
    time = message('builtin_interfaces/msg/Time', stamp_ns // 10**9, stamp_ns % 10**9)
    return message('std_msgs/msg/Header', time, 'cam')


def image(stamp_ns: int) -> Message:
    noise = np.random.default_rng(stamp_ns % 997).integers(0, 255, (*HW, 3), np.uint8)
    pixels = noise.ravel()
    return message('sensor_msgs/msg/Image', header(stamp_ns), *HW, 'rgb8', 0, 3 * HW[1], pixels)


def camera_info(stamp_ns: int) -> Message:
    k = np.array([60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1])
    roi = message('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
    return message(
        'sensor_msgs/msg/CameraInfo', header(stamp_ns), *HW, 'plumb_bob', np.zeros(5), k,
        np.eye(3).ravel(), np.insert(k, [3, 6, 9], 0.0), 0, 0, roi,
    )  # fmt: skip


def write_bag(
    folder: Path,
    storage: StoragePlugin = MCAP,
    mode: str | None = None,
    other: str | None = None,
) -> Path:
    """Write frames as `folder`/bag; `other` is the encoding of a topic beside the camera."""
    path = folder / 'bag'
    writer = Writer(path, version=9 if storage == MCAP else 8, storage_plugin=storage)
    if mode is not None:
        writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    with writer:
        kinds = {INFO: 'sensor_msgs/msg/CameraInfo', IMAGE: 'sensor_msgs/msg/Image'}
        topics = {n: writer.add_connection(n, kind, typestore=STORE) for n, kind in kinds.items()}
        if other is not None:
            kind = 'std_msgs/msg/Header'
            foreign = writer.add_connection(
                OTHER, kind, typestore=STORE, serialization_format=other
            )
            writer.write(foreign, FIRST_NS, STORE.serialize_cdr(header(FIRST_NS), kind))
        for number in range(COUNT):
            stamp = FIRST_NS + number * STEP_NS
            for name, made in ((INFO, camera_info(stamp)), (IMAGE, image(stamp))):
                data = STORE.serialize_cdr(made, kinds[name])
                writer.write(topics[name], stamp, data)
    return path


def storage_file(bag: Path) -> Path:
    (file,) = (path for path in bag.iterdir() if path.name != 'metadata.yaml')
    return file


def edit(bag: Path, statement: str) -> Path:
    database = sqlite3.connect(storage_file(bag))
    database.execute(statement)
    database.commit()
    database.close()
    return bag


def cut(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])


def with_qos(folder: Path, edited: object) -> Path:
    bag = write_bag(folder)
    yaml = YAML(typ='safe')
    content = yaml.load((bag / 'metadata.yaml').read_text())
    for topic in content['rosbag2_bagfile_information']['topics_with_message_count']:
        topic['topic_metadata']['offered_qos_profiles'] = edited
    yaml.dump(content, bag / 'metadata.yaml')
    return bag


def ros1(folder: Path) -> Path:
    path = folder / 'one.bag'
    with Ros1Writer(path) as writer:
        connection = writer.add_connection(IMAGE, 'sensor_msgs/msg/Image', typestore=ROS1)
        time = ROS1.types['builtin_interfaces/msg/Time'](1, 0)
        made = ROS1.types['std_msgs/msg/Header'](0, time, 'cam')
        pixels = ROS1.types['sensor_msgs/msg/Image'](made, 1, 1, 'rgb8', 0, 3, np.zeros(3, 'u1'))
        writer.write(connection, 1, ROS1.serialize_ros1(pixels, 'sensor_msgs/msg/Image'))
    return path


def ros1_in_folder(folder: Path) -> Path:
    (folder / 'walk').mkdir()
    ros1(folder).rename(folder / 'walk' / 'one.bag')
    return folder / 'walk'


def ros1_by_another_name(folder: Path) -> Path:
    return ros1(folder).rename(folder / 'one.mcap')


def protobuf_topic(folder: Path) -> Path:
    file = storage_file(write_bag(folder, other='cdr'))
    name = b'std_msgs/msg/Header'
    schema = len(name).to_bytes(4, 'little') + name + b'\7\0\0\0'
    data = file.read_bytes()
    assert schema + b'ros2msg' in data
    file.write_bytes(data.replace(schema + b'ros2msg', schema + b'protobu'))
    return file


def damaged_pages(folder: Path) -> Path:
    bag = write_bag(folder, SQLITE)
    file = storage_file(bag)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // PAGE * PAGE
    data[middle : middle + 3 * PAGE] = b'\xa5' * (3 * PAGE)
    file.write_bytes(data)
    return bag


def short_database(folder: Path) -> Path:
    bag = write_bag(folder, SQLITE)
    cut(storage_file(bag), 0.7)
    return bag


def cut_zstd_file(folder: Path) -> Path:
    bag = write_bag(folder, mode='FILE')
    cut(storage_file(bag), 0.6)
    return bag


def damaged_chunk(folder: Path) -> Path:
    bag = write_bag(folder)
    file = storage_file(bag)
    data = bytearray(file.read_bytes())
    # A record of the chunk claims to be longer than the chunk is.
    at = data.index(image(FIRST_NS + BROKEN * STEP_NS).data.tobytes()) - 120
    data[at : at + 120] = b'\xff' * 120
    file.write_bytes(data)
    return bag


def unmerged(folder: Path, journal: str) -> Path:
    """Leave a bag as a recorder does that is killed: its last frames are not in the database."""
    whole = write_bag(folder, SQLITE)
    path = folder / 'killed'
    path.mkdir()
    program = (
        'import os, sqlite3, sys\n'
        'source, target, journal = sys.argv[1:]\n'
        'new = sqlite3.connect(target)\n'
        'new.execute(f"PRAGMA journal_mode = {journal}")\n'
        'new.execute("PRAGMA wal_autocheckpoint = 0")\n'
        'old = sqlite3.connect(source)\n'
        'for (text,) in old.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL"):\n'
        '    new.execute(text)\n'
        'for table in ("schema", "topics", "message_definitions", "messages"):\n'
        '    for row in old.execute(f"SELECT * FROM {table}"):\n'
        '        marks = ",".join("?" * len(row))\n'
        '        new.execute(f"INSERT INTO {table} VALUES ({marks})", row)\n'
        '        new.commit()\n'
        'if journal == "DELETE":\n'
        '    new.execute("PRAGMA cache_size = 1")\n'
        '    new.execute("UPDATE messages SET data = zeroblob(9)")\n'
        'os._exit(0)\n'
    )
    arguments = [str(storage_file(whole)), str(path / 'killed_0.db3'), journal]
    subprocess.run([sys.executable, '-c', program, *arguments], check=True)
    shutil.rmtree(whole)
    assert any(file.name.endswith(('-wal', '-journal')) for file in path.iterdir())
    return path


def killed_mcap(folder: Path) -> Path:
    bag = write_bag(folder)
    (bag / 'metadata.yaml').unlink()
    cut(storage_file(bag), 0.995)
    return bag


def without_metadata(folder: Path) -> Path:
    bag = write_bag(folder, SQLITE)
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: [')
    return bag


def with_hidden_file(folder: Path) -> Path:
    bag = write_bag(folder)
    (bag / 'metadata.yaml').unlink()
    (bag / '._bag.mcap').write_bytes(b'\0\5\26\7Mac OS X')
    return bag


def in_odd_folder(folder: Path) -> Path:
    return write_bag(folder, SQLITE).rename(folder / 'a?b=%23#c')


def of_another_type_too(folder: Path) -> Path:
    bag = write_bag(folder, SQLITE)
    return edit(
        bag,
        f"INSERT INTO topics VALUES (9, '{IMAGE}', 'std_msgs/msg/Header', 'cdr', '', '')",
    )


class Case(NamedTuple):
    make: Callable[[Path], Path]
    frames: int | None  # None = refused
    said: str = ''  # in the refusal, or in a line of the log


def sql(statement: str, **options: Any) -> Callable[[Path], Path]:  # noqa: ANN401
    return lambda folder: edit(write_bag(folder, SQLITE, **options), statement)


ROW = 2 * BROKEN + 2
LEFT_OUT = f'{IMAGE} at {BROKEN_TIME} is left out'
CASES = {
    'MCAP': Case(write_bag, COUNT),
    'SQLite': Case(lambda folder: write_bag(folder, SQLITE), COUNT),
    'compressed file': Case(lambda folder: write_bag(folder, mode='FILE'), COUNT),
    'compressed chunks': Case(lambda folder: write_bag(folder, mode='STORAGE'), COUNT),
    'no bag': Case(lambda folder: folder / 'none.mcap', None, 'There is no bag'),
    'empty file': Case(
        lambda folder: shutil.copy('/dev/null', folder / 'e.mcap'), None, 'no bag file'
    ),
    'ROS 1': Case(ros1, None, 'a ROS 1 bag: convert with rosbags-convert'),
    'ROS 1 in a folder': Case(ros1_in_folder, None, 'a ROS 1 bag: convert with rosbags-convert'),
    'ROS 1, renamed': Case(ros1_by_another_name, None, 'a ROS 1 bag: convert with'),
    'QoS of words': Case(lambda folder: with_qos(folder, 'reliable, please'), COUNT, 'QoS'),
    'QoS of few words': Case(lambda folder: with_qos(folder, [{'durability': 1}]), COUNT),
    'QoS that is no YAML': Case(lambda folder: with_qos(folder, '- {a: ['), COUNT, 'QoS'),
    'protobuf topic': Case(protobuf_topic, COUNT, f'{OTHER} is left out'),
    'JSON topic': Case(lambda folder: write_bag(folder, other='json'), COUNT, f'{OTHER} is left'),
    'two types': Case(of_another_type_too, COUNT, f'{IMAGE} is left out: it holds a std_msgs'),
    'damaged pages': Case(damaged_pages, COUNT - 3, 'messages between the first and that of'),
    'short database': Case(short_database, COUNT - 3, f'{IMAGE} at'),
    'short compressed file': Case(cut_zstd_file, None, 'could be unpacked'),
    'damaged chunk': Case(damaged_chunk, BROKEN, 'left out with the chunk'),
    'empty message': Case(
        sql(f"UPDATE messages SET data = x'' WHERE id = {ROW}"), COUNT - 1, LEFT_OUT
    ),
    'cut message': Case(
        sql(f'UPDATE messages SET data = substr(data, 1, 99) WHERE id = {ROW}'),
        COUNT - 1, LEFT_OUT,
    ),
    'cut compressed message': Case(
        sql(f'UPDATE messages SET data = substr(data, 1, 99) WHERE id = {ROW}', mode='MESSAGE'),
        COUNT - 1, LEFT_OUT,
    ),
    'lost messages': Case(
        sql('DELETE FROM messages WHERE id > 8'), COUNT - 2, 'not in its files'
    ),
    'all empty': Case(sql("UPDATE messages SET data = x''"), None, 'can be read'),
    'write-ahead log': Case(lambda folder: unmerged(folder, 'WAL'), COUNT),
    'rollback journal': Case(lambda folder: unmerged(folder, 'DELETE'), COUNT),
    'killed recorder': Case(killed_mcap, COUNT, 'ends early'),
    'metadata cut': Case(without_metadata, COUNT, 'metadata.yaml cannot be read'),
    'hidden file': Case(with_hidden_file, COUNT),
    'odd folder': Case(in_odd_folder, COUNT),
}  # fmt: skip


def answer(read: Callable[[], int]) -> int | str:
    """Return the number of frames, or the refusal."""
    try:
        return read()
    except InputError as error:
        return str(error)


@pytest.fixture
def commands(
    fake_backend: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Callable[[Path], int]]:
    """Return what counts the frames that each command gets out of a bag."""
    monkeypatch.setattr(bag_run, 'open_backend', lambda *_, **__: fake_backend())

    def evaluate(bag: Path) -> int:
        record = bag_run.evaluate_bag(bag_run.BagRunOptions(bag)).record
        return int(record.counts()['published'])

    def play(bag: Path) -> int:
        return replay(bag, ReplayOptions(subscribers=0, rate=1e6)).sent[IMAGE]

    return {
        'reconstruct': lambda bag: len(read_bag_views(bag)),
        'evaluate': evaluate,
        'replay': play,
    }


@pytest.mark.parametrize('name', CASES)
def test_the_same_file_gives_the_same_answer_in_every_command(
    name: str,
    tmp_path: Path,
    commands: dict[str, Callable[[Path], int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = CASES[name]
    bag = case.make(tmp_path)
    before = sorted(tmp_path.rglob('*'))

    answers = {}
    for command, read in commands.items():
        caplog.clear()
        answers[command] = answer(lambda read=read: read(bag))
        told = [str(answers[command]), *caplog.messages]
        assert any(case.said in line for line in told), f'{command} says {told}'

    assert len(set(answers.values())) == 1, answers
    if case.frames is None:
        assert isinstance(answers['reconstruct'], str)
    else:
        assert answers['reconstruct'] == case.frames
    assert sorted(tmp_path.rglob('*')) == before  # nothing was written into the user's folder
