"""Where the cameras of a rig sit is read as it was meant, or refused with what is wrong."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.poses import with_rig_poses
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RIG
from moe3d_engine.types import View
import numpy as np
import pytest

pytest.importorskip('yaml')

from moe3d_engine.rig.extrinsics_file import is_camchain
from moe3d_engine.rig.extrinsics_file import read_rig

CAMERAS = ('front', 'left', 'right')
OWN = """
position_std_m: 0.002
cameras:
  left: {rig_from_camera: [0.1, 0.2, 0.3, 0, 0, 0.7071068, 0.7071068]}
  front:
    rig_from_camera:
      - [1, 0, 0, 0.5]
      - [0, 0, -1, 0]
      - [0, 1, 0, 0]
      - [0, 0, 0, 1]
  right: {rig_from_camera: [0, 0, 0, 0, 0, 0, 1]}
"""
KALIBR = """
cam0:
  camera_model: pinhole
  intrinsics: [400, 400, 320, 240]
  rostopic: /cam0/image_raw
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.1]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
cam2:
  T_cn_cnm1:
  - [0.0, -1.0, 0.0, 0.0]
  - [1.0, 0.0, 0.0, -0.2]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
"""


def pose(*step: float) -> Float64Array:
    """Return a rigid transform."""
    return moved(np.eye(4), np.array(step, np.float64))


@pytest.fixture
def rig() -> Rig:
    """Return three cameras in different places."""
    return Rig(
        {
            'front': pose(0.3, 0.0, 0.1, 0.0, 0.2, 0.0),
            'left': pose(0.1, 0.4, 0.0, 0.3, -1.0, 0.2),
            'right': pose(0.1, -0.4, 0.0, -0.1, 1.1, 0.0),
        }
    )


def write(folder: Path, text: str) -> Path:
    """Write a file and return its path."""
    path = folder / 'rig.yaml'
    path.write_text(text)
    return path


def test_own_form_is_read_in_the_order_of_the_cameras(tmp_path: Path) -> None:
    rig = read_rig(write(tmp_path, OWN), CAMERAS)

    assert rig.cameras == CAMERAS
    assert rig.position_std_m == 0.002
    np.testing.assert_allclose(rig.rig_from_camera['left'][:3, 3], (0.1, 0.2, 0.3))
    np.testing.assert_allclose(
        rig.rig_from_camera['left'][:3, :3], rotation_from_vector((0, 0, np.pi / 2)), atol=1e-6
    )
    np.testing.assert_allclose(rig.rig_from_camera['front'][:3, 3], (0.5, 0, 0))
    assert not is_camchain(write(tmp_path, OWN))


def test_chain_of_kalibr_is_multiplied_up_from_the_first_camera(tmp_path: Path) -> None:
    path = write(tmp_path, KALIBR)

    rig = read_rig(path, CAMERAS)

    np.testing.assert_allclose(rig.rig_from_camera['front'], np.eye(4))
    np.testing.assert_allclose(rig.rig_from_camera['left'][:3, 3], (0.1, 0, 0))
    np.testing.assert_allclose(rig.rig_from_camera['right'][:3, 3], (0.3, 0, 0), atol=1e-12)
    np.testing.assert_allclose(rig.rig_from_camera['right'][:3, :3] @ (0, 1, 0), (1, 0, 0))
    assert is_camchain(path)


def test_two_cameras_of_a_longer_chain_are_enough(tmp_path: Path) -> None:
    assert read_rig(write(tmp_path, KALIBR), CAMERAS[:2]).cameras == CAMERAS[:2]


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        (OWN.replace('right:', 'rear:'), 'right sits; known are left, front, rear'),
        (OWN.replace('right:', 'left:'), "'left' is there twice"),
        (OWN.replace('[1, 0, 0, 0.5]', '[1.1, 0, 0, 0.5]'), 'is a rotation'),
        (OWN.replace('[1, 0, 0, 0.5]', '[-1, 0, 0, 0.5]'), 'determinant is -1'),
        (OWN.replace('[0, 0, 0, 1]\n', '[0.5, 0, 0, 1]\n'), 'Is it transposed'),
        (OWN.replace('[1, 0, 0, 0.5]', '[1, 0, 0, .nan]'), 'finite numbers'),
        (OWN.replace('[1, 0, 0, 0.5]', '[1, 0, 0, 50000]'), 'in metres'),
        (OWN.replace('0, 0, 0, 0, 0, 0, 1]', '0, 0, 0, 0, 0, 0, 0]'), 'quaternion'),
        (OWN.replace('0, 0, 0, 0, 0, 0, 1]', '0, 0, 0]'), '4x4 matrix'),
        (OWN.replace('0, 0, 0, 0, 0, 0, 1]', 'a, b]'), 'rig_from_camera'),
        (
            OWN.replace('{rig_from_camera: [0, 0, 0, 0', '{camera_from_rig: [0, 0, 0, 0'),
            'right has',
        ),
        (OWN.replace('position_std_m: 0.002', 'position_std_m: 0'), 'above 0'),
        (OWN.replace('position_std_m: 0.002', 'position_std_m: yes'), 'number of metres'),
        (OWN.replace('position_std_m', 'std'), 'position_std_m only'),
        (KALIBR.replace('cam2', 'cam3'), 'cam2 with T_cn_cnm1'),
        (KALIBR.replace('T_cn_cnm1', 'T_cam_imu'), 'cam1 with T_cn_cnm1'),
        ('- 1', 'no extrinsics'),
        ('a: 1', 'no extrinsics'),
        ('cameras: [', 'cannot be read'),
    ],
)
def test_file_that_is_wrong_is_refused_by_name_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=r'rig\.yaml') as refusal:
        read_rig(write(tmp_path, text), CAMERAS)

    assert said in str(refusal.value)
    assert '\n' not in str(refusal.value)


def test_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'missing\.yaml'):
        read_rig(tmp_path / 'missing.yaml', CAMERAS)


def test_rounded_rotation_is_made_orthonormal() -> None:
    rounded = np.round(pose(0, 0, 0, 0.3, 0.2, 0.1), 4)

    rotation = Rig({'a': rounded}).rig_from_camera['a'][:3, :3]

    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-14)


def test_relative_poses_do_not_depend_on_the_frame_of_the_rig(rig: Rig) -> None:
    seen = rig.seen_from('left')

    np.testing.assert_allclose(seen.rig_from_camera['left'], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(
        seen.second_from_first('front', 'right'), rig.second_from_first('front', 'right'),
        atol=1e-12,
    )  # fmt: skip


def test_deviation_of_a_baseline_falls_with_its_length(rig: Rig) -> None:
    assert rig.baseline_m('left', 'right') == pytest.approx(0.8)
    assert rig.baseline_log_std('left', 'right') == pytest.approx(2**0.5 * 0.001 / 0.8)
    assert rig.baseline_log_std('left', 'left') == np.inf


def make_view(camera: str, known: PosePrior | None = None) -> View:
    """Return a small view."""
    return View(np.zeros((4, 6, 3), np.uint8), np.eye(3), 5, camera=camera, pose=known)


def test_views_of_a_moment_have_poses_of_the_world_that_one_camera_knows(rig: Rig) -> None:
    odom_from_rig = pose(1.0, 2.0, 3.0, 0.1, 0.2, -0.4)
    truth = {c: invert_rigid(odom_from_rig @ rig.rig_from_camera[c]) for c in CAMERAS}
    views = [make_view(camera) for camera in CAMERAS]
    views[0] = make_view('front', PosePrior(truth['front'], 'tracking'))

    posed = with_rig_poses(views, rig, metric=True)

    assert posed[0] is views[0]
    for view in posed:
        assert view.pose is not None
        assert view.pose.source == 'tracking'
        np.testing.assert_allclose(view.pose.cam_from_world, truth[view.camera], atol=1e-12)


@pytest.mark.parametrize('known', [None, PosePrior(np.eye(4), 'tracking')])
def test_without_a_pose_in_metres_the_rig_is_the_world(rig: Rig, known: PosePrior | None) -> None:
    views = [make_view('left', known), make_view('right')]

    posed = with_rig_poses(views, rig, metric=False)

    for view in posed:
        assert view.pose is not None
        assert view.pose.source == RIG
        np.testing.assert_allclose(view.pose.cam_from_world, rig.cam_from_rig(view.camera))


def test_view_by_itself_stays_as_it_is(rig: Rig) -> None:
    views = (make_view('left'),)

    assert with_rig_poses(views, rig, metric=True) == views
