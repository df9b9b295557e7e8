"""A bag judged offline: every frame is accounted for, figures repeat, bad bags are refused."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence
import json
from pathlib import Path
import re
import sys
from typing import Any

from moe3d_engine import session
from moe3d_engine.cli.main import run as moe3d
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import Message
from moe3d_engine.lab.commands import evaluate
from moe3d_engine.lab.commands.evaluate_bag import summarize
from moe3d_engine.lab.reports.record import read_record
from moe3d_engine.lab.runs.bag_run import BagRunOptions
from moe3d_engine.lab.runs.bag_run import evaluate_bag
from moe3d_engine.lab.runs.poses import tracking_run
from moe3d_engine.lab.runs.poses.simulated_odometry import OdometryErrors
from moe3d_engine.lab.runs.poses.tracking_run import TrackingOptions
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.session import SessionConfig
from moe3d_engine.tracking.stream import TrackedView
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Scale
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('scipy')

from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES = {name.rsplit('/', 1)[-1]: kind for name, kind in STORE.types.items()}
HW = (48, 64)
CLOSE = {'rel': 1e-2, 'abs': 1e-2, 'nan_ok': True}  # of figures, where a few pixels may flip
IMAGE, INFO, DEPTH = '/camera/image_raw', '/camera/camera_info', '/camera/depth/image_raw'
DEPTH_INFO, POSE = '/camera/depth/camera_info', '/camera/pose'
PERIOD_NS = 1_000_000_000


def header(stamp_ns: int) -> Message:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return TYPES['Header'](stamp=TYPES['Time'](sec=sec, nanosec=nanosec), frame_id='cam')


def image(stamp_ns: int, encoding: str, pixels: np.ndarray) -> Message:
    data = np.frombuffer(pixels.tobytes(), np.uint8)
    height, width = pixels.shape[:2]
    return TYPES['Image'](header(stamp_ns), height, width, encoding, 0, len(data) // height, data)


def info(stamp_ns: int, scale: int = 1) -> Message:
    """Return the camera_info of pixels `scale` times as fine."""
    k = np.array([60.0, 0, 32, 0, 60.0, 24, 0, 0, 1]) * scale
    k[[2, 5]], k[8] = k[[2, 5]] - 0.5, 1.0
    roi = TYPES['RegionOfInterest'](0, 0, 0, 0, False)
    return TYPES['CameraInfo'](
        header(stamp_ns), HW[0] * scale, HW[1] * scale, 'plumb_bob', np.zeros(5), k,
        np.eye(3).ravel(), np.insert(k, [3, 6, 9], 0.0), 0, 0, roi,
    )  # fmt: skip


def pose(stamp_ns: int, x: float) -> Message:
    turned = TYPES['Quaternion'](0.0, 0.0, 0.0, 1.0)
    place = TYPES['Pose'](TYPES['Point'](x, 0.1 * x * x, 0.0), turned)
    return TYPES['PoseStamped'](header(stamp_ns), place)


def write_bag(
    path: Path,
    *,
    count: int = 4,
    encoding: str = '32FC1',
    unit: float = 1.0,
    depth_scale: int = 1,
    with_depth_info: bool = False,
    depth_late_ns: int = 0,
    without: Collection[tuple[str, int]] = (),
    ballast: int = 0,
) -> Path:
    """
    Write frames of noise before a wall with a box.

    Parameters
    ----------
    encoding, unit : of the depth: metres times `unit`.
    depth_scale : depth has so many times the images' pixels.
    depth_late_ns : stamps of the depth are so much later.
    without : (topic, number of the frame) of messages that are missing.
    ballast : bytes beside each frame; a megabyte fills a chunk of the file.
    """
    rng = np.random.default_rng(0)
    truth = np.full(HW, 3.0, np.float32)
    truth[10:30, 20:40] = 1.5
    truth = np.kron(truth * unit, np.ones((depth_scale, depth_scale)))
    truth = truth.astype(np.uint16 if encoding == '16UC1' else np.float32)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for number in range(max(count, 1)):
            stamp = (10 + number) * PERIOD_NS
            noise = rng.integers(0, 255, (*HW, 3)).astype(np.uint8)
            messages = {
                POSE: pose(stamp, 0.1 * number),
                INFO: info(stamp),
                IMAGE: image(stamp, 'rgb8', noise),
                DEPTH: image(stamp + depth_late_ns, encoding, truth),
            }
            if with_depth_info:
                messages[DEPTH_INFO] = info(stamp + depth_late_ns, depth_scale)
            if ballast:
                messages['/ballast'] = image(stamp, 'mono8', np.zeros((1, ballast), np.uint8))
            for topic, message in messages.items():
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
                if count and (topic, number) not in without:
                    writer.write(connections[topic], stamp, STORE.serialize_cdr(message, kind))
    return path


def test_every_frame_is_published_or_dropped_and_two_runs_are_equal(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', without=[(INFO, 2)])
    runs = [evaluate_bag(BagRunOptions(bag)) for _ in range(2)]

    for number, run in enumerate(runs):
        assert run.record.counts() == {
            'in': 4, 'published': 3, 'dropped': {'no_camera_info': 1},
        }  # fmt: skip
        assert len(run.pictures) == 3
        run.record.write(tmp_path / f'{number}.json')
    first, second = (json.loads((tmp_path / f'{n}.json').read_text()) for n in range(2))
    assert first.keys() == second.keys()
    for name in ('kind', 'configuration', 'counts'):
        assert first[name] == second[name]
    assert [f['key'] for f in first['frames']] == [f['key'] for f in second['frames']]
    assert first['summary'].keys() == second['summary'].keys()
    for name, figures in first['summary'].items():
        again = second['summary'][name]
        assert {k for k, v in figures.items() if v is None} == {
            k for k in again if again[k] is None
        }
        known = {k: v for k, v in figures.items() if v is not None}
        assert known == pytest.approx({k: again[k] for k in known}, **CLOSE), name
    assert first['sequence'] == pytest.approx(second['sequence'], **CLOSE)
    figures = first['summary']['published']
    assert 0 < figures['abs_rel_median'] < 1
    assert {'edge_chamfer_m', 'near_surface', 'flying_gt', 'boundary_f1'} <= set(figures)
    baselines = {'depth edges', 'SOR', 'ROR', 'VGGT percentile', 'DA3 percentile', 'shadow points'}
    assert baselines | {'agreement'} <= set(first['summary'])
    assert baselines <= set(runs[0].record.timings['median_ms'])


class Follower:
    """Believes its odometry, and makes the first image a keyframe."""

    scale = Scale(1.0, 0.01, 'odometry', metric=True, state='locked')

    def __init__(self, *_: object, **__: object) -> None:
        self.stamps_ns: list[int] = []
        self.depths_ns: list[int] = []
        self.references: list[ReferenceDepth] = []

    def track(self, view: View) -> TrackedView:
        self.stamps_ns.append(view.stamp_ns)
        pose = TrackedPose(
            view.stamp_ns, view.camera, view.frame_id, TrackingStatus.TRACKING,
            np.eye(4) if view.pose is None else view.pose.cam_from_world,
            1e-4 * np.eye(6), np.zeros(6), np.eye(6), self.scale,
            is_keyframe=len(self.stamps_ns) == 1,
        )  # fmt: skip
        return TrackedView(view, pose)

    def follows(self, view: View) -> bool:
        return view.camera == 'camera'

    def cam_from_map(self, stamps: Sequence[int]) -> list[None]:
        return [None for _ in stamps]

    def add_depth(self, result: ViewResult) -> None:
        self.depths_ns.append(result.view.stamp_ns)

    def add_reference(self, reference: ReferenceDepth) -> None:
        self.references.append(reference)

    def sparse_points(self, stamp_ns: int) -> None:
        """See nothing."""


@pytest.fixture
def followers(monkeypatch: pytest.MonkeyPatch) -> list[Follower]:
    """Replace trackers, which would find no way through noise, and return those in use."""
    opened: list[Follower] = []

    def open_tracker(*_: object, **__: object) -> Follower:
        opened.append(Follower())
        return opened[-1]

    monkeypatch.setattr(session, 'StreamTracker', open_tracker)
    monkeypatch.setattr(tracking_run, 'StreamTracker', open_tracker)
    return opened


def test_command_writes_a_report_with_the_paths_of_tracked_poses(
    tmp_path: Path, followers: list[Follower], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('matplotlib')
    pytest.importorskip('evo')
    bag = str(write_bag(tmp_path / 'bag', count=3))
    command = ['evaluate', '--bag', bag, '--out', str(tmp_path / 'out'), '--all-metrics']

    assert moe3d([*command, '--simulated-odometry', '--runs', '2'], [evaluate]) == 0

    printed = capsys.readouterr().out
    assert '3 frames in, 3 published' in printed
    assert 'free_space_violation' in printed
    assert re.search(r'ate_se3_percent \S+ \(\S+ to \S+\)', printed)
    assert (tmp_path / 'out' / 'report.html').stat().st_size > 10_000
    lines = (tmp_path / 'out' / 'truth.tum').read_text().splitlines()
    assert lines[1].split()[0] == '10.000000000'
    for name in ('trajectory-0.tum', 'trajectory-1.tum', 'track.png'):
        assert (tmp_path / 'out' / name).is_file(), name
    assert len(followers) == 2


def test_every_image_that_can_be_decoded_is_tracked_and_gets_its_depth(
    tmp_path: Path, followers: list[Follower]
) -> None:
    pytest.importorskip('evo')
    bag = write_bag(tmp_path / 'bag', count=6, without=[(INFO, 2), (POSE, 3)])
    options = TrackingOptions(2, OdometryErrors(0.0, 0.0), reference_depth=True)

    run = evaluate_bag(BagRunOptions(bag, baselines=False, tracking=options))

    expected = [(10 + number) * PERIOD_NS for number in (0, 1, 3, 4, 5)]
    for follower in followers:
        assert follower.stamps_ns == follower.depths_ns == expected
        assert [reference.stamp_ns for reference in follower.references] == expected
        assert {*np.unique(follower.references[0].points_cam[:, 2])} == {1.5, 3.0}
    assert len(run.record.tracking) == len(run.tracks) == 2
    assert run.record.tracking[0]['ate_se3_percent'] == pytest.approx(0.0, abs=1e-6)
    assert run.record.tracking[0]['path_m'] == pytest.approx(0.5, abs=0.01)
    assert summarize(run.record)['tracking']['lost'] == {'mean': 0.0, 'least': 0.0, 'most': 0.0}
    assert set(run.record.timings['tracking']) >= {'track_cpu_ms', 'keyframe_cpu_ms'}
    assert run.record.configuration['tracking']['odometry']['noise'] == 0.0


def test_tracked_poses_are_judged_only_where_there_are_true_ones(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=1, without=[(POSE, 0)])

    run = evaluate_bag(BagRunOptions(bag, baselines=False, tracking=TrackingOptions()))

    assert run.tracks == []
    assert run.record.tracking == ()


def test_bag_without_what_tracking_is_to_be_told_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=1, without=[(POSE, 0), (DEPTH, 0)])

    for options, name in (
        (TrackingOptions(odometry=OdometryErrors()), '--pose-topic'),
        (TrackingOptions(reference_depth=True), '--depth-topic'),
    ):
        with pytest.raises(InputError, match=name):
            evaluate_bag(BagRunOptions(bag, tracking=options))


def test_command_refuses_errors_of_odometry_that_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['evaluate', '--bag', str(tmp_path), '--simulated-odometry', 'drift=1']

    assert moe3d(command, [evaluate]) == 2

    assert "got 'drift=1'" in capsys.readouterr().err


def test_command_that_could_evaluate_nothing_says_why_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('matplotlib')
    bag = write_bag(tmp_path / 'bag', count=2, without=[(INFO, 0), (IMAGE, 1)])

    assert moe3d(['evaluate', '--bag', str(bag), '--out', str(tmp_path / 'out')], [evaluate]) == 2

    assert re.search(r'could be evaluated.*no_camera_info', capsys.readouterr().err)
    assert (tmp_path / 'out' / 'report.html').is_file()


def test_depth_in_millimetres_as_floats_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', unit=1000.0)

    with pytest.raises(InputError, match='looks like millimetres'):
        evaluate_bag(BagRunOptions(bag))


def test_missing_topic_is_refused_with_what_is_there(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=1)

    for asked in ({'image_topic': '/no'}, {'depth_topic': '/no'}, {'pose_topic': '/no'}):
        with pytest.raises(InputError, match=f'no topic /no.*{IMAGE}'):
            evaluate_bag(BagRunOptions(bag, **asked))


def test_empty_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'image|topic'):
        evaluate_bag(BagRunOptions(write_bag(tmp_path / 'bag', count=0)))


def test_truncated_bag_is_evaluated_as_far_as_it_goes(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=12, ballast=400_000)
    file = next(bag.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    record = evaluate_bag(BagRunOptions(bag)).record

    counts = record.counts()
    assert counts['in'] == 12
    assert 0 < counts['published'] < 7
    assert counts['dropped'] == {'unreadable': 12 - counts['published']}
    assert record.configuration['lost_bytes'] > 0
    assert 'ends early' in ' '.join(record.configuration['notes'])


def test_truncated_file_without_metadata_keeps_what_can_be_read(tmp_path: Path) -> None:
    file = next(write_bag(tmp_path / 'bag', count=12, ballast=400_000).glob('*.mcap'))
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    record = evaluate_bag(BagRunOptions(cut, frames=2)).record

    assert record.counts() == {'in': 2, 'published': 2, 'dropped': {}}
    assert record.configuration['lost_bytes'] > 0


def test_file_that_ends_before_its_first_message_is_refused(tmp_path: Path) -> None:
    file = next(write_bag(tmp_path / 'bag').glob('*.mcap'))
    cut = tmp_path / 'cut.mcap'
    for size in (0, 4, 30, 3000):
        cut.write_bytes(file.read_bytes()[:size])
        with pytest.raises(InputError):
            evaluate_bag(BagRunOptions(cut))


def test_millimetres_as_integers_are_the_same_truth_as_metres(tmp_path: Path) -> None:
    metres = write_bag(tmp_path / 'metres', count=1)
    millimetres = write_bag(tmp_path / 'millimetres', count=1, encoding='16UC1', unit=1000.0)

    first, second = (evaluate_bag(BagRunOptions(bag)).record for bag in (metres, millimetres))

    published = [record.summary()['published'] for record in (first, second)]
    assert published[0] == pytest.approx(published[1], **CLOSE)


def test_depth_of_another_size_is_sampled_by_its_own_camera_info(tmp_path: Path) -> None:
    same = write_bag(tmp_path / 'same', count=1)
    fine = write_bag(tmp_path / 'fine', count=1, depth_scale=3, with_depth_info=True)

    first, second = (
        evaluate_bag(BagRunOptions(bag, depth_topic=DEPTH)).record for bag in (same, fine)
    )

    figures = [record.summary()['published']['abs_rel_median'] for record in (first, second)]
    assert figures[0] == pytest.approx(figures[1], rel=0.02)


def test_depth_of_another_size_without_camera_info_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=1, depth_scale=2)

    with pytest.raises(InputError, match=f'camera_info of its own on {DEPTH_INFO}'):
        evaluate_bag(BagRunOptions(bag, depth_topic=DEPTH))


def test_depth_of_other_stamps_is_no_truth_and_is_counted(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=2, depth_late_ns=5_000_000)

    record = evaluate_bag(BagRunOptions(bag)).record

    assert record.counts()['published'] == 2
    assert record.sequence['frames_without_truth'] == 2
    assert set(record.summary()) == {'published', 'before rejection'}
    assert set(record.summary()['published']) == {'retained', 'aliased'}
    assert '2 of 2 published frames have no truth' in ' '.join(record.configuration['notes'])


def test_frames_without_pose_are_left_out_of_the_trajectory_and_counted(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', count=5, without=[(POSE, 1)])

    record = evaluate_bag(BagRunOptions(bag, session=SessionConfig(poses='network'))).record

    assert record.counts()['published'] == 5
    assert record.sequence['frames_without_pose'] == 1
    assert record.sequence['poses'] == 4
    assert {'ate_rmse_m', 'auc30', 'acc_mean', 'comp_mean', 'nc_mean'} <= set(record.sequence)


def test_pose_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='PoseStamped'):
        evaluate_bag(BagRunOptions(write_bag(tmp_path / 'bag', count=1), pose_topic=INFO))


def test_maps_of_others_are_in_record_report_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('octomap')
    bag = write_bag(tmp_path / 'bag', count=2)
    out = tmp_path / 'report'
    asked = ['--mapper', 'octomap', '--map-poses', 'true', '--scale-factor', '0.1']

    assert moe3d(['evaluate', '--bag', str(bag), '--out', str(out), *asked], [evaluate]) == 0

    content = json.loads((out / 'evaluation.json').read_text())
    rows = content['maps']['octomap']
    assert list(rows) == ['published', 'published, clearing', 'before rejection']
    assert all(0 <= row['map_coverage_at'] <= row['map_coverage'] <= 1 for row in rows.values())
    assert content['configuration']['maps']['poses'] == 'true'
    assert read_record(out / 'evaluation.json').maps['octomap'].keys() == rows.keys()
    assert 'share of occupied voxels that are far' in (out / 'report.html').read_text()
    assert '| published, clearing |' in capsys.readouterr().out


def test_baseline_without_a_mapper_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / 'bag', count=1)

    assert moe3d(['evaluate', '--bag', str(bag), '--baseline', 'soft'], [evaluate]) == 2
    assert '--mapper' in capsys.readouterr().err


def test_recording_for_rerun_is_written_and_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('rerun')
    bag = write_bag(tmp_path / 'bag', count=2)
    path = tmp_path / 'run.rrd'
    command = ['evaluate', '--bag', str(bag), '--out', str(tmp_path / 'out'), '--rerun', str(path)]

    assert moe3d(command, [evaluate]) == 0
    assert path.stat().st_size > 1000
    assert moe3d(command, [evaluate]) == 2
    assert '--force' in capsys.readouterr().err


def test_recording_without_the_sdk_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)
    command = ['evaluate', '--bag', str(tmp_path), '--rerun', str(tmp_path / 'run.rrd')]

    assert moe3d(command, [evaluate]) == 2
    assert 'pip install rerun-sdk' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bag_without_true_poses_gives_its_report_and_says_why_there_is_no_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('octomap')
    bag = write_bag(tmp_path / 'bag', count=2, without=[(POSE, 0), (POSE, 1)])
    out = tmp_path / 'report'
    asked = ['--mapper', 'octomap', '--map-poses', 'true', '--scale-factor', '0.1']

    assert moe3d(['evaluate', '--bag', str(bag), '--out', str(out), *asked], [evaluate]) == 2
    assert (out / 'report.html').is_file()
    assert 'no map to judge' in capsys.readouterr().err
