"""Maps: a wall fuses to a wall, and a flying curtain costs precision and free space."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.metrics.mapping import free_space_violation
from moe3d_engine.lab.metrics.mapping import fuse_depth
from moe3d_engine.lab.metrics.reconstruction import f_score

K = np.array([[40.0, 0, 19.5], [0, 40.0, 14.5], [0, 0, 1]])
POSES = [np.eye(4), np.eye(4)]
POSES[1][0, 3] = -0.1  # the second camera stands 10 cm to the right


def step() -> np.ndarray:
    depth = np.full((30, 40), 2.0, np.float32)
    depth[:, 20:] = 1.0
    return depth


def blurred() -> np.ndarray:
    depth = step()
    depth[:, 18:22] = [1.8, 1.6, 1.4, 1.2]
    return depth


def points_of(depth: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(depth.shape)
    rays = np.stack([columns, rows, np.ones(depth.shape)], -1) @ np.linalg.inv(K).T
    return (rays * depth[..., None]).reshape(-1, 3)


def test_fused_wall_lies_on_the_wall() -> None:
    wall = np.full((30, 40), 2.0, np.float32)

    surface = fuse_depth([wall, wall], [K, K], POSES, voxel_m=0.05)

    assert len(surface) > 100
    assert np.abs(surface[:, 2] - 2.0).max() <= 0.05


def test_flying_curtain_lowers_precision_of_the_map_and_not_its_recall() -> None:
    truth = points_of(step() + 0.01)  # off the borders of voxels
    sharp, soft = (
        f_score(fuse_depth([depth + 0.01], [K], POSES[:1], voxel_m=0.04), truth)
        for depth in (step(), blurred())
    )

    assert soft.precision < sharp.precision - 0.01
    assert sharp.precision > 0.95


def test_points_before_the_true_surface_violate_free_space() -> None:
    assert free_space_violation(points_of(step()), step(), K) == 0.0

    violated = free_space_violation(points_of(blurred()), step(), K)

    assert violated == pytest.approx(2 / 40)  # the two columns of the curtain before the wall


def test_rays_without_true_depth_judge_nothing() -> None:
    unknown = np.full((30, 40), np.nan, np.float32)

    assert np.isnan(free_space_violation(points_of(step()), unknown, K))
