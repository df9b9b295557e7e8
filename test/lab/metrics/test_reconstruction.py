"""Clouds and poses against the numbers of the reference code, and against cases known by hand."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.metrics.poses import relative_pose_auc
from moe3d_engine.lab.metrics.poses import relative_pose_errors
from moe3d_engine.lab.metrics.poses import trajectory_errors
from moe3d_engine.lab.metrics.reconstruction import estimate_normals
from moe3d_engine.lab.metrics.reconstruction import f_score
from moe3d_engine.lab.metrics.reconstruction import reconstruction_metrics
from moe3d_engine.lab.metrics.reconstruction import refine_icp
from moe3d_engine.lab.metrics.reconstruction import umeyama

GOLDEN = Path(__file__).parents[2] / 'golden'


@pytest.mark.parametrize('case', ['case0', 'case3'])
def test_umeyama_equals_pi3(case: str) -> None:
    golden = np.load(GOLDEN / 'umeyama.npz')

    scale, rotation, translation = umeyama(golden[f'{case}__X'], golden[f'{case}__Y'])

    assert translation.shape == (3,)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(scale, golden[f'{case}__scale'], rtol=1e-9)
    np.testing.assert_allclose(rotation, golden[f'{case}__R'], atol=1e-9)
    np.testing.assert_allclose(translation, golden[f'{case}__t'].ravel(), atol=1e-9)


@pytest.mark.parametrize('case', ['noise_1cm', 'flipped_normals'])
def test_metrics_equal_cut3r_spann3r_and_pi3(case: str) -> None:
    golden = np.load(GOLDEN / 'recon_acc_comp_nc.npz')
    expected = dict(zip(golden['expected_fields'], golden[f'{case}__expected'], strict=True))

    found = reconstruction_metrics(
        golden[f'{case}__rec_points'],
        golden['gt_points'],
        golden[f'{case}__rec_normals'],
        golden['gt_normals'],
    )

    for name, value in found._asdict().items():
        assert value == pytest.approx(expected[name.replace('median', 'med')], abs=1e-9), name


def test_whole_protocol_of_pi3_is_reproduced_without_open3d() -> None:
    golden = np.load(GOLDEN / 'recon_full_protocol.npz')
    mask = golden['valid_mask']
    pred, gt = golden['pred_points'][mask], golden['gt_points'][mask]

    aligned = umeyama(pred, gt).apply(pred)
    np.testing.assert_allclose(aligned, golden['pi3__umeyama_points'], atol=1e-9)
    motion = refine_icp(aligned, gt, 0.1)
    np.testing.assert_allclose(motion, golden['pi3__icp_T'], atol=1e-6)
    aligned = aligned @ motion[:3, :3].T + motion[:3, 3]
    found = reconstruction_metrics(aligned, gt, estimate_normals(aligned), estimate_normals(gt))

    expected = dict(zip(golden['fields'], golden['pi3__metrics'], strict=True))
    for name, value in found._asdict().items():
        assert value == pytest.approx(expected[name.replace('median', 'med')], rel=1e-4), name


def test_normals_are_those_of_open3d_up_to_sign() -> None:
    golden = np.load(GOLDEN / 'recon_full_protocol.npz')

    normals = estimate_normals(golden['gt_points'][golden['valid_mask']])

    cosine = np.abs(np.sum(normals * golden['pi3__gt_normals'], axis=1))
    assert np.mean(cosine > 1 - 1e-6) > 0.99


def test_f_score_of_half_a_wall() -> None:
    wall = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0), [0.0]), -1).reshape(-1, 3)

    found = f_score(wall[wall[:, 0] < 5], wall, 0.1)

    assert found == pytest.approx((1.0, 0.5, 2 / 3))


@pytest.mark.parametrize('bad', [np.zeros((0, 3)), np.zeros((4, 2)), np.full((4, 3), np.nan)])
def test_cloud_that_is_none_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ShapeError, match='without depth'):
        reconstruction_metrics(bad, np.zeros((4, 3)))


def test_pair_errors_and_auc_equal_the_reference() -> None:
    golden = np.load(GOLDEN / 'relpose_auc.npz')

    errors = relative_pose_errors(golden['pred_w2c'], golden['gt_w2c'])

    np.testing.assert_allclose(errors.rotation_deg, golden['rot_err_deg'], atol=1e-5)
    np.testing.assert_allclose(errors.translation_deg, golden['trans_err_deg'], atol=1e-5)
    auc = relative_pose_auc(golden['pred_w2c'], golden['gt_w2c'])
    assert auc == pytest.approx(golden['auc30_np'], abs=1e-9)


def test_trajectory_error_is_zero_for_a_similar_trajectory_and_sees_a_shifted_camera() -> None:
    pytest.importorskip('evo')
    world_from_cam = invert_rigid(np.load(GOLDEN / 'relpose_auc.npz')['gt_w2c'])
    similar = world_from_cam.copy()
    similar[:, :3, 3] = 2.0 * similar[:, :3, 3] + [1.0, 2.0, 3.0]

    assert max(trajectory_errors(similar, world_from_cam)) < 1e-5
    similar[3, :3, 3] += 1.0
    assert trajectory_errors(similar, world_from_cam).ate_rmse_m > 0.05


def test_poses_of_different_number_are_refused() -> None:
    with pytest.raises(ShapeError, match='N >= 2'):
        relative_pose_auc(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))


def test_trajectory_on_one_line_is_refused() -> None:
    pytest.importorskip('evo')
    line = np.tile(np.eye(4), (5, 1, 1))
    line[:, 0, 3] = np.arange(5)

    with pytest.raises(ShapeError, match='one line'):
        trajectory_errors(line, line)
