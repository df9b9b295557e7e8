"""A map begins with two images that determine their pose, and not before."""

from __future__ import annotations

from dataclasses import replace
import math

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.mapping.sparse_map import Points
from moe3d_engine.mapping.sparse_map import PointState
from moe3d_engine.mapping.sparse_map import SparseMap
from moe3d_engine.mapping.start import relative_pose
from moe3d_engine.mapping.start import start_pose
from moe3d_engine.types import Float64Array
from moe3d_engine.types import MotionErrors
from moe3d_engine.types import PosePrior
import numpy as np
import pytest

from .conftest import INTRINSICS
from .conftest import PointScene
from .conftest import project


def keyframes(
    scene: PointScene, second: Float64Array, *, odometry: bool = False
) -> tuple[SparseMap, Keyframe, Keyframe]:
    """Return a map that knows no point, and two images of it."""
    sparse_map = SparseMap()
    identities = sparse_map.new_identities(len(scene.points))
    made = [
        Keyframe(
            stamp, np.eye(4), identities, project(scene.points, pose), INTRINSICS,
            PosePrior(pose, 'odometry') if odometry else None,
        )
        for stamp, pose in enumerate((np.eye(4), second))
    ]  # fmt: skip
    return sparse_map, made[0], made[1]


def guess(sparse_map: SparseMap, scene: PointScene, factor: float) -> None:
    """Let the map know the points at so many times their distance."""
    states = np.full(len(scene.points), PointState.GUESSED, np.uint8)
    places = factor * scene.points
    sparse_map.set_points(np.arange(len(places)), Points(places, states, 0.5 * places))


def length(pose: Float64Array) -> float:
    """Return how far the second camera is from the first."""
    return float(np.linalg.norm(invert_rigid(pose)[:3, 3]))


def test_direction_and_rotation_come_from_matches_alone(scene: PointScene) -> None:
    truth = scene.cam_from_map[4]

    pose = relative_pose(scene.pixels(0), scene.pixels(4), INTRINSICS)

    assert pose is not None
    np.testing.assert_allclose(pose[:3, :3], truth[:3, :3], atol=1e-4)
    np.testing.assert_allclose(pose[:3, 3], truth[:3, 3] / length(truth), atol=1e-3)


def test_guessed_depth_gives_the_length(scene: PointScene) -> None:
    truth = scene.cam_from_map[4]
    sparse_map, first, second = keyframes(scene, truth)
    guess(sparse_map, scene, 1.2)

    start = start_pose(sparse_map, first, second, 5.0, by_odometry=True)

    assert start is not None
    assert start.unit_known
    assert length(start.second_from_first) == pytest.approx(1.2 * length(truth), rel=0.01)


def test_odometry_gives_the_length_before_guesses_do(scene: PointScene) -> None:
    truth = scene.cam_from_map[4]
    sparse_map, first, second = keyframes(scene, truth, odometry=True)
    guess(sparse_map, scene, 1.2)

    by_both = start_pose(sparse_map, first, second, 5.0, by_odometry=True)
    by_guess = start_pose(sparse_map, first, second, 5.0, by_odometry=False)

    assert by_both is not None
    assert by_guess is not None
    assert length(by_both.second_from_first) == pytest.approx(length(truth), rel=1e-6)
    assert length(by_guess.second_from_first) == pytest.approx(1.2 * length(truth), rel=0.01)
    assert by_guess.log_std is None


@pytest.mark.parametrize('way_share', [0.01, 0.1])
def test_length_by_odometry_is_as_sure_as_odometry_is_said_to_be(
    scene: PointScene, way_share: float
) -> None:
    truth = scene.cam_from_map[4]
    sparse_map, first, second = keyframes(scene, truth, odometry=True)
    assert second.prior is not None
    second.prior = replace(second.prior, errors=MotionErrors(way_share))

    start = start_pose(sparse_map, first, second, 5.0, by_odometry=True)

    assert start is not None
    assert start.log_std == pytest.approx(math.hypot(0.003 / length(truth), way_share))


def test_unit_is_one_way_while_nobody_knows_a_length(scene: PointScene) -> None:
    start = start_pose(*keyframes(scene, scene.cam_from_map[4]), 5.0, by_odometry=True)

    assert start is not None
    assert not start.unit_known
    assert length(start.second_from_first) == pytest.approx(1.0)


def test_pure_rotation_begins_no_map(scene: PointScene) -> None:
    sparse_map, first, second = keyframes(
        scene, moved(np.eye(4), np.array([0.0, 0.0, 0.0, 0.02, 0.1, 0.0]))
    )
    guess(sparse_map, scene, 1.0)

    assert start_pose(sparse_map, first, second, 5.0, by_odometry=True) is None


def test_matches_at_random_have_no_pose(scene: PointScene) -> None:
    pixels = np.random.default_rng(5).uniform(0, 360, (200, 2))

    assert relative_pose(scene.pixels(0), pixels, INTRINSICS) is None
