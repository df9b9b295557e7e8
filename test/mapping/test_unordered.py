"""Images in any order are placed by what they show together, or not at all."""

from __future__ import annotations

from itertools import combinations

import cv2
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.lab.metrics.poses import PairErrors
from moe3d_engine.lab.metrics.poses import relative_pose_errors
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.mapping.camera_map import Tracks
from moe3d_engine.mapping.pairs import agreeing_pair
from moe3d_engine.mapping.unordered import register
from moe3d_engine.mapping.unordered import register_tracks
from moe3d_engine.mapping.unordered import Registration
from moe3d_engine.types import Float64Array
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np
import pytest

from .conftest import INTRINSICS
from .conftest import PointScene
from .conftest import project

ORDER = [0, 3, 1, 4]  # cameras of the scene that are no neighbours


def guess_near(cam_from_world: Float64Array) -> Float64Array:
    """Return poses some degrees and centimetres off; the first is right."""
    guess = cam_from_world.copy()
    guess[1:] = moved(guess[1:], np.random.default_rng(5).normal(0, 0.05, (len(guess) - 1, 6)))
    return guess


def register_points(points: Float64Array, poses: Float64Array, share_wrong: float) -> Registration:
    """Register cameras by matches with 0.3 px of noise, some of them wrong."""
    rng = np.random.default_rng(1)
    pixels = [project(points, pose) + rng.normal(0, 0.3, (len(points), 2)) for pose in poses]
    pairs = []
    for first, second in combinations(range(len(poses)), 2):
        places = np.tile(np.arange(len(points))[:, None], 2)
        wrong = rng.permutation(len(points))[: round(share_wrong * len(points))]
        places[wrong, 1] = rng.permutation(places[wrong, 1])
        matrices = (INTRINSICS, INTRINSICS)
        pair = agreeing_pair((first, second), (pixels[first], pixels[second]), matrices, places)
        pairs += [] if pair is None else [pair]
    assert pairs
    tracks = Tracks.of_pairs(pairs, pixels, np.stack([INTRINSICS] * len(poses)))
    return register_tracks(tracks, pairs, guess_near(poses))


def errors_of(registration: Registration, poses: Float64Array) -> PairErrors:
    """Return the errors of all pairs."""
    return relative_pose_errors(registration.cam_from_world, poses)


@pytest.mark.parametrize('count', [2, 4])
def test_a_third_of_wrong_matches_does_not_move_the_poses(scene: PointScene, count: int) -> None:
    poses = scene.cam_from_map[ORDER[:count]]

    found = register_points(scene.points, poses, share_wrong=0.3)

    assert found.registered.all()
    assert errors_of(found, poses).rotation_deg.max() < 0.2
    assert errors_of(found, poses).translation_deg.max() < 2.0
    np.testing.assert_array_equal(found.cam_from_world[0], poses[0])


def test_points_lie_where_the_views_see_them(scene: PointScene) -> None:
    found = register_points(scene.points, scene.cam_from_map[ORDER], share_wrong=0.0)

    for pose, points in zip(found.cam_from_world, found.points, strict=True):
        assert points is not None
        error = np.linalg.norm(project(points.points_odom, pose) - points.pixels, axis=1)
        assert np.median(error) < 0.5
        depth = (points.points_odom @ pose[:3, :3].T + pose[:3, 3])[:, 2]
        np.testing.assert_allclose(points.depth, depth)


def test_a_camera_that_only_turns_is_not_registered(scene: PointScene) -> None:
    turns = np.array([[0.0, 0.0, 0.0, 0.0, 0.05 * k, 0.0] for k in range(3)])
    poses = moved(np.tile(np.eye(4), (3, 1, 1)), turns)

    found = register_points(scene.points, poses, share_wrong=0.0)

    assert not found.registered.any()
    np.testing.assert_array_equal(found.cam_from_world, guess_near(poses))


def test_a_view_that_shares_nothing_keeps_its_guess(scene: PointScene) -> None:
    elsewhere = np.random.default_rng(3).uniform(0, 360, (200, 2))
    poses = scene.cam_from_map[ORDER[:3]]
    pixels = [project(scene.points, pose) for pose in poses[:2]] + [elsewhere]
    places = np.tile(np.arange(200)[:, None], 2)
    matrices = (INTRINSICS, INTRINSICS)
    found = [
        agreeing_pair((i, j), (pixels[i], pixels[j]), matrices, places)
        for i, j in combinations(range(3), 2)
    ]
    pairs = [pair for pair in found if pair is not None]
    tracks = Tracks.of_pairs(pairs, pixels, np.stack([INTRINSICS] * 3))

    result = register_tracks(tracks, pairs, guess_near(poses))

    assert result.registered.tolist() == [True, True, False]
    np.testing.assert_array_equal(result.cam_from_world[2], guess_near(poses)[2])


def test_a_new_unit_keeps_the_anchor_and_what_is_not_registered() -> None:
    poses = moved(np.tile(np.eye(4), (3, 1, 1)), np.random.default_rng(0).normal(0, 1, (3, 6)))
    nothing = Registration(poses, (None, None, None))
    some = Registration(poses, (None, *register_fake(2)), anchor=1)

    np.testing.assert_array_equal(nothing.in_unit(2.0), poses)
    np.testing.assert_allclose(some.in_unit(2.0)[:2], poses[:2], atol=1e-12)
    before, after = (p[2] @ invert_rigid(p[1]) for p in (poses, some.in_unit(2.0)))
    np.testing.assert_allclose(after[:3, 3], 2.0 * before[:3, 3], atol=1e-12)


def register_fake(count: int) -> list[SparsePoints]:
    """Return what registered views see: nothing in particular."""
    return [SparsePoints(np.empty((0, 2)), np.empty(0), np.empty((0, 3)))] * count


def textured(seed: int, side: int = 240) -> UInt8Array:
    """Return a grey noise of blobs (H, W)."""
    noise = np.random.default_rng(seed).integers(0, 256, (side // 6, side // 6), np.uint8)
    return np.asarray(cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def tiled(shift: int) -> UInt8Array:
    """Return a wallpaper (240, 240) that repeats every 24 pixels."""
    return np.asarray(np.roll(np.tile(textured(9, 24), (10, 10)), shift, axis=1), np.uint8)


TROUBLES = {
    'identical': [textured(0), textured(0)],
    'no overlap': [textured(1), textured(2), textured(3)],
    'repeated texture': [tiled(0), tiled(7)],
    'plain': [np.full((120, 160), 90, np.uint8)] * 4,
    'tiny': [textured(4)[:9, :9]] * 2,
    'one line': [textured(5)[:1]] * 2,
}


@pytest.mark.parametrize('name', TROUBLES)
def test_nothing_is_made_up_of(name: str) -> None:
    grays = TROUBLES[name]
    views = [View(np.repeat(gray[..., None], 3, axis=2)) for gray in grays]
    intrinsics = np.stack([np.array([[200.0, 0, 120], [0, 200.0, 120], [0, 0, 1]])] * len(views))
    guess = guess_near(np.tile(np.eye(4), (len(views), 1, 1)))

    found = register(views, intrinsics, guess)

    assert not found.registered.any()
    np.testing.assert_array_equal(found.cam_from_world, guess)


def test_rendered_views_are_placed_to_less_than_a_degree() -> None:
    item = render_set(5001, num_views=3, image_hw=(180, 240))
    poses = invert_rigid(item.world_from_cam)
    views = [View(image) for image in item.rgb]

    found = register(views, item.intrinsics, guess_near(poses))

    assert found.registered.all()
    assert np.median(errors_of(found, poses).rotation_deg) < 1.0
    assert np.median(errors_of(found, poses).translation_deg) < 3.0
