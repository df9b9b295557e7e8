"""Readers of public data sets, on miniature trees of one scene whose depth is known exactly."""

from __future__ import annotations

from collections.abc import Callable
import csv
import math
from pathlib import Path

import cv2
import h5py
from moe3d_engine.datasets import open_dataset
from moe3d_engine.datasets import ViewSet
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import quaternion_from_rotation
import numpy as np
import pytest

HW = (48, 64)
NUM_FRAMES = 2
NORMAL, OFFSET_M = np.array([0.2, -0.1, 1.0]), 4.0  # the plane normal . x = offset, in the world


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Return a rotation about x, y and z in turn."""
    return cv2.Rodrigues(np.array([pitch, yaw, roll]))[0]


def true_poses() -> np.ndarray:
    """Return world_from_cam of the frames, optical axes."""
    poses = np.tile(np.eye(4), (NUM_FRAMES, 1, 1))
    poses[0, :3, :3], poses[0, :3, 3] = rotation(0.05, -0.1, 0.02), (0.1, -0.2, 0.3)
    poses[1, :3, :3], poses[1, :3, 3] = rotation(-0.04, 0.12, -0.05), (0.3, 0.1, -0.2)
    return poses


def plane_depth(intrinsics: np.ndarray, world_from_cam: np.ndarray) -> np.ndarray:
    """Return the plane's depth along optical z."""
    v, u = np.mgrid[: HW[0], : HW[1]]
    rays = np.linalg.inv(intrinsics) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    slope = NORMAL @ world_from_cam[:3, :3] @ rays
    return ((OFFSET_M - NORMAL @ world_from_cam[:3, 3]) / slope).reshape(HW)


def pinhole(focal: float) -> np.ndarray:
    """Return intrinsics with the principal point in the image's centre."""
    return np.array([[focal, 0, (HW[1] - 1) / 2], [0, focal, (HW[0] - 1) / 2], [0, 0, 1]])


def picture() -> np.ndarray:
    """Return an image that is red on the left."""
    image = np.zeros((*HW, 3), np.uint8)
    image[:, : HW[1] // 2] = (0, 0, 250)  # as OpenCV writes it
    return image


def write_rgbd(root: Path) -> None:
    """Write a plain folder; a corner is unknown, another one sky."""
    intrinsics = pinhole(50.0)
    (root / 'rgb').mkdir(parents=True)
    (root / 'depth').mkdir()
    for i, pose in enumerate(true_poses()):
        cv2.imwrite(str(root / 'rgb' / f'{i}.png'), picture())
        depth = plane_depth(intrinsics, pose)
        depth[0, 0], depth[-1, -1] = np.nan, np.inf
        np.save(root / 'depth' / f'{i}.npy', depth.astype(np.float32))
    np.savetxt(root / 'intrinsics.txt', intrinsics)
    np.savetxt(root / 'poses.txt', true_poses().reshape(-1, 16))


def write_rgbd_png(root: Path) -> None:
    """Write a plain folder with depth in millimetres."""
    write_rgbd(root)
    for path in sorted((root / 'depth').glob('*.npy')):
        metres = np.load(path)
        millimetres = np.where(np.isfinite(metres), np.rint(1000 * metres), 0)
        cv2.imwrite(str(path.with_suffix('.png')), millimetres.astype(np.uint16))
        path.unlink()


def write_tartanair(root: Path) -> None:
    """Write one trajectory of TartanAir: x forward, y right, z down."""
    folder = root / 'office' / 'Easy' / 'P000'
    for name in ('image_left', 'depth_left'):
        (folder / name).mkdir(parents=True)
    optical_from_ned = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    rows = []
    for i, pose in enumerate(true_poses()):
        cv2.imwrite(str(folder / 'image_left' / f'{i:06d}_left.png'), picture())
        depth = plane_depth(pinhole(HW[1] / 2), pose)
        depth[-1, -1] = 65504.0
        np.save(folder / 'depth_left' / f'{i:06d}_left_depth.npy', depth.astype(np.float32))
        turned = optical_from_ned.T @ pose[:3, :3] @ optical_from_ned
        moved = optical_from_ned.T @ pose[:3, 3]
        rows.append([*moved, *quaternion_from_rotation(turned[None])[0]])
    np.savetxt(folder / 'pose_left.txt', rows)


def write_virtual_kitti2(root: Path) -> None:
    """Write one scene of Virtual KITTI 2 with the rows of two cameras."""
    folder = root / 'Scene01' / 'clone'
    for name in ('rgb', 'depth'):
        (folder / 'frames' / name / 'Camera_0').mkdir(parents=True)
    intrinsics = pinhole(50.0)
    cameras, poses = [], []
    for i, pose in enumerate(true_poses()):
        cv2.imwrite(str(folder / f'frames/rgb/Camera_0/rgb_{i:05d}.jpg'), picture())
        centimetres = np.rint(100 * plane_depth(intrinsics, pose)).astype(np.uint16)
        centimetres[-1, -1] = 65535
        cv2.imwrite(str(folder / f'frames/depth/Camera_0/depth_{i:05d}.png'), centimetres)
        for camera in (0, 1):
            cameras.append([i, camera, *intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]])
            poses.append([i, camera, *np.linalg.inv(pose).ravel()])
    np.savetxt(folder / 'intrinsic.txt', cameras, header='frame cameraID K[0,0] ...', comments='')
    np.savetxt(folder / 'extrinsic.txt', poses, header='frame cameraID r1,1 ...', comments='')


def write_hypersim(root: Path) -> None:
    """Write one scene of Hypersim: half a metre per unit, y up, distances along rays."""
    scene = root / 'ai_001_001'
    camera = scene / '_detail' / 'cam_00'
    colour = scene / 'images' / 'scene_cam_00_final_preview'
    geometry = scene / 'images' / 'scene_cam_00_geometry_hdf5'
    for folder in (camera, colour, geometry):
        folder.mkdir(parents=True)
    (scene / '_detail' / 'metadata_scene.csv').write_text(
        'parameter_name,parameter_value\nmeters_per_asset_unit,0.5\n'
    )
    flip = np.diag([1.0, -1.0, -1.0])
    intrinsics = pinhole(HW[1] / 2 / math.tan(math.pi / 6))
    v, u = np.mgrid[: HW[0], : HW[1]]
    rays = np.linalg.inv(intrinsics) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    length = np.linalg.norm(rays, axis=0).reshape(HW)
    for i, pose in enumerate(true_poses()):
        cv2.imwrite(str(colour / f'frame.{i:04d}.tonemap.jpg'), picture())
        distance = plane_depth(intrinsics, pose) * length
        distance[0, 0] = np.nan
        with h5py.File(geometry / f'frame.{i:04d}.depth_meters.hdf5', 'w') as file:
            file['dataset'] = distance.astype(np.float16)
    with h5py.File(camera / 'camera_keyframe_positions.hdf5', 'w') as file:
        file['dataset'] = true_poses()[:, :3, 3] / 0.5
    with h5py.File(camera / 'camera_keyframe_orientations.hdf5', 'w') as file:
        file['dataset'] = true_poses()[:, :3, :3] @ flip


def write_projections(root: Path, tilt: float) -> None:
    """Write the table of projections with the default field of view, perhaps tilted."""
    projection = np.zeros((4, 4))
    projection[0, 0] = 1 / math.tan(math.pi / 6)
    projection[1, 1] = projection[0, 0] * HW[1] / HW[0]
    projection[2, 2:], projection[3, 2], projection[0, 1] = (-1, -2), -1, tilt
    with (root / 'metadata_camera_parameters.csv').open('w') as file:
        writer = csv.writer(file)
        names = [f'M_proj_{i}{j}' for i in range(4) for j in range(4)]
        writer.writerows([['scene_name', *names], ['ai_001_001', *projection.ravel()]])


WRITERS: dict[str, Callable[[Path], None]] = {
    'rgbd': write_rgbd,
    'tartanair': write_tartanair,
    'vkitti2': write_virtual_kitti2,
    'hypersim': write_hypersim,
}


def open_miniature(kind: str, root: Path, image_hw: tuple[int, int] = HW) -> ViewSet:
    """Write a tree and read its one set."""
    WRITERS[kind](root)
    strided = {'tartanair', 'vkitti2'}
    if kind in strided:  # their default stride asks for more frames than the tree has
        from moe3d_engine.datasets.tartanair import TartanAir
        from moe3d_engine.datasets.virtual_kitti2 import VirtualKitti2

        reader = TartanAir if kind == 'tartanair' else VirtualKitti2
        return reader(root, image_hw, num_views=NUM_FRAMES, stride=1)[0]
    return open_dataset(f'{kind}:{root}', image_hw, num_views=NUM_FRAMES)[0]


def world_offset_m(views: ViewSet, view: int) -> np.ndarray:
    """Return the signed distance term of a view's points from the true plane."""
    v, u = np.mgrid[: views.depth.shape[1], : views.depth.shape[2]]
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    rays = np.linalg.inv(views.intrinsics[view]) @ pixels
    depth = np.where(np.isfinite(views.depth[view]), views.depth[view], np.nan)
    points = views.world_from_cam[view, :3, :3] @ (rays * depth.ravel())
    return NORMAL @ (points + views.world_from_cam[view, :3, 3:]) - OFFSET_M


@pytest.mark.parametrize('kind', WRITERS)
def test_points_of_every_view_lie_on_the_true_plane(kind: str, tmp_path: Path) -> None:
    views = open_miniature(kind, tmp_path / 'data')

    assert views.depth.dtype == np.float32
    for view in range(NUM_FRAMES):
        offset = world_offset_m(views, view)
        assert np.abs(offset[np.isfinite(offset)]).max() < 0.01
        assert np.isfinite(offset).sum() >= HW[0] * HW[1] - 2


@pytest.mark.parametrize('kind', WRITERS)
def test_points_stay_on_the_plane_after_resize_and_crop(kind: str, tmp_path: Path) -> None:
    views = open_miniature(kind, tmp_path / 'data', (20, 20))

    assert views.rgb.shape == (NUM_FRAMES, 20, 20, 3)
    offset = world_offset_m(views, 1)
    assert np.abs(offset[np.isfinite(offset)]).max() < 0.1  # half a pixel of nearest sampling


@pytest.mark.parametrize('kind', WRITERS)
def test_colour_is_rgb(kind: str, tmp_path: Path) -> None:
    views = open_miniature(kind, tmp_path / 'data')

    assert views.rgb[0, HW[0] // 2, 5, 0] > 200
    assert views.rgb[0, HW[0] // 2, 5, 2] < 60


@pytest.mark.parametrize('kind', ['rgbd', 'tartanair', 'vkitti2'])
def test_sky_is_infinitely_far(kind: str, tmp_path: Path) -> None:
    assert open_miniature(kind, tmp_path / 'data').depth[0, -1, -1] == np.inf


@pytest.mark.parametrize('kind', ['rgbd', 'hypersim'])
def test_unknown_depth_is_nan(kind: str, tmp_path: Path) -> None:
    assert np.isnan(open_miniature(kind, tmp_path / 'data').depth[0, 0, 0])


def test_depth_in_millimetres_reads_as_the_same_metres(tmp_path: Path) -> None:
    write_rgbd(tmp_path / 'metres')
    write_rgbd_png(tmp_path / 'millimetres')
    names = ('metres', 'millimetres')
    sets = (open_dataset(f'rgbd:{tmp_path / name}', HW, 2) for name in names)
    metres, millimetres = (views[0].depth for views in sets)

    known = np.isfinite(metres)
    np.testing.assert_allclose(millimetres[known], metres[known], atol=6e-4)
    assert np.isnan(millimetres[~known]).all()


def test_projection_of_a_scene_is_used_and_a_tilted_lens_refused(tmp_path: Path) -> None:
    write_projections(tmp_path, tilt=0.0)
    usual = open_miniature('hypersim', tmp_path)
    np.testing.assert_allclose(
        usual.intrinsics[0], pinhole(HW[1] / 2 / math.tan(math.pi / 6)), atol=1e-9
    )

    write_projections(tmp_path, tilt=0.1)
    with pytest.raises(InputError, match='tilted'):
        open_dataset(f'hypersim:{tmp_path}', HW, 2)


def test_every_frame_is_in_one_set_at_most(tmp_path: Path) -> None:
    from moe3d_engine.datasets.rgbd_folder import RgbdFolder

    write_rgbd(tmp_path)
    for i in range(2, 9):
        for folder, suffix in (('rgb', 'png'), ('depth', 'npy')):
            source = tmp_path / folder / f'{i % 2}.{suffix}'
            (tmp_path / folder / f'{i}.{suffix}').write_bytes(source.read_bytes())
    np.savetxt(tmp_path / 'poses.txt', np.arange(9 * 16).reshape(9, 16))

    sets = RgbdFolder(tmp_path, HW, num_views=2, stride=2)

    used = [pose[0, 0] / 16 for item in map(sets.__getitem__, range(len(sets)))
            for pose in item.world_from_cam]  # fmt: skip
    assert used == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize('kind', WRITERS)
def test_folder_without_the_layout_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        open_dataset(f'{kind}:{tmp_path}', HW)


def test_unknown_reader_and_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='hypersim, tartanair, vkitti2, rgbd'):
        open_dataset(f'kinect:{tmp_path}', HW)
    with pytest.raises(InputError, match='missing'):
        open_dataset(f'rgbd:{tmp_path}/nothing', HW)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('rgb/0.png', b'no image', '0.png'),
        ('depth/0.npy', b'no array', '0.npy'),
        ('poses.txt', b'1 2 3\n', '16 columns'),
        ('intrinsics.txt', b'focal length\n', 'intrinsics.txt'),
    ],
)
def test_damaged_file_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    write_rgbd(tmp_path)
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=message):
        open_dataset(f'rgbd:{tmp_path}', HW, 2)[0]


def test_missing_pose_and_other_size_are_refused(tmp_path: Path) -> None:
    write_rgbd(tmp_path)
    np.save(tmp_path / 'depth' / '0.npy', np.ones((5, 5), np.float32))
    with pytest.raises(InputError, match='one size'):
        open_dataset(f'rgbd:{tmp_path}', HW, 2)[0]

    np.savetxt(tmp_path / 'poses.txt', true_poses()[:1].reshape(1, 16))
    with pytest.raises(InputError, match='1 poses for 2 images'):
        open_dataset(f'rgbd:{tmp_path}', HW, 2)


def test_trajectory_shorter_than_a_set_is_refused(tmp_path: Path) -> None:
    write_rgbd(tmp_path)
    with pytest.raises(InputError, match='the longest has 2'):
        open_dataset(f'rgbd:{tmp_path}', HW, num_views=4)
