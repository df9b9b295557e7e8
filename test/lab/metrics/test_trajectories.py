"""Errors of tracked poses: what no frame changes, scale on the way, honest covariances."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.metrics.poses import trajectory_errors
from moe3d_engine.lab.metrics.trajectories import local_scales
from moe3d_engine.lab.metrics.trajectories import NEES_BAND
from moe3d_engine.lab.metrics.trajectories import NEES_BOUND
from moe3d_engine.lab.metrics.trajectories import normalized_errors
from moe3d_engine.lab.metrics.trajectories import path_length
from moe3d_engine.lab.metrics.trajectories import pose_errors
from moe3d_engine.lab.metrics.trajectories import truth_in_odom
from scipy.spatial.transform import Rotation
from scipy.stats import chi2


def walk(count: int = 60, step_m: float = 0.1) -> np.ndarray:
    """Return world_from_cam of a camera that turns while it walks, in a world of its own."""
    angles = 0.05 * np.arange(count)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler('yx', np.stack([angles, 0.3 * angles], 1)).as_matrix()
    steps = step_m * poses[:-1, :3, 2]
    poses[1:, :3, 3] = np.cumsum(steps, axis=0)
    return turned(0.7, [5.0, -2.0, 1.0]) @ poses


def turned(angle: float, position: list[float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.2 * angle, angle, 0.1]).as_matrix()
    pose[:3, 3] = position
    return pose


def scaled(poses: np.ndarray, factor: float) -> np.ndarray:
    """Return the poses in the frame of the first one, their way `factor` times as long."""
    odom = invert_rigid(poses[0]) @ poses
    odom[:, :3, 3] *= factor
    return odom


def test_truth_begins_where_tracking_does_and_keeps_every_motion() -> None:
    world_from_cam = walk()
    odom_from_cam = scaled(world_from_cam, 1.0)

    true = truth_in_odom(odom_from_cam, world_from_cam)

    np.testing.assert_allclose(true, odom_from_cam, atol=1e-12)
    assert path_length(true) == pytest.approx(59 * 0.1)


def test_errors_are_along_the_axes_of_odom_and_turn_about_them() -> None:
    true = scaled(walk(), 1.0)
    expected = np.array([0.01, -0.02, 0.03, 0.004, -0.005, 0.006])
    tracked = true.copy()
    tracked[:, :3, 3] += expected[:3]
    tracked[:, :3, :3] = Rotation.from_rotvec(expected[3:]).as_matrix() @ true[:, :3, :3]

    errors = pose_errors(tracked, true)

    np.testing.assert_allclose(errors, np.tile(expected, (len(true), 1)), atol=1e-12)


def test_honest_covariances_give_the_chi_square_and_others_leave_its_band(
    rng: np.random.Generator,
) -> None:
    factor = rng.normal(size=(6, 6))
    covariance = np.tile(factor @ factor.T + 0.1 * np.eye(6), (4000, 1, 1))
    errors = rng.multivariate_normal(np.zeros(6), covariance[0], size=len(covariance))

    def in_band(times: float) -> float:
        nees = normalized_errors(errors, times * covariance)
        return float(np.mean((nees >= NEES_BAND[0]) & (nees <= NEES_BAND[1])))

    assert normalized_errors(errors, covariance).mean() == pytest.approx(6.0, rel=0.05)
    assert in_band(1.0) == pytest.approx(0.95, abs=0.015)
    assert in_band(0.25) < 0.5
    assert in_band(9.0) < 0.5


def test_band_and_bound_are_quantiles_of_the_chi_square() -> None:
    assert chi2.ppf([0.025, 0.975, 0.95], 6) == pytest.approx([*NEES_BAND, NEES_BOUND], abs=1e-4)


def test_covariance_that_claims_certainty_is_refused() -> None:
    certain = np.diag([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])[None]

    with pytest.raises(ShapeError, match='positive definite'):
        normalized_errors(np.zeros((1, 6)), certain)
    with pytest.raises(ShapeError, match=r'\(1, 6, 6\)'):
        normalized_errors(np.zeros((1, 6)), np.eye(6))


@pytest.mark.parametrize('factor', [0.8, 1.0, 1.3])
def test_scale_on_the_way_is_the_factor_of_the_trajectory(factor: float) -> None:
    world_from_cam = walk()

    scales = local_scales(scaled(world_from_cam, factor), world_from_cam)

    assert np.isnan(scales[:10]).all()  # ten steps are a metre
    np.testing.assert_allclose(scales[11:], factor, rtol=1e-9)


def test_scale_on_the_way_follows_a_change_and_noise_does_not_lengthen_it(
    rng: np.random.Generator,
) -> None:
    world_from_cam = walk(200)
    tracked = scaled(world_from_cam, 1.0)
    steps = np.diff(tracked[:, :3, 3], axis=0)
    steps[100:] *= 1.2
    tracked[1:, :3, 3] = np.cumsum(steps, axis=0)
    noisy = tracked.copy()
    noisy[:, :3, 3] += rng.normal(scale=0.02, size=(len(noisy), 3))

    exact, scales = (local_scales(poses, world_from_cam) for poses in (tracked, noisy))

    assert exact[50] == pytest.approx(1.0)
    assert exact[150] == pytest.approx(1.2)
    assert path_length(noisy) > 1.05 * path_length(tracked)
    assert np.nanmean(scales[:100]) == pytest.approx(1.0, abs=0.01)
    assert np.nanmean(scales[112:]) == pytest.approx(1.2, abs=0.01)


def test_camera_that_rests_has_no_scale() -> None:
    rest = np.tile(np.eye(4), (5, 1, 1))

    assert np.isnan(local_scales(rest, rest)).all()


def test_rigid_alignment_shows_the_scale_that_a_similarity_hides() -> None:
    pytest.importorskip('evo')
    world_from_cam = walk()
    tracked = scaled(world_from_cam, 1.1)

    assert trajectory_errors(tracked, world_from_cam).ate_rmse_m < 1e-6
    rigid = trajectory_errors(tracked, world_from_cam, correct_scale=False)
    assert rigid.ate_rmse_m > 0.05
    assert rigid.rpe_translation_rmse_m == pytest.approx(0.01)


def test_poses_of_different_number_are_refused() -> None:
    with pytest.raises(ShapeError, match='one shape'):
        truth_in_odom(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))
