"""Bundle adjustment finds cameras and points again, whatever fixes the unit."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import motion_between
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.mapping.bundle import adjust
from moe3d_engine.mapping.bundle import Bundle
from moe3d_engine.mapping.bundle import RelativeMotion
from moe3d_engine.mapping.bundle import reprojection
from moe3d_engine.types import Float64Array
import numpy as np
import pytest

from .conftest import INTRINSICS
from .conftest import PointScene


def perturbed(scene: PointScene, fixed: int, noise_px: float = 0.0, seed: int = 1) -> Bundle:
    """Return the scene's bundle with cameras off by 2 cm and 1 deg and points by 10 %."""
    rng = np.random.default_rng(seed)
    cameras, points = len(scene.cam_from_map), len(scene.points)
    camera, point = (i.ravel() for i in np.indices((cameras, points)))
    pixels = np.concatenate([scene.pixels(k) for k in range(cameras)])
    free = scene.cam_from_map[fixed:]
    return Bundle(
        np.concatenate(
            [scene.cam_from_map[:fixed], moved(free, rng.normal(0, 0.02, (len(free), 6)))]
        ),
        scene.points * (1 + rng.normal(0, 0.1, (points, 1))),
        camera,
        point,
        pixels + rng.normal(0, noise_px, pixels.shape),
        np.repeat(INTRINSICS[None], cameras, axis=0),
        fixed=fixed,
    )


def errors(scene: PointScene, bundle: Bundle) -> Float64Array:
    """Return the error of each camera, (C, 6)."""
    return motion_between(scene.cam_from_map, bundle.cam_from_map)


def test_cameras_and_points_are_found_exactly_without_noise(scene: PointScene) -> None:
    bundle = perturbed(scene, fixed=2)

    adjust(bundle, iterations=20, tolerance=1e-12)

    np.testing.assert_allclose(errors(scene, bundle), 0.0, atol=1e-6)
    np.testing.assert_allclose(bundle.points, scene.points, atol=1e-4)


def test_one_sighting_in_ten_that_is_wrong_moves_no_camera(scene: PointScene) -> None:
    bundle = perturbed(scene, fixed=2, noise_px=0.3)
    rng = np.random.default_rng(2)
    wrong = rng.random(len(bundle.pixels)) < 0.1
    bundle.pixels[wrong] += rng.normal(0, 30, (np.count_nonzero(wrong), 2))

    adjust(bundle, iterations=15)

    off = np.abs(errors(scene, bundle)).max(axis=0)
    assert off[:3].max() < 0.01
    assert off[3:].max() < 0.003


def test_length_of_the_first_way_stays_where_only_it_gives_the_unit(scene: PointScene) -> None:
    bundle = perturbed(scene, fixed=1)
    bundle.cam_from_map[1, :3, 3] *= 1.1
    before = np.linalg.norm(invert_rigid(bundle.cam_from_map[1])[:3, 3])
    bundle.keep_length = True

    adjust(bundle, iterations=40, tolerance=1e-9)

    after = np.linalg.norm(invert_rigid(bundle.cam_from_map[1])[:3, 3])
    assert after == pytest.approx(before, rel=0.02)
    assert np.abs(reprojection(bundle)).mean() < 0.05


def test_measured_motions_give_the_unit(scene: PointScene) -> None:
    bundle = perturbed(scene, fixed=1)
    centre = bundle.cam_from_map[:, :3, 3] * 1.3
    bundle.cam_from_map[:, :3, 3], bundle.points = centre, bundle.points * 1.3
    for second in range(1, 5):
        motion = scene.cam_from_map[second] @ invert_rigid(scene.cam_from_map[second - 1])
        information = np.diag(np.repeat([0.002, 0.01], 3) ** -2)
        bundle.motions.append(RelativeMotion(second - 1, second, motion, information))

    adjust(bundle, iterations=30, tolerance=1e-9)

    np.testing.assert_allclose(errors(scene, bundle), 0.0, atol=2e-3)


def test_measured_depth_gives_the_unit(scene: PointScene) -> None:
    bundle = perturbed(scene, fixed=1)
    depth = scene.points @ scene.cam_from_map[0, 2, :3] + scene.cam_from_map[0, 2, 3]
    bundle.log_depth = np.where(bundle.camera == 0, np.log(depth)[bundle.point], np.nan)
    bundle.log_depth_std = np.full(len(bundle.pixels), 0.02)

    adjust(bundle, iterations=30, tolerance=1e-9)

    np.testing.assert_allclose(errors(scene, bundle), 0.0, atol=2e-3)


def test_point_behind_a_camera_is_no_number_but_no_crash(scene: PointScene) -> None:
    bundle = perturbed(scene, fixed=2)
    bundle.points[0, 2] = -1.0

    adjust(bundle)

    assert np.isinf(reprojection(bundle)[bundle.point == 0]).any()
    assert np.isfinite(bundle.cam_from_map).all()
