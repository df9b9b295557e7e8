"""The pose of an image by points: far starts, outliers, guesses, and what no pose explains."""

from __future__ import annotations

from moe3d_engine.geometry.rigid import motion_between
from moe3d_engine.mapping.pose import estimate_pose
from moe3d_engine.types import Float64Array
import numpy as np

from .conftest import INTRINSICS
from .conftest import PointScene

SURE = 0.002  # relative doubt about a point's distance


def pose_error(estimate: Float64Array, truth: Float64Array) -> tuple[float, float]:
    """Return the errors of a pose in m and rad."""
    error = motion_between(truth, estimate)
    return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))


def test_start_sixty_pixels_off_is_near_enough(scene: PointScene) -> None:
    truth = scene.cam_from_map[4]
    doubt = SURE * scene.points

    found = estimate_pose(scene.points, scene.pixels(4), INTRINSICS, np.eye(4), doubt)

    assert found is not None
    assert max(pose_error(found.cam_from_map, truth)) < 1e-4
    assert found.inliers.all()


def test_four_points_in_ten_that_moved_on_their_own_are_outliers(scene: PointScene) -> None:
    rng = np.random.default_rng(3)
    pixels = scene.pixels(3) + rng.normal(0, 0.5, (200, 2))
    wrong = rng.random(200) < 0.4
    pixels[wrong] += rng.normal(0, 40, (np.count_nonzero(wrong), 2))

    found = estimate_pose(scene.points, pixels, INTRINSICS, np.eye(4), SURE * scene.points)

    assert found is not None
    translation, rotation = pose_error(found.cam_from_map, scene.cam_from_map[3])
    assert translation < 0.01
    assert rotation < 0.003
    assert np.count_nonzero(found.inliers & wrong) < 12


def test_guessed_distances_do_not_pull_the_pose(scene: PointScene) -> None:
    """Distances that are all 30 % short say nothing of the way if they are known to be guesses."""
    guessed = np.arange(200) >= 40
    points = np.where(guessed[:, None], 0.7 * scene.points, scene.points)
    doubt = np.where(guessed[:, None], 0.6, SURE) * points

    found = estimate_pose(points, scene.pixels(4), INTRINSICS, np.eye(4), doubt)

    assert found is not None
    translation, rotation = pose_error(found.cam_from_map, scene.cam_from_map[4])
    assert translation < 0.01
    assert rotation < 0.002


def test_information_grows_with_the_number_of_points(scene: PointScene) -> None:
    some = slice(0, 50)
    few, many = (
        estimate_pose(
            scene.points[used], scene.pixels(1)[used], INTRINSICS, np.eye(4),
            SURE * scene.points[used],
        )
        for used in (some, slice(None))
    )  # fmt: skip

    assert few is not None
    assert many is not None
    assert np.linalg.eigvalsh(many.information - few.information).min() > 0


def test_five_points_are_too_few_to_contradict_each_other(scene: PointScene) -> None:
    points = scene.points[:5]

    assert estimate_pose(points, scene.pixels(1)[:5], INTRINSICS, np.eye(4), points) is None


def test_points_at_random_have_no_pose(scene: PointScene) -> None:
    pixels = np.random.default_rng(4).uniform(0, 360, (200, 2))

    found = estimate_pose(scene.points, pixels, INTRINSICS, np.eye(4), SURE * scene.points)

    assert found is None or np.count_nonzero(found.inliers) < 20
