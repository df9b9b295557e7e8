"""Voxel maps against the truth: phantoms, cleared surfaces, obstacles, and equal coverage."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.metrics.voxels.judge import up_axis
from moe3d_engine.lab.metrics.voxels.judge import VoxelJudge
from moe3d_engine.lab.metrics.voxels.maps import best_nearby
from moe3d_engine.lab.metrics.voxels.maps import VoxelMap
import numpy as np
import pytest

VOXEL_M = 0.05
UP = np.array([0.0, 0.0, 1.0])


def box(low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    """Return all keys from `low` to `high`, the latter excluded."""
    axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, 3)


def voxel_map(occupied: np.ndarray, free: np.ndarray, evidence: float = 1.0) -> VoxelMap:
    values = np.repeat([evidence, -1.0], [len(occupied), len(free)]).astype(np.float32)
    return VoxelMap(np.concatenate([occupied, free]), values, VOXEL_M)


FLOOR = box((0, 0, 0), (40, 40, 1))
WALL = box((38, 0, 1), (39, 40, 20))
AIR = box((0, 0, 1), (38, 40, 20))
TRUTH = voxel_map(np.concatenate([FLOOR, WALL]), AIR)
GHOST = box((10, 10, 6), (12, 12, 8))  # 8 voxels in the air, 4 cells of the costmap


def test_truth_itself_has_no_phantoms_and_covers_all() -> None:
    figures = VoxelJudge(TRUTH, UP).figures(TRUTH)

    assert figures == {
        'map_phantoms': 0.0, 'map_obstacles_m2': 0.0, 'map_cleared': 0.0, 'map_coverage': 1.0,
    }  # fmt: skip


def test_thing_in_the_air_is_phantoms_and_obstacles_and_clears_nothing() -> None:
    tested = voxel_map(np.concatenate([TRUTH.occupied, GHOST]), np.empty((0, 3), np.int64))

    figures = VoxelJudge(TRUTH, UP).figures(tested)

    assert figures['map_phantoms'] == pytest.approx(8 / (len(TRUTH.occupied) + 8))
    # All cells but the last row (x = 39, floor alone) are known at an obstacle's height: 39 x 40.
    assert figures['map_obstacles_m2'] == pytest.approx(4 / (39 * 40 * VOXEL_M**2))
    assert (figures['map_cleared'], figures['map_coverage']) == (0.0, 1.0)


def test_thing_above_a_robot_is_a_phantom_but_no_obstacle() -> None:
    ceiling = GHOST + np.array([0, 0, 30])
    tested = voxel_map(np.concatenate([TRUTH.occupied, ceiling]), np.empty((0, 3), np.int64))

    figures = VoxelJudge(TRUTH, UP).figures(tested)

    assert figures['map_phantoms'] > 0
    assert figures['map_obstacles_m2'] == 0


def test_wall_within_the_tolerance_is_covered_and_beyond_it_is_phantoms_and_cleared() -> None:
    judge = VoxelJudge(TRUTH, UP, tolerance_m=0.1)
    for step, right in ((2, True), (3, False)):
        moved = np.concatenate([FLOOR, WALL - np.array([step, 0, 0])])
        figures = judge.figures(voxel_map(moved, WALL))

        assert (figures['map_phantoms'] == 0) is right
        assert (figures['map_cleared'] == 0) is right
        assert (figures['map_coverage'] == 1) is right


def test_floor_may_lie_anywhere_and_up_may_be_any_axis() -> None:
    turn = np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]])  # z up becomes y down
    tested = voxel_map(np.concatenate([TRUTH.occupied, GHOST]), AIR)
    figures = VoxelJudge(TRUTH, UP).figures(tested)

    def moved(made: VoxelMap) -> VoxelMap:
        return made._replace(keys=made.keys @ turn.T + np.array([7, -300, 11]))

    again = VoxelJudge(moved(TRUTH), turn @ UP).figures(moved(tested))

    assert again == pytest.approx(figures)


def test_equal_coverage_takes_the_sure_voxels_first() -> None:
    """Unsure ghosts go first; where only equals are left, the mean of a random choice counts."""
    sure, unsure = voxel_map(TRUTH.occupied, AIR, 3.0), voxel_map(GHOST, AIR[:0], 1.0)
    tested = VoxelMap(
        np.concatenate([sure.keys, unsure.keys]),
        np.concatenate([sure.evidence, unsure.evidence]),
        VOXEL_M,
    )
    judge = VoxelJudge(TRUTH, UP)

    assert judge.figures(tested)['map_phantoms'] > 0
    assert judge.figures(tested, 1.0)['map_phantoms'] == 0
    half = judge.figures(tested, 0.5)
    assert half['map_coverage'] == pytest.approx(0.5)
    all_equal = tested._replace(evidence=np.where(tested.evidence > 0, 1, -1).astype(np.float32))
    whole, half = judge.figures(all_equal), judge.figures(all_equal, 0.5)
    assert half['map_phantoms'] == pytest.approx(whole['map_phantoms'])
    assert half['map_obstacles_m2'] == pytest.approx(whole['map_obstacles_m2'] / 2)


def test_coverage_that_a_map_does_not_reach_leaves_it_as_it_is() -> None:
    tested = voxel_map(FLOOR, AIR)
    judge = VoxelJudge(TRUTH, UP)

    assert judge.figures(tested, 1.0) == pytest.approx(judge.figures(tested))


def test_empty_map_covers_nothing_and_has_no_share_of_phantoms() -> None:
    figures = VoxelJudge(TRUTH, UP).figures(voxel_map(GHOST[:0], AIR))

    assert np.isnan(figures['map_phantoms'])
    assert figures['map_coverage'] == 0
    assert figures['map_obstacles_m2'] == 0


def test_nearby_is_a_ball_and_takes_the_most_evidence() -> None:
    keys = np.zeros((1, 3), np.int64)
    others = np.array([[2, 0, 0], [1, 1, 1], [2, 2, 0], [-3, 0, 0]])

    assert best_nearby(keys, others, np.array([1.0, 2.0, 8.0, 9.0]), 2.0) == [2.0]
    assert best_nearby(keys, others[2:], np.array([8.0, 9.0]), 2.0) == [-np.inf]


def test_up_is_where_the_upper_sides_of_the_cameras_point() -> None:
    pose = np.eye(4)  # optical: y down

    assert up_axis([pose, pose]).tolist() == [0, -1, 0]


def test_maps_of_other_voxels_and_a_truth_without_surface_are_refused() -> None:
    with pytest.raises(ShapeError, match='cannot be compared'):
        VoxelJudge(TRUTH, UP).figures(TRUTH._replace(voxel_m=0.1))
    with pytest.raises(ShapeError, match='no surface'):
        VoxelJudge(voxel_map(FLOOR[:0], AIR), UP)
