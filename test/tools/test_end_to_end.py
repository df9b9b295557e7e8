"""The whole path over the middleware: replay, node and recorder in separate processes."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import signal
import subprocess

from moe3d_engine.backends.open import open_backend
from moe3d_engine.bags.reader import choose_camera
from moe3d_engine.bags.reader import read_decoded
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.network import Engine
from moe3d_engine.policy import Thresholds
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import View
from moe3d_ros.settings.parameters import node_config
from moe3d_ros.settings.table import PARAMETERS
from moe3d_ros.settings.table import ParameterValue
from moe3d_ros.tools.bags.recorder import Recorder
from moe3d_ros.tools.demo.report import evaluate
from moe3d_ros.tools.node_process import read_diagnostics
import numpy as np
import pytest

StartMoe3d = Callable[..., 'subprocess.Popen[str]']
Messages = dict[str, dict[int, Message]]

WAIT_S = 120  # at most, on a machine that is busy with something else
PREFIX = '/moe3d/camera'
DEPTH, INFO = f'{PREFIX}/depth/image_rect', f'{PREFIX}/depth/camera_info'
CONFIDENCE, COLOR = f'{PREFIX}/boundary_confidence', f'{PREFIX}/color/image_rect'
POINTS = f'{PREFIX}/points'
OUTPUTS = (DEPTH, INFO, CONFIDENCE, COLOR, POINTS)
DIAGNOSTICS = '/diagnostics'
FLOAT32 = 7  # sensor_msgs/PointField


@pytest.fixture(scope='module')
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('end_to_end')


@pytest.fixture(scope='module')
def settings(tiny_card: Path, camera_bag: Path) -> dict[str, ParameterValue]:
    """Return parameters with which random weights publish all kinds of pixels on this bag."""
    camera = choose_camera(camera_bag)
    first: dict[str, Message] = {}
    for topic, _, message in read_decoded(camera_bag, camera[:2]):
        first.setdefault(topic, message)
    intrinsics = np.array(first[camera.camera_info].k).reshape(3, 3)
    keep_all = SessionConfig(thresholds=Thresholds(min_agreement=0.0, min_confidence=0.0))
    engine = Engine(open_backend('openvino', str(tiny_card)))
    view = View(decode_raw(first[camera.image]), intrinsics)
    result = Session(engine, keep_all).reconstruct([view])
    engine.close()
    return {
        'engine.weights': str(tiny_card),
        'rejection.min_agreement': 0.0,
        'rejection.min_confidence': round(float(np.median(result.boundary_confidence)), 6),
        'depth.max_m': round(float(np.percentile(result.depth_raw, 80)), 6),
    }


@pytest.fixture(scope='module')
def output(
    camera_bag: Path,
    settings: dict[str, ParameterValue],
    run_folder: Path,
    start_moe3d: StartMoe3d,
) -> Path:
    """Play, reconstruct and record until every image is accounted for; return the new bag."""
    parameters = [part for name, v in settings.items() for part in ('-p', f'{name}:={v}')]
    node = start_moe3d('run', '--ros-args', *parameters)
    path = run_folder / 'output'
    with Recorder(path, (*OUTPUTS, DIAGNOSTICS).__contains__) as recorder:
        ready = recorder.spin_until(
            lambda: recorder.topics.issuperset(OUTPUTS) or node.poll() is not None, WAIT_S
        )
        assert ready, 'the node has not announced its outputs'
        assert node.poll() is None, node.communicate()
        player = start_moe3d('replay', camera_bag, '--rate', '0.5', '--json')
        assert recorder.spin_until(lambda: player.poll() is not None, WAIT_S)
        stdout, stderr = player.communicate()
        assert player.returncode == 0, stderr

        def all_accounted() -> bool:
            counts = read_diagnostics(recorder.latest[DIAGNOSTICS])
            drops = sum(int(v) for key, v in counts.items() if key.startswith('dropped.'))
            published = int(counts['published'])
            complete = all(recorder.counts[topic] == published for topic in OUTPUTS)
            return int(counts['frames_in']) == 12 == published + drops and complete

        assert recorder.spin_until(all_accounted, WAIT_S), recorder.counts
        node.send_signal(signal.SIGINT)
        assert recorder.spin_until(lambda: node.poll() is not None, WAIT_S), (
            'SIGINT did not end it'
        )
    stdout, stderr = node.communicate()
    assert node.returncode == 0, stdout + stderr
    assert 'Traceback' not in stdout + stderr
    return path


@pytest.fixture(scope='module')
def recorded(output: Path) -> Messages:
    """Return the recorded messages by topic and stamp."""
    messages: Messages = {topic: {} for topic in OUTPUTS}
    for topic, _, message in read_decoded(output, OUTPUTS):
        messages[topic][stamp_ns(message)] = message
    return messages


@pytest.fixture(scope='module')
def source(camera_bag: Path) -> Messages:
    """Return the played images and camera_infos by stamp."""
    camera = choose_camera(camera_bag)
    messages: Messages = {'image': {}, 'camera_info': {}}
    for topic, _, message in read_decoded(camera_bag, camera[:2]):
        messages['image' if topic == camera.image else 'camera_info'][stamp_ns(message)] = message
    return messages


def floats(message: Message) -> np.ndarray:
    return np.frombuffer(message.data, '<f4').reshape(message.height, message.width)


def test_every_output_has_stamp_and_frame_of_its_image(
    recorded: Messages, source: Messages
) -> None:
    stamps = set(recorded[DEPTH])

    assert stamps
    assert stamps <= set(source['image'])
    for topic in OUTPUTS:
        assert set(recorded[topic]) == stamps, topic
        for stamp, message in recorded[topic].items():
            assert message.header.frame_id == source['image'][stamp].header.frame_id, topic


def test_images_have_the_size_of_their_camera_info(recorded: Messages) -> None:
    expected = {DEPTH: ('32FC1', 4), CONFIDENCE: ('32FC1', 4), COLOR: ('rgb8', 3)}
    for stamp, info in recorded[INFO].items():
        for topic, (encoding, pixel_bytes) in expected.items():
            image = recorded[topic][stamp]
            assert (image.height, image.width) == (info.height, info.width), topic
            assert (image.encoding, image.step) == (encoding, pixel_bytes * image.width), topic
            assert len(image.data) == image.height * image.step, topic


def test_camera_info_is_the_source_calibration_resized_and_cropped(
    recorded: Messages, source: Messages
) -> None:
    for stamp, info in recorded[INFO].items():
        before = source['camera_info'][stamp]
        fit = fit_geometry((before.height, before.width), (info.height, info.width))
        matrix = np.array(info.k).reshape(3, 3)

        expected = fit.fitted_from_source @ np.array(before.k).reshape(3, 3)
        np.testing.assert_allclose(matrix, expected, rtol=1e-9)
        np.testing.assert_allclose(np.array(info.p).reshape(3, 4)[:, :3], matrix)
        assert 0 < matrix[0, 2] < info.width - 1
        assert 0 < matrix[1, 2] < info.height - 1
        assert len(info.d) == 0
        np.testing.assert_array_equal(np.array(info.r).reshape(3, 3), np.eye(3))


def test_depth_is_positive_or_nan_or_plus_infinity(recorded: Messages) -> None:
    depth = np.stack([floats(message) for message in recorded[DEPTH].values()])

    assert np.isnan(depth).any(), 'nothing was rejected: the test shows too little'
    assert np.isposinf(depth).any(), 'nothing was beyond range: the test shows too little'
    assert np.isfinite(depth).any()
    assert (depth[~np.isnan(depth)] > 0).all()


def test_confidence_is_a_probability_and_zero_where_depth_is_unknown(
    recorded: Messages,
) -> None:
    for stamp, message in recorded[CONFIDENCE].items():
        confidence, depth = floats(message), floats(recorded[DEPTH][stamp])
        assert np.isfinite(confidence).all()
        assert ((confidence >= 0) & (confidence <= 1)).all()
        assert (confidence[np.isnan(depth)] == 0).all()
        assert (confidence[np.isfinite(depth)] > 0).all()


def test_cloud_layout_and_values_follow_depth(recorded: Messages) -> None:
    for stamp, cloud in recorded[POINTS].items():
        depth, info = floats(recorded[DEPTH][stamp]), recorded[INFO][stamp]
        names = [(field.name, field.offset, field.datatype, field.count) for field in cloud.fields]
        assert names == [
            (name, 4 * i, FLOAT32, 1)
            for i, name in enumerate(('x', 'y', 'z', 'rgb', 'confidence'))
        ]
        assert (cloud.point_step, cloud.row_step) == (20, 20 * cloud.width)
        assert (cloud.height, cloud.width) == depth.shape
        assert len(cloud.data) == cloud.height * cloud.row_step
        assert not cloud.is_bigendian
        assert not cloud.is_dense

        points = np.frombuffer(cloud.data, '<f4').reshape(*depth.shape, 5)
        finite = np.isfinite(depth)
        np.testing.assert_array_equal(points[..., 2], np.where(finite, depth, np.nan))
        assert np.isnan(points[~finite][:, :3]).all()
        row, column = np.nonzero(finite)
        focal_x, center_x, focal_y, center_y = (info.k[i] for i in (0, 2, 4, 5))
        u = focal_x * points[finite][:, 0] / points[finite][:, 2] + center_x
        v = focal_y * points[finite][:, 1] / points[finite][:, 2] + center_y
        np.testing.assert_allclose(u, column, atol=1e-3)
        np.testing.assert_allclose(v, row, atol=1e-3)
        packed = np.ascontiguousarray(points[..., 3]).view('<u4')
        rgb = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
        np.testing.assert_array_equal(rgb, decode_raw(recorded[COLOR][stamp]))
        np.testing.assert_array_equal(points[..., 4], floats(recorded[CONFIDENCE][stamp]))


def test_offline_rerun_reproduces_the_published_depth(
    camera_bag: Path, output: Path, settings: dict[str, ParameterValue]
) -> None:
    config = node_config({row.name: row.default for row in PARAMETERS} | settings)

    camera = choose_camera(camera_bag)
    evaluated, summary = evaluate(camera_bag, camera, output, config, lambda: None)

    # A pixel whose confidence or depth lies on a threshold may fall on its other side.
    assert summary['rerun_agreement'] > 0.995
    assert len(evaluated.depth_raw) == len(evaluated.frames) == summary['evaluated_frames'] > 0
    assert np.isfinite(evaluated.depth_raw).all()


def test_demo_accounts_for_every_image_and_writes_its_results(
    camera_bag: Path, tiny_card: Path, run_folder: Path, start_moe3d: StartMoe3d
) -> None:
    out = run_folder / 'demo'

    demo = start_moe3d(
        'demo',
        '--bag',
        camera_bag,
        '--weights',
        tiny_card,
        '--out',
        out,
        '--frames',
        '6',
        '--json',
    )
    stdout, stderr = demo.communicate(timeout=2 * WAIT_S)

    assert demo.returncode == 0, stderr
    summary = json.loads(stdout)
    assert summary == json.loads((out / 'summary.json').read_text())
    assert summary['frames_in'] == 6
    assert summary['frames_in'] == summary['published'] + sum(summary['dropped'].values())
    assert 'unaccounted' not in summary['dropped']
    assert summary['recorded'] == summary['published']
    assert summary['rerun_agreement'] > 0.995
    assert summary['conformance'][-1].endswith('all rules are kept')
    assert summary['flying_share']['raw'] is not None
    assert summary['flying_share_own_levels']['raw'] is not None
    assert summary['ground_truth'] == '/camera/depth/image_raw'
    assert set(summary['latency_ms']) == {'p50', 'p95'}
    assert (out / 'contact_sheet.png').read_bytes().startswith(b'\x89PNG')
    assert (out / 'cloud.ply').read_bytes().startswith(b'ply')
    assert read_topics(out / 'output')[DEPTH].count == summary['published']
