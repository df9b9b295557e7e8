"""Protocols run on scenes that a test makes, with a network whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
import math
from pathlib import Path

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import intrinsics_from_fov
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import SceneImage
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.lab.datasets.sequences.tum import Tum
from moe3d_engine.lab.protocols.alignment import align_maps
from moe3d_engine.lab.protocols.catalogue import FrameRule
from moe3d_engine.lab.protocols.catalogue import load_protocols
from moe3d_engine.lab.protocols.catalogue import Protocol
from moe3d_engine.lab.protocols.judges import RAW
from moe3d_engine.lab.protocols.judges import RAW_RESIZED
from moe3d_engine.lab.protocols.maps import PointMaps
from moe3d_engine.lab.protocols.run import rows_of
from moe3d_engine.lab.protocols.run import run_protocol
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.reports.record import read_record
from moe3d_engine.network import Engine
from moe3d_engine.session import Session
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / 'golden'
HW = (28, 42)  # of the fake network
INTRINSICS = intrinsics_from_fov(0.8, 1.1, HW)
WORLD_FROM_FIRST = np.array([[0.0, -1, 0, 3], [1, 0, 0, -2], [0, 0, 1, 5], [0, 0, 0, 1]])
STEP = slice(18, 24)  # columns of a ramp between two walls, which the network rejects
ROOM = 1.3  # metres per unit of the network


class Room(Scenes):
    """
    Rooms of a near and a far wall; the fake network reads its depth off the red channel.

    Between the walls the network sees a ramp, where the truth is a step. Sequence `broken` cannot
    be read; of `holes`, one frame cannot; in `dark` the network rejects everything.
    """

    layout = 'nothing: it is made in memory'

    def sequences(self) -> list[str]:
        """Return all rooms."""
        return ['broken', 'dark', 'holes', 'room']

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return four frames, each 0.1 units to the right of the one before."""
        if sequence == 'broken':
            raise InputError('poses.txt is missing.')
        frames = []
        for i in range(4):
            pose = WORLD_FROM_FIRST.copy()
            pose[:3, 3] += ROOM * 0.1 * i * pose[:3, 0]
            path = Path(f'{sequence}-{i}')
            frames.append(SceneFrame(str(i), path, path, INTRINSICS, pose, float(i)))
        return frames

    def read(self, frame: SceneFrame) -> SceneImage:
        """Return a frame with true depth in metres."""
        if str(frame.rgb) == 'holes-1':
            raise InputError('The image is damaged.')
        rgb = np.full((*HW, 3), 255, np.uint8)
        walls = np.where(np.arange(HW[1]) < 21, 51, 204)  # 1.8 and 4.2 units
        seen = walls.copy()
        seen[STEP] = np.linspace(51, 204, 6)
        rgb[..., 0] = seen
        rgb[:, STEP, 1] = 0  # no agreement
        if frame.rgb.name.startswith('dark'):
            rgb[..., 1] = 0
        depth = np.tile(ROOM * (1 + 4 * walls / 255), (HW[0], 1)).astype(np.float32)
        depth *= 1 + 0.002 * np.arange(HW[0], dtype=np.float32)[:, None]  # off the prediction
        depth[0, 0] = np.nan
        return SceneImage(rgb, depth, frame.intrinsics, frame.world_from_cam)


@pytest.fixture
def judge(fake_backend: Callable[[], object], tmp_path: Path) -> Callable[..., EvaluationRecord]:
    """Return a function that runs a protocol on the rooms."""

    def run(dataset: str, name: str, **changes: object) -> EvaluationRecord:
        protocol = small(load_protocols().find(dataset, name), **changes)
        return run_protocol(Session(Engine(fake_backend())), Room(tmp_path), protocol)

    return run


def small(protocol: Protocol, **changes: object) -> Protocol:
    """Return a protocol for the rooms."""
    usual = {'sequences': ('room',), 'frames': FrameRule()}
    if protocol.size_hw is not None:
        usual['size_hw'] = (56, 84)
        usual['window_hw'] = protocol.window_hw and (40, 60)
    return replace(protocol, **{**usual, **changes})


@pytest.mark.parametrize('name', ['pi3-sparse', 'cut3r-sparse'])
def test_resizing_makes_points_fly_and_rejection_takes_them_away(
    name: str, judge: Callable[..., EvaluationRecord]
) -> None:
    record = judge('7scenes', name, frames=FrameRule(most=2))

    summary = record.summary()
    assert summary[PUBLISHED]['acc_mean'] < 0.5 * summary[RAW]['acc_mean']
    assert summary[PUBLISHED]['retained'] < summary[RAW]['retained'] == 1.0
    assert set(summary) == {RAW, RAW_RESIZED, PUBLISHED, 'published-resized'}
    assert set(rows_of(record, 'fake')) >= {'fake: all pixels, resized as the script does'}


def test_cut3r_alignment_gives_the_reference_points() -> None:
    golden = np.load(GOLDEN / 'cut3r_scale_shift_alignment.npz')
    mask = golden['valid_mask'][..., None]
    maps = PointMaps(
        np.where(mask, golden['pred_points_in_cam1'], np.nan),
        np.where(mask, golden['gt_world_points'], np.nan),
        golden['valid_mask'],
    )

    aligned = align_maps(maps, 'scale_shift_cut3r', golden['camera_pose_c2w'][0])

    expected = golden['pred_final_world'][golden['valid_mask']]
    np.testing.assert_allclose(aligned.points[golden['valid_mask']], expected, atol=1e-6)


@pytest.mark.parametrize('name', ['mono', 'video-scale', 'video-scale-shift'])
def test_depth_is_judged_per_image_or_per_sequence(
    name: str, judge: Callable[..., EvaluationRecord]
) -> None:
    record = judge('sintel', name)

    keys = [frame.key for frame in record.frames]
    assert keys == (['room/0', 'room/1', 'room/2', 'room/3'] if name == 'mono' else ['room'])
    summary = record.summary()
    assert 0 < summary[PUBLISHED]['abs_rel'] < 0.04  # the ramp is gone, the scale is found
    assert summary[RAW]['abs_rel'] > 1.5 * summary[PUBLISHED]['abs_rel']
    assert summary[PUBLISHED]['retained'] == pytest.approx(36 / 42, abs=0.01)


def test_figures_of_depth_are_weighted_by_valid_pixels(
    judge: Callable[..., EvaluationRecord],
) -> None:
    record = judge('sintel', 'mono')

    shares = [frame.methods[RAW].shares['abs_rel'] for frame in record.frames]
    assert {pixels for _, pixels in shares} == {28 * 42 - 1}
    mean = sum(value for value, _ in shares) / sum(pixels for _, pixels in shares)
    assert record.summary()[RAW]['abs_rel'] == pytest.approx(mean)


def test_fused_surface_is_precise_only_without_flying_points(
    judge: Callable[..., EvaluationRecord],
) -> None:
    record = judge('7scenes', 'da3-tsdf', voxel_m=0.05, threshold_m=0.2, frames=FrameRule(most=2))
    summary = record.summary()

    assert summary[PUBLISHED]['tsdf_precision'] > 0.95
    assert summary[RAW]['tsdf_precision'] < summary[PUBLISHED]['tsdf_precision'] - 0.05


def test_sequence_of_which_all_is_rejected_has_no_figures_for_that(
    judge: Callable[..., EvaluationRecord],
) -> None:
    for name in ('pi3-sparse', 'da3-tsdf'):
        changes = {'voxel_m': 0.05} if name == 'da3-tsdf' else {}
        record = judge('7scenes', name, sequences=('dark',), frames=FrameRule(most=1), **changes)
        summary = record.summary()
        assert math.isnan(summary[PUBLISHED]['acc_mean'])
        assert summary[RAW]['acc_mean'] > 0


def test_trajectory_up_to_scale_has_no_error(fake_backend: type, tmp_path: Path) -> None:
    class Curved(fake_backend):
        def reconstruct(
            self,
            features: Sequence[object],
            publish: Sequence[int],
            cameras: WindowCameras | None = None,
        ) -> RawOutputs:
            raw = super().reconstruct(features, publish, cameras)
            raw.pose_encoding[:, 1] = -0.05 * np.arange(len(features)) ** 2
            return raw

    folder = tmp_path / 'freiburg1_xyz'
    folder.mkdir()
    lines = []
    for i in range(6):
        assert cv2.imwrite(str(folder / f'{i}.png'), np.full((*HW, 3), 255 - i, np.uint8))
        lines.append(f'{i} {i}.png')
    (folder / 'rgb.txt').write_text('\n'.join(lines))
    (folder / 'depth.txt').write_text('')
    slots = [0, 1, 2, 3, 1, 2]  # in windows of four that share the first image
    half = np.sqrt(0.5)  # turned by 90 degrees about z: right is along y
    rows = [
        [i, 5 - ROOM * 0.05 * slot**2, 1 + ROOM * 0.1 * slot, 2, 0, 0, half, half]
        for i, slot in enumerate(slots)
    ]
    np.savetxt(folder / 'groundtruth.txt', rows)
    protocol = replace(load_protocols().find('tum', 'trajectory'), frames=FrameRule())

    record = run_protocol(Session(Engine(Curved())), Tum(tmp_path), protocol)

    for name, value in record.summary()[PUBLISHED].items():
        assert value == pytest.approx(0.0, abs=1e-5), name


def test_broken_parts_are_counted_and_named_and_the_rest_is_judged(
    judge: Callable[..., EvaluationRecord],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    record = judge(
        'sintel',
        'mono',
        sequences=('broken', 'holes', 'room', 'gone'),
        frames=FrameRule(counts={'room': 5}),
    )

    assert record.counts() == {
        'in': 10, 'published': 7, 'dropped': {'unreadable': 2, 'missing': 1},
    }  # fmt: skip
    dropped = {frame.key: frame.dropped for frame in record.frames if frame.dropped}
    assert dropped == {'broken': 'unreadable', 'holes/1': 'unreadable', 'gone': 'missing'}
    assert 'poses.txt is missing' in caplog.text
    assert record.configuration['incomplete_sequences'] == {'room': [4, 5]}
    record.write(tmp_path / 'evaluation.json')
    assert read_record(tmp_path / 'evaluation.json').summary() == record.summary()


def test_nothing_of_the_protocol_names_the_layout(judge: Callable[..., EvaluationRecord]) -> None:
    with pytest.raises(InputError, match='made in memory'):
        judge('sintel', 'mono', sequences=('alley_2',))


def test_sequence_without_overlap_has_no_figures_but_is_counted(
    judge: Callable[..., EvaluationRecord],
) -> None:
    record = judge('7scenes', 'pi3-sparse', max_depth_m=0.5)

    assert record.counts() == {'in': 1, 'published': 0, 'dropped': {'unreadable': 1}}
    assert record.summary() == {}
