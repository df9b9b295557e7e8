"""A box room through OctoMap itself: exact depth, depth blurred across edges, rejection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import sys

import cv2
from moe3d_engine.assets import find_weights
from moe3d_engine.clearing import free_depth
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('scipy')

from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.lab.mappers.bag_maps import BagMaps
from moe3d_engine.lab.mappers.bag_maps import MapOptions
from moe3d_engine.lab.mappers.baseline import open_baseline
from moe3d_engine.lab.mappers.open import open_mapper
from moe3d_engine.lab.mappers.scans import Scan
from moe3d_engine.lab.metrics.voxels.judge import VoxelJudge
from moe3d_engine.lab.runs.bag_run import FrameOutcome
from moe3d_engine.policy import Thresholds
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import Scale
from moe3d_engine.types import View

HW = (36, 48)
K = np.array([[30.0, 0, 23.5], [0, 30.0, 17.5], [0, 0, 1]])
ROOM = np.array([[-1.213, -1.213, 0.013], [1.213, 1.213, 1.613]])  # metres; off voxels' borders
PILLAR = np.array([[-0.213, -0.213, -1.0], [0.213, 0.213, 1.113]])
THRESHOLDS = Thresholds(depth_max_m=40.0)
UP = np.array([0.0, 0.0, 1.0])
FRAMES = 6


def world_from_cam(number: int) -> np.ndarray:
    """Return a camera .9 m above the floor that walks round the pillar and looks at it."""
    angle = 2 * np.pi * number / FRAMES
    ahead = np.array([-np.cos(angle), -np.sin(angle), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(down, ahead), down, ahead], axis=1)
    pose[:3, 3] = *(-0.9 * ahead[:2]), 0.9
    return pose


def render(pose: np.ndarray) -> np.ndarray:
    """Return exact depth (H, W): the room's walls from inside, the pillar from outside."""
    rows, columns = np.indices(HW)
    rays = np.stack([columns, rows, np.ones(HW)], -1) @ np.linalg.inv(K).T @ pose[:3, :3].T
    with np.errstate(divide='ignore'):
        to_room, to_pillar = ((box[:, None, None] - pose[:3, 3]) / rays for box in (ROOM, PILLAR))
    wall = to_room.max(0).min(-1)
    enters, leaves = to_pillar.min(0).max(-1), to_pillar.max(0).min(-1)
    hit = (enters < leaves) & (enters > 0)
    return np.where(hit, enters, wall).astype(np.float32)


def blurred(depth: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(depth, (0, 0), 1.2)


def without_edges(depth: np.ndarray) -> np.ndarray:
    """Reject what stands between two depths, as far as a blur reaches."""
    kernel = np.ones((9, 9), np.uint8)
    spread = cv2.dilate(depth, kernel) / cv2.erode(depth, kernel)
    return np.where(spread > 1.3, np.float32(np.nan), depth)


def figures(spoil: Callable[[np.ndarray], np.ndarray], coverage: float | None = None) -> dict:
    """Return the figures of OctoMap's map of spoilt depth."""
    pytest.importorskip('octomap')
    truth, tested = open_mapper('octomap')(), open_mapper('octomap')()
    for number in range(FRAMES):
        pose = world_from_cam(number)
        exact = render(pose)
        truth.insert(Scan(exact, K, pose))
        tested.insert(Scan(spoil(exact), K, pose))
    return VoxelJudge(truth.voxels(), UP).figures(tested.voxels(), coverage)


def test_exact_depth_gives_no_phantoms_and_the_whole_room() -> None:
    sparse = figures(lambda depth: np.where(np.arange(HW[1]) % 2, depth, np.float32(np.nan)))

    assert sparse['map_phantoms'] == 0
    assert sparse['map_obstacles_m2'] == 0
    assert sparse['map_coverage'] > 0.9
    assert sparse['map_cleared'] < 0.01


def test_depth_blurred_across_edges_gives_phantoms_and_obstacles_on_the_floor() -> None:
    spoilt = figures(blurred)

    assert spoilt['map_phantoms'] > 0.05
    assert spoilt['map_obstacles_m2'] > 1


def test_rejection_removes_the_phantoms_at_equal_coverage() -> None:
    kept = figures(lambda depth: without_edges(blurred(depth)))
    coverage = kept['map_coverage']
    spoilt = figures(blurred, coverage)

    assert coverage > 0.5
    assert spoilt['map_coverage'] == pytest.approx(coverage)
    assert kept['map_phantoms'] < 0.1 * spoilt['map_phantoms']
    assert kept['map_obstacles_m2'] < 0.1 * spoilt['map_obstacles_m2']


def test_rays_of_free_space_remove_what_has_gone_and_spare_the_surfaces() -> None:
    """Something stood before the wall; then its pixels are rejected, so no point clears it."""
    pytest.importorskip('octomap')
    truth, still, cleared = (open_mapper('octomap')() for _ in range(3))
    pose = world_from_cam(0)
    exact = render(pose)
    truth.insert(Scan(exact, K, pose))
    place = np.zeros(HW, np.bool_)
    place[10:12, 4:6] = True
    something = np.where(place, np.float32(0.8), exact)
    rejected = np.where(place, np.float32(np.nan), exact)
    free = free_depth(exact, rejected, THRESHOLDS)
    for depth, free_m in ((something, None), (rejected, free), (rejected, free)):
        still.insert(Scan(depth, K, pose))
        cleared.insert(Scan(depth, K, pose, free_m))

    judge = VoxelJudge(truth.voxels(), UP)
    before, after = judge.figures(still.voxels()), judge.figures(cleared.voxels())

    assert before['map_phantoms'] > 0
    assert after['map_phantoms'] == 0
    assert after['map_cleared'] == 0
    assert after['map_coverage'] == before['map_coverage']


def outcome(number: int, *, metric: bool = True, source: str = 'tracking') -> FrameOutcome:
    """Return an exact frame whose tracked poses are those of an odom at the first camera."""
    true_pose = world_from_cam(number)
    truth = render(true_pose)
    cam_from_odom = invert_rigid(true_pose) @ world_from_cam(0)
    view = View(
        np.zeros((*HW, 3), np.uint8), K, number * 10**9, pose=PosePrior(cam_from_odom, source)
    )
    soft = blurred(truth)
    depth, sure = without_edges(soft)[None], np.ones((1, *HW), np.float32)
    raw = RawOutputs(soft[None], sure, sure, np.zeros((1, 9), np.float32), sure)
    result = Reconstruction(
        (view,), (0,), view.image[None], K[None], soft[None], depth, sure, np.eye(4)[None],
        Scale(1.0, 0.0, 'fixed', metric, 'locked'), raw,
    )  # fmt: skip
    return FrameOutcome(result, truth, true_pose)


def test_each_way_to_publish_has_a_row_and_poses_of_odom_are_put_into_the_world() -> None:
    pytest.importorskip('octomap')
    maps = BagMaps(
        MapOptions(('octomap',), baseline='soft'), THRESHOLDS, lambda result: result.depth_raw[0]
    )
    for number in range(FRAMES):
        maps.add(outcome(number))

    rows = maps.figures()['octomap']

    assert list(rows) == ['published', 'published, clearing', 'before rejection', 'soft']
    assert rows['soft'] == rows['before rejection']
    assert rows['published']['map_phantoms'] < 0.1 * rows['soft']['map_phantoms_at']
    assert len({round(row['map_coverage_at'], 6) for row in rows.values()}) == 1


def test_frame_that_was_dropped_lost_or_has_no_truth_adds_nothing() -> None:
    pytest.importorskip('octomap')
    maps = BagMaps(MapOptions(('octomap',)), THRESHOLDS)
    whole = outcome(0)
    maps.add(FrameOutcome(Drop(DropReason.BAD_IMAGE, 0, 'bad')))
    maps.add(replace(whole, truth=None))
    maps.add(replace(whole, true_pose=None))
    maps.add(outcome(0, source='odometry'))

    with pytest.raises(InputError, match='no map to judge'):
        maps.figures()


def test_lost_frames_count_where_poses_are_true_ones() -> None:
    pytest.importorskip('octomap')
    maps = BagMaps(MapOptions(('octomap',), poses='true'), THRESHOLDS)
    maps.add(outcome(0, source='odometry'))

    assert maps.figures()['octomap']['published']['map_coverage'] > 0


def test_depth_without_metres_is_refused() -> None:
    pytest.importorskip('octomap')
    maps = BagMaps(MapOptions(('octomap',)), THRESHOLDS)

    with pytest.raises(InputError, match='--scale-factor'):
        maps.add(outcome(0, metric=False))


def test_signed_distance_field_of_exact_depth_has_fewer_phantoms_than_of_blurred() -> None:
    try:
        make = open_mapper('tsdf')
    except ConfigError as error:
        pytest.skip(str(error))
    truth, tested, soft = make(), make(), make()
    for number in range(FRAMES):
        pose = world_from_cam(number)
        exact = render(pose)
        truth.insert(Scan(exact, K, pose))
        if number % 2:
            tested.insert(Scan(exact, K, pose))
            soft.insert(Scan(blurred(exact), K, pose))
    judge = VoxelJudge(truth.voxels(), UP)

    exact, spoilt = (judge.figures(made.voxels())['map_phantoms'] for made in (tested, soft))

    assert exact < 0.05
    assert spoilt > 2 * exact


@pytest.mark.parametrize(
    ('name', 'module', 'package'),
    [('octomap', 'octomap', 'octomap-python'), ('tsdf', 'open3d', 'open3d-cpu')],
)
def test_missing_mapper_is_one_line_that_names_its_package(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for part in ('octomap_tree', 'tsdf_grid'):
        monkeypatch.delitem(sys.modules, f'moe3d_engine.lab.mappers.{part}', raising=False)

    with pytest.raises(ConfigError, match=f'pip install {package}') as error:
        open_mapper(name)

    assert '\n' not in str(error.value)


def test_unknown_mapper_poses_and_tolerance_are_refused() -> None:
    with pytest.raises(ConfigError, match='octomap, tsdf'):
        open_mapper('elevation')
    with pytest.raises(ConfigError, match='--map-poses'):
        MapOptions(('octomap',), poses='odom')
    with pytest.raises(ConfigError, match='--map-tolerance'):
        MapOptions(('octomap',), tolerance_m=-1.0)


def test_baseline_is_soft_or_a_checkpoint() -> None:
    with pytest.raises(ConfigError, match='soft or a checkpoint'):
        open_baseline('vggt', 'moe3d-small')


def test_baseline_without_torch_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'moe3d_engine.lab.training.predict', None)

    with pytest.raises(ConfigError, match='pip install torch safetensors'):
        open_baseline('soft', 'moe3d-small')


def test_baseline_of_the_weights_own_experts_has_the_metres_of_the_run() -> None:
    pytest.importorskip('torch')
    whole = outcome(0).result
    assert isinstance(whole, Reconstruction)
    height, width = find_weights('moe3d-small').spec.input_hw
    view = View(np.zeros((height, width, 3), np.uint8), K)
    raw = np.full((1, height, width), 3.0, np.float32)
    result = replace(whole, views=(view,), depth=raw, depth_raw=raw)

    depth = open_baseline('soft', 'moe3d-small')(result)

    assert depth.shape == (height, width)
    assert np.isfinite(depth).all()
    assert np.median(3.0 / depth) == pytest.approx(1.0, abs=1e-4)
    assert depth.std() > 0
