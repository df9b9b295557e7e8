"""What motion and depth say of the scale, in simulation."""

from __future__ import annotations

from itertools import pairwise
import math

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.scale.depth_ratio import depth_observation
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.scale.estimator import ScaleObservation
from moe3d_engine.scale.motion import MAX_POSES
from moe3d_engine.scale.motion import MotionObserver
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
import numpy as np
from numpy.random import Generator
import pytest

FACTOR = 1.3  # metres per unit of the map
POSITION_STD = 0.015  # of vision, in units of the map
K = np.array([[400.0, 0.0, 320.0], [0.0, 400.0, 240.0], [0.0, 0.0, 1.0]])
IMAGE_HW = (480, 640)


def rotation(angle: float) -> Float64Array:
    """Return a rotation about the vertical axis by an angle in rad."""
    return rotation_from_quaternion([0.0, math.sin(angle / 2), 0.0, math.cos(angle / 2)])


def pose(position: Float64Array, angle: float) -> Float64Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(angle), position
    return matrix


def walk(num_poses: int, step_m: float = 0.08, turn: float = 0.03) -> list[Float64Array]:
    """Return world_from_cam along a curved way."""
    poses = [np.eye(4)]
    for _ in range(num_poses - 1):
        step = np.eye(4)
        step[:3, :3], step[2, 3] = rotation(turn), step_m
        poses.append(poses[-1] @ step)
    return poses


def drifting(poses: list[Float64Array], rng: Generator, share: float) -> list[Float64Array]:
    """Return what odometry says: steps with white noise of that share, .1 deg of rotation."""
    said = [pose(np.array([5.0, -2.0, 1.0]), 0.7)]  # its world is another one
    for before, after in pairwise(poses):
        step = invert_rigid(before) @ after
        step[:3, 3] *= 1 + rng.normal(0, share)
        step[:3, :3] = step[:3, :3] @ rotation(rng.normal(0, math.radians(0.1)))
        said.append(said[-1] @ step)
    return said


def by_vision(poses: list[Float64Array], rng: Generator, std: float) -> list[Float64Array]:
    """Return what vision says: poses in units of the map, with white noise."""
    seen = [matrix.copy() for matrix in poses]
    for matrix in seen:
        matrix[:3, 3] = matrix[:3, 3] / FACTOR + rng.normal(0, std, 3)
    return seen


def observe_all(
    seen: list[Float64Array], said: list[Float64Array], std: float = POSITION_STD
) -> list[ScaleObservation]:
    observer = MotionObserver()
    found = [
        observer.observe(k * 100_000_000, m, std, PosePrior(invert_rigid(w), 'odometry'))
        for k, (m, w) in enumerate(zip(seen, said, strict=True))
    ]
    return [observation for observation in found if observation]


def scale_error_and_std(observations: list[ScaleObservation]) -> tuple[float, float]:
    estimator = ScaleEstimator(ScaleConfig(), metric_weights=True)
    for observation in observations:
        estimator.observe(observation)
    assert estimator.scale.source == 'odometry'
    return abs(math.log(estimator.scale.factor / FACTOR)), estimator.scale.std


def test_deviation_covers_the_error_after_forty_keyframes_of_one_percent_odometry() -> None:
    rng = np.random.default_rng(0)
    errors, covered = [], []
    for _ in range(50):
        poses = walk(40)
        seen, said = by_vision(poses, rng, POSITION_STD), drifting(poses, rng, 0.01)
        error, std = scale_error_and_std(observe_all(seen, said))
        errors.append(error)
        covered.append(error <= 2 * std)

    assert np.mean(covered) >= 0.93
    assert np.median(errors) < 0.006


def test_pure_rotation_gives_no_observation() -> None:
    rng = np.random.default_rng(1)
    poses = [pose(np.zeros(3), 0.05 * k) for k in range(200)]

    assert not observe_all(by_vision(poses, rng, POSITION_STD), drifting(poses, rng, 0.01))


def test_standing_still_gives_no_observation() -> None:
    rng = np.random.default_rng(2)
    poses = [np.eye(4)] * 200
    noisy = [pose(rng.normal(0, 0.003, 3), 0.0) for _ in poses]

    assert not observe_all(by_vision(poses, rng, POSITION_STD), noisy)
    assert not observe_all([np.eye(4)] * 20, [np.eye(4)] * 20, 0.0)


@pytest.mark.parametrize('still', ['vision', 'odometry'])
def test_motion_that_only_one_of_them_sees_gives_no_observation(still: str) -> None:
    moving, standing = walk(60), [np.eye(4)] * 60

    pair = (standing, moving) if still == 'vision' else (moving, standing)

    assert not observe_all(*pair)


def test_another_direction_is_no_observation_of_the_scale() -> None:
    poses = walk(40, turn=0.0)
    sideways = [pose(np.array([m[2, 3], 0.0, 0.0]), 0.0) for m in poses]

    assert not observe_all(poses, sideways)


def test_observations_of_motion_are_not_more_certain_than_their_scatter() -> None:
    rng = np.random.default_rng(3)
    poses = walk(800)

    observations = observe_all(by_vision(poses, rng, POSITION_STD), drifting(poses, rng, 0.01))

    sigmas = [(o.log_ratio - math.log(FACTOR)) / o.std for o in observations]
    assert len(observations) > 500
    assert np.std(sigmas) < 1.1


def test_keyframes_are_forgotten() -> None:
    observer = MotionObserver()
    prior = PosePrior(np.eye(4), 'odometry')
    for k in range(1000):
        observer.observe(k * 1_000_000, np.eye(4), 0.01, prior)
    kept = len(observer._past)
    observer.observe(10**12, np.eye(4), 0.01, prior)

    assert kept <= MAX_POSES
    assert len(observer._past) == 1


def test_depth_ratio_is_found_among_a_third_of_wrong_points() -> None:
    rng = np.random.default_rng(4)
    units = rng.uniform(1, 5, 300)
    metres = units * FACTOR * np.exp(rng.normal(0, 0.05, 300))
    metres[:100] *= rng.uniform(1.5, 4, 100)

    observation = depth_observation(metres, units, 7, 'reference_depth')

    assert observation is not None
    assert observation.stamp_ns == 7
    assert abs(observation.log_ratio - math.log(FACTOR)) < 0.05
    clean = depth_observation(metres[100:], units[100:], 7, 'reference_depth')
    assert clean is not None
    assert abs(clean.log_ratio - math.log(FACTOR)) < 3 * clean.std < 0.05


def test_few_common_depths_are_no_observation() -> None:
    metres = np.array([np.nan, np.inf, 0.0, -1.0, *[2.0] * 11])

    assert depth_observation(metres, np.ones(15), 0, 'network') is None


@pytest.mark.parametrize('keep', [1.0, 0.01])
def test_reference_depth_is_looked_up_dense_or_sparse(keep: float) -> None:
    """A slanted wall; pixels beside what was measured stay unknown."""
    rng = np.random.default_rng(5)
    v, u = np.mgrid[: IMAGE_HW[0], : IMAGE_HW[1] // 2].reshape(2, -1)
    kept = rng.random(u.size) < keep
    u, v = u[kept], v[kept]
    z = 2.0 + 0.002 * u
    points = np.stack([(u - 320) / 400 * z, (v - 240) / 400 * z, z], axis=1)
    pixels = rng.uniform(0, [639, 479], (500, 2))

    depth = ReferenceDepth(0, points).at(pixels, K, IMAGE_HW)

    left = pixels[:, 0] < 310
    known = np.isfinite(depth)
    assert not known[pixels[:, 0] > 330].any()
    assert known[left].mean() > (0.99 if keep == 1.0 else 0.3)
    np.testing.assert_allclose(depth[known], 2.0 + 0.002 * pixels[known, 0], rtol=0.01)


def test_reference_depth_is_unknown_between_two_surfaces() -> None:
    points = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.5, 0.0, 1.0]])

    depth = ReferenceDepth(0, points).at(np.array([[320.0, 240.0], [520.0, 240.0]]), K, IMAGE_HW)

    np.testing.assert_array_equal(depth, [np.nan, 1.0])


def test_reference_points_that_no_camera_sees_do_no_harm() -> None:
    points = np.array([[np.nan, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [np.inf, 0.0, 1.0]])

    for given in (points, np.zeros((0, 3))):
        depth = ReferenceDepth(0, given).at(np.array([[320.0, 240.0], [-9.0, 5.0]]), K, IMAGE_HW)
        assert np.isnan(depth).all()
    with pytest.raises(ShapeError):
        ReferenceDepth(0, np.zeros((4, 2)))
