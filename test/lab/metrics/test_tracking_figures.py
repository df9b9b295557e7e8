"""Figures of a tracked sequence say what is wrong with it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
import math

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
import numpy as np
import pytest

pytest.importorskip('scipy')
pytest.importorskip('evo')

from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.metrics.tracking import track_of
from moe3d_engine.lab.metrics.tracking import tracking_figures
from moe3d_engine.lab.reports.facts import FACTS
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Scale
from scipy.spatial.transform import Rotation

NUM_POSES = 100
STD = np.array([0.01, 0.01, 0.01, 0.002, 0.002, 0.002])  # metres, then rad


def circle() -> np.ndarray:
    """Return world_from_cam of a camera that walks 6.3 m round a table and looks ahead."""
    angles = np.linspace(0, 2 * np.pi, NUM_POSES)
    poses = np.tile(np.eye(4), (NUM_POSES, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler('y', angles[:, None]).as_matrix()
    poses[:, :3, 3] = np.stack([-np.cos(angles), 0.1 * np.sin(3 * angles), np.sin(angles)], 1)
    return poses


def tracked(
    rng: np.random.Generator, *, factor: float = 1.0, times: float = 1.0, scale_std: float = 0.05
) -> Track:
    """Track with noise of STD, covariances that claim `times` as much, and a wrong scale."""
    world_from_cam = circle()
    odom_from_cam = invert_rigid(world_from_cam[0]) @ world_from_cam
    errors = STD * rng.normal(size=(NUM_POSES, 6))
    errors[0] = 0.0
    odom_from_cam[:, :3, 3] = factor * odom_from_cam[:, :3, 3] + errors[:, :3]
    turns = Rotation.from_rotvec(errors[:, 3:]).as_matrix()
    odom_from_cam[:, :3, :3] = turns @ odom_from_cam[:, :3, :3]
    poses = [
        TrackedPose(
            100_000_000 * number, 'camera', 'cam', TrackingStatus.TRACKING, invert_rigid(pose),
            np.diag((times * STD) ** 2), np.zeros(6), np.eye(6),
            Scale(1.0, scale_std, 'network', metric=True, state='locked'),
        )
        for number, pose in enumerate(odom_from_cam)
    ]  # fmt: skip
    return track_of(poses, list(world_from_cam), [math.log(1.01 * factor)] * NUM_POSES)


def test_honest_tracking_has_small_errors_and_is_in_the_band(rng: np.random.Generator) -> None:
    figures = tracking_figures(tracked(rng))

    assert figures['path_m'] == pytest.approx(2 * math.pi, rel=0.05)
    assert figures['ate_sim3_percent'] < 0.5
    assert figures['ate_se3_percent'] == pytest.approx(
        100 * figures['ate_se3_m'] / figures['path_m']
    )
    assert figures['rpe_cm'] == pytest.approx(100 * STD[0] * math.sqrt(6), rel=0.2)
    assert figures['rpe_deg'] == pytest.approx(math.degrees(STD[3] * math.sqrt(6)), rel=0.2)
    assert figures['auc30'] > 0.8
    assert figures['track_scale'] == pytest.approx(1.0, abs=0.01)
    assert figures['nees_in_band'] > 0.85
    assert figures['nees_median'] == pytest.approx(5.35, rel=0.25)
    assert figures['scale_covered'] > 0.9
    assert figures['scale_locked'] == figures['depth_scale_covered'] == 1.0
    assert figures['depth_scale_error_percent'] == pytest.approx(1.0, abs=0.01)
    assert figures['lost'] == figures['starting'] == figures['undetected'] == 0.0
    assert set(figures) <= set(FACTS)


def test_wrong_metres_show_in_every_figure_but_those_after_a_similarity(
    rng: np.random.Generator,
) -> None:
    figures = tracking_figures(tracked(rng, factor=1.25))

    assert figures['ate_sim3_percent'] < 0.5
    assert figures['ate_se3_percent'] > 3.0
    assert figures['track_scale'] == pytest.approx(1.25, abs=0.01)
    assert figures['scale_error_percent'] == pytest.approx(100 * math.log(1.25), abs=2.0)
    assert figures['scale_std_percent'] == pytest.approx(5.0)
    assert figures['scale_covered'] < 0.1
    assert figures['depth_scale_covered'] == 0.0
    assert figures['undetected'] > 0.1


def test_scale_that_says_how_wrong_it_is_covers_its_error(rng: np.random.Generator) -> None:
    assert tracking_figures(tracked(rng, factor=1.25, scale_std=0.2))['scale_covered'] == 1.0
    assert 'scale_covered' not in tracking_figures(tracked(rng, scale_std=math.inf))


@pytest.mark.parametrize(('times', 'below'), [(0.3, False), (3.0, True)])
def test_covariance_of_the_wrong_size_leaves_the_band_on_its_own_side(
    rng: np.random.Generator, times: float, below: bool
) -> None:
    figures = tracking_figures(tracked(rng, times=times))

    assert figures['nees_in_band'] < 0.5
    assert (figures['nees_below_bound'] == 1.0) is below


def test_failure_counts_as_detected_if_the_status_or_the_covariance_says_so(
    rng: np.random.Generator,
) -> None:
    silent = tracked(rng, factor=1.5)
    lost = replace(silent, lost=np.ones(NUM_POSES, bool))
    unsure = tracked(rng, factor=1.5, times=200.0)

    shares = [tracking_figures(track)['undetected'] for track in (silent, lost, unsure)]

    assert shares[0] > 0.4
    assert shares[1:] == [0.0, 0.0]


def test_status_counts_all_frames_and_errors_those_with_a_truth(rng: np.random.Generator) -> None:
    track = tracked(rng)
    world_from_cam = track.world_from_cam.copy()
    world_from_cam[50:] = np.nan
    lost, starting = np.arange(NUM_POSES) >= 90, np.arange(NUM_POSES) < 5
    part = replace(track, world_from_cam=world_from_cam, lost=lost, starting=starting)

    figures = tracking_figures(part)

    assert (figures['lost'], figures['starting']) == (0.1, 0.05)
    assert figures['path_m'] == pytest.approx(math.pi, rel=0.1)
    nothing = replace(part, world_from_cam=np.full_like(world_from_cam, np.nan))
    assert tracking_figures(nothing) == {'lost': 0.1, 'starting': 0.05}


def test_track_without_metres_claims_none(rng: np.random.Generator) -> None:
    relative = replace(tracked(rng, factor=3.0), metric=False)

    assert set(tracking_figures(relative)) == {
        'lost', 'starting', 'path_m', 'ate_sim3_percent', 'ate_sim3_m', 'rpe_deg', 'auc30',
    }  # fmt: skip


def test_pose_that_is_no_rigid_motion_is_refused_by_its_number(rng: np.random.Generator) -> None:
    cam_from_odom = invert_rigid(tracked(rng).odom_from_cam)
    cam_from_odom[7, :3, :3] *= 1.001
    poses = [
        TrackedPose(
            number, 'camera', 'cam', TrackingStatus.TRACKING, pose, np.eye(6), np.zeros(6),
            np.eye(6), Scale(1.0, 0.1, 'network', metric=True, state='estimating'),
        )
        for number, pose in enumerate(cam_from_odom)
    ]  # fmt: skip

    with pytest.raises(ShapeError, match='pose 7 of 100'):
        track_of(poses, [None] * NUM_POSES, [math.nan] * NUM_POSES)


def test_camera_that_rests_has_no_trajectory_error(rng: np.random.Generator) -> None:
    track = tracked(rng)
    rest = np.tile(np.eye(4), (NUM_POSES, 1, 1))

    figures = tracking_figures(replace(track, odom_from_cam=rest, world_from_cam=rest))

    assert figures['path_m'] == 0.0
    assert 'ate_sim3_percent' not in figures
    assert 'scale_error_percent' not in figures
