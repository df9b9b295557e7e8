"""A bag judged offline: every frame is accounted for, figures repeat, bad bags are refused."""

from __future__ import annotations

from argparse import ArgumentParser
import json
from pathlib import Path

from moe3d_engine.cli import evaluate_bag as command
from moe3d_engine.errors import InputError
from moe3d_engine.evaluation.bag_run import BagRunOptions
from moe3d_engine.evaluation.bag_run import evaluate_bag
from moe3d_engine.messages import Message
import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('scipy')

from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

STORE = get_typestore(Stores.ROS2_HUMBLE)
HW = (48, 64)
IMAGE, INFO, DEPTH = '/camera/image_raw', '/camera/camera_info', '/camera/depth/image_raw'


def header(number: int) -> Message:
    types = STORE.types
    stamp = types['builtin_interfaces/msg/Time'](sec=10 + number, nanosec=5)
    return types['std_msgs/msg/Header'](stamp=stamp, frame_id='cam')


def image(number: int, encoding: str, pixels: np.ndarray) -> Message:
    height, width = pixels.shape[:2]
    data = np.frombuffer(pixels.tobytes(), np.uint8)
    return STORE.types['sensor_msgs/msg/Image'](
        header=header(number), height=height, width=width, encoding=encoding, is_bigendian=0,
        step=len(data) // height, data=data,
    )  # fmt: skip


def info(number: int) -> Message:
    types = STORE.types
    roi = types['sensor_msgs/msg/RegionOfInterest'](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    k = np.array([60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1])
    return types['sensor_msgs/msg/CameraInfo'](
        header=header(number), height=HW[0], width=HW[1], distortion_model='plumb_bob',
        d=np.zeros(5), k=k, r=np.eye(3).ravel(),
        p=np.insert(k, [3, 6, 9], 0.0), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def write_bag(path: Path, *, count: int = 4, depth_unit: float = 1.0, unpaired: int = -1) -> Path:
    """Write frames of noise before a wall with a box; one frame may lack its camera_info."""
    rng = np.random.default_rng(0)
    truth = np.full(HW, 3.0, np.float32)
    truth[10:30, 20:40] = 1.5
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, f'sensor_msgs/msg/{kind}', typestore=STORE)
            for topic, kind in ((IMAGE, 'Image'), (INFO, 'CameraInfo'), (DEPTH, 'Image'))
        }
        for number in range(count):
            messages = {
                INFO: info(number),
                IMAGE: image(number, 'rgb8', rng.integers(0, 255, (*HW, 3)).astype(np.uint8)),
                DEPTH: image(number, '32FC1', truth * np.float32(depth_unit)),
            }
            for topic, message in messages.items():
                if topic == INFO and number == unpaired:
                    continue
                data = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(connections[topic], (10 + number) * 10**9, data)
    return path


def test_every_frame_is_published_or_dropped_and_two_runs_are_equal(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', unpaired=2)
    runs = [evaluate_bag(BagRunOptions(bag)) for _ in range(2)]

    for number, run in enumerate(runs):
        assert run.record.counts() == {
            'in': 4, 'published': 3, 'dropped': {'no_camera_info': 1},
        }  # fmt: skip
        assert len(run.pictures) == 3
        run.record.write(tmp_path / f'{number}.json')
    first, second = (json.loads((tmp_path / f'{n}.json').read_text()) for n in range(2))
    del first['timings'], second['timings']
    assert first == second
    figures = first['summary']['published']
    assert 0 < figures['abs_rel_median'] < 1
    assert {'depth edges', 'SOR', 'ROR', 'shadow points', 'agreement'} <= set(first['summary'])


def test_command_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('matplotlib')
    parser = ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(['--bag', str(write_bag(tmp_path / 'bag', count=2))])
    args.weights, args.out, args.json = ['moe3d-small'], tmp_path / 'out', False

    assert command.execute(args) == 0

    assert '2 frames in, 2 published' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'report.html').stat().st_size > 10_000


def test_depth_in_millimetres_as_floats_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', depth_unit=1000.0)

    with pytest.raises(InputError, match='looks like millimetres'):
        evaluate_bag(BagRunOptions(bag))


def test_missing_topic_is_refused_with_what_is_there(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=1)

    with pytest.raises(InputError, match=IMAGE):
        evaluate_bag(BagRunOptions(bag, image_topic='/front/image_raw'))


def test_empty_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'image|topic'):
        evaluate_bag(BagRunOptions(write_bag(tmp_path / 'bag', count=0)))


def test_truncated_bag_is_evaluated_as_far_as_it_goes(tmp_path: Path) -> None:
    file = next(write_bag(tmp_path / 'bag', count=110).glob('*.mcap'))
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 4])

    run = evaluate_bag(BagRunOptions(cut, frames=5))

    assert run.record.counts()['published'] == 5
    assert run.record.configuration['lost_bytes'] > 0
