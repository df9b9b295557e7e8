"""Two frames of a wall put it in one place, or as far apart as their depth and poses say."""

from __future__ import annotations

from collections.abc import Callable

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.runs.poses.place_judge import APART
from moe3d_engine.lab.runs.poses.place_judge import PlaceJudge
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import Scale
from moe3d_engine.types import View
import numpy as np
import pytest

HW = (24, 32)
K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])
WALL_M = 3.0


def true_pose(number: int) -> Float64Array:
    """Return world_from_cam of a camera that walks towards the wall and beside it."""
    pose = np.eye(4)
    pose[:3, 3] = 0.05 * number, 0.0, 0.02 * number
    return pose


def figures(
    depth_of: Callable[[int, np.ndarray], np.ndarray] = lambda number, truth: truth,
    odom_from_world: Float64Array | None = None,
    drift_m: float = 0.0,
    num_frames: int = 2 * APART,
) -> dict[str, float]:
    """Judge frames whose depth is made of the truth, at poses that drift in y."""
    judge = PlaceJudge()
    image = np.zeros((*HW, 3), np.uint8)
    for number in range(num_frames):
        truth = np.full(HW, WALL_M - 0.02 * number, np.float32)
        odom_from_cam = (np.eye(4) if odom_from_world is None else odom_from_world) @ true_pose(
            number
        )
        odom_from_cam[1, 3] += drift_m * number
        view = View(image, K, number, pose=PosePrior(invert_rigid(odom_from_cam), 'tracking'))
        depth = depth_of(number, truth)[None].astype(np.float32)
        raw = RawOutputs(depth, depth, depth, np.zeros((1, 9), np.float32), depth)
        result = Reconstruction(
            (view,), (0,), image[None], K[None], depth, depth, depth, np.eye(4)[None],
            Scale(1.0, 0.0, 'fixed', True, 'locked'), raw,
        )  # fmt: skip
        judge.add(result, true_pose(number), truth)
    return judge.figures()


def test_exact_depth_and_poses_agree_in_any_frame_of_odometry() -> None:
    turned = np.eye(4)
    turned[:3, :3] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    turned[:3, 3] = 5.0, -2.0, 1.0

    # Rays hit the wall at pixels; the nearest pixel of the other frame is half of one off.
    half_a_pixel_m = 0.5 * np.hypot(1, 1) * WALL_M / 30.0
    assert figures(odom_from_world=turned)['place_m'] < half_a_pixel_m
    assert figures(odom_from_world=turned) == pytest.approx(figures())


def test_depth_that_changes_from_frame_to_frame_is_told_and_a_common_error_is_not() -> None:
    changing = figures(lambda number, truth: truth + 0.3 * (number >= APART))
    common = figures(lambda number, truth: 1.2 * truth)

    assert changing['place_m'] == pytest.approx(0.3, abs=0.08)
    assert common['place_m'] < 0.1


def test_drift_between_the_frames_is_told() -> None:
    assert figures(drift_m=0.1)['place_m'] == pytest.approx(0.1 * APART, abs=0.05)


def test_what_is_rejected_or_seen_by_one_frame_alone_is_not_judged() -> None:
    assert figures(lambda number, truth: np.full_like(truth, np.nan)) == {}
    assert figures(num_frames=APART) == {}
