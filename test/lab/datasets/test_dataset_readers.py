"""Readers of public data sets, on miniature trees of one scene whose depth is known exactly."""

from __future__ import annotations

from collections.abc import Callable
import csv
import math
from pathlib import Path

import cv2
import h5py
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import quaternion_from_rotation
from moe3d_engine.lab.datasets import open_dataset
from moe3d_engine.lab.datasets import ViewSet
from moe3d_engine.lab.datasets import ViewSets
from moe3d_engine.lab.datasets.hypersim import camera_from_projection
from moe3d_engine.lab.datasets.hypersim import USUAL_PROJECTION
from moe3d_engine.lab.datasets.rgbd_folder import RgbdFolder
from moe3d_engine.lab.datasets.tartanair import TartanAir
from moe3d_engine.lab.datasets.virtual_kitti2 import VirtualKitti2
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


USUAL = pinhole(HW[1] / 2 / math.tan(math.pi / 6))  # Hypersim without a table
UPRIGHT = np.eye(3)
INTRINSICS = {
    'rgbd': pinhole(50.0),
    'tartanair': pinhole(HW[1] / 2),
    'vkitti2': pinhole(50.0),
    'hypersim': USUAL,
}


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
        depth[-1, -1] = 6000.0  # a sphere of 10 km, along z in a corner
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


def write_hypersim(
    root: Path, intrinsics: np.ndarray = USUAL, lens_from_optical: np.ndarray = UPRIGHT
) -> None:
    """
    Write one scene of Hypersim: half a metre per unit, y up, distances along rays.

    `intrinsics` and the true poses are of the pinhole camera that a tilted lens amounts to; the
    stored orientations are of the camera's body.
    """
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
        file['dataset'] = true_poses()[:, :3, :3] @ lens_from_optical.T @ flip


def write_projections(root: Path, intrinsics: np.ndarray, lens_from_optical: np.ndarray) -> None:
    """Write the table of OpenGL projections for the camera of `write_hypersim`."""
    ndc_from_pixel = np.array(
        [[2 / HW[1], 0, 1 / HW[1] - 1], [0, -2 / HW[0], 1 - 1 / HW[0]], [0, 0, 1]]
    )
    projection = np.zeros((4, 4))
    projection[[0, 1, 3], :3] = (
        0.97 * ndc_from_pixel @ intrinsics @ lens_from_optical.T @ np.diag([1.0, -1.0, -1.0])
    )
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


def open_reader(kind: str, root: Path, image_hw: tuple[int, int]) -> ViewSets:
    """Open a miniature tree; the strides that `open_dataset` takes are too long for some."""
    if kind == 'tartanair':
        return TartanAir(root, image_hw, NUM_FRAMES, stride=1)
    if kind == 'vkitti2':
        return VirtualKitti2(root, image_hw, NUM_FRAMES, stride=1)
    return open_dataset(f'{kind}:{root}', image_hw, NUM_FRAMES)


def open_miniature(kind: str, root: Path, image_hw: tuple[int, int] = HW) -> ViewSet:
    """Write a tree and read its one set."""
    WRITERS[kind](root)
    return open_reader(kind, root, image_hw)[0]


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
    np.testing.assert_allclose(views.world_from_cam, true_poses(), atol=1e-6)
    np.testing.assert_allclose(views.intrinsics[0], INTRINSICS[kind], atol=1e-6)
    for view in range(NUM_FRAMES):
        offset = world_offset_m(views, view)
        assert np.abs(offset[np.isfinite(offset)]).max() < 0.01
        assert np.isfinite(offset).sum() >= HW[0] * HW[1] - 2


@pytest.mark.parametrize('kind', WRITERS)
def test_points_of_one_view_have_the_depth_that_the_other_view_sees(
    kind: str, tmp_path: Path
) -> None:
    views = open_miniature(kind, tmp_path / 'data')
    v, u = np.mgrid[4 : HW[0] - 4 : 5, 4 : HW[1] - 4 : 5]
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    points = np.linalg.inv(views.intrinsics[0]) @ pixels * views.depth[0, v, u].ravel()

    second_from_first = np.linalg.inv(views.world_from_cam[1]) @ views.world_from_cam[0]
    x, y, z = views.intrinsics[1] @ (
        second_from_first[:3, :3] @ points + second_from_first[:3, 3:]
    )

    column, row = np.rint(x / z).astype(int), np.rint(y / z).astype(int)
    seen = (column >= 0) & (column < HW[1]) & (row >= 0) & (row < HW[0])
    assert seen.sum() > 40
    assert np.abs(views.depth[1, row[seen], column[seen]] - z[seen]).max() < 0.03  # half a pixel


@pytest.mark.parametrize('kind', WRITERS)
def test_points_stay_on_the_plane_after_resize_and_crop(kind: str, tmp_path: Path) -> None:
    views = open_miniature(kind, tmp_path / 'data', (20, 20))

    assert views.rgb.shape == (NUM_FRAMES, 20, 20, 3)
    fx, fy = INTRINSICS[kind][0, 0] * 27 / 64, INTRINSICS[kind][1, 1] * 20 / 48  # 27 x 20, cropped
    expected = [[fx, 0, 10.0], [0, fy, 9.5], [0, 0, 1]]  # 3 of 7 columns are cut on the left
    np.testing.assert_allclose(views.intrinsics[1], expected, atol=1e-6)
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


def test_published_table_of_hypersim_agrees_with_the_usual_field_of_view() -> None:
    published = np.zeros((4, 4))  # ai_001_001
    published[0, 0], published[1, 1], published[3, 2] = 1.7320507492870254, 2.309400999049367, -1

    for projection in (published, USUAL_PROJECTION):
        camera = camera_from_projection(projection)
        focal_px = 1024 / 2 / math.tan(math.pi / 6)
        expected = [[focal_px, 0, 511.5], [0, focal_px, 383.5], [0, 0, 1]]
        np.testing.assert_allclose(camera.intrinsics, expected, atol=1e-4)
        np.testing.assert_allclose(camera.stored_from_optical, np.diag([1, -1, -1]), atol=1e-12)


def test_tilted_and_shifted_lens_reads_as_the_pinhole_that_it_is(tmp_path: Path) -> None:
    intrinsics = pinhole(50.0)
    intrinsics[:2, 2] += (4.0, -7.0)
    write_hypersim(tmp_path, intrinsics, rotation(0.3, -0.1, 0.0))
    write_projections(tmp_path, intrinsics, rotation(0.3, -0.1, 0.0))

    views = open_dataset(f'hypersim:{tmp_path}', HW, NUM_FRAMES)[0]

    np.testing.assert_allclose(views.intrinsics[0], intrinsics, atol=1e-9)
    np.testing.assert_allclose(views.world_from_cam, true_poses(), atol=1e-9)
    assert np.nanmax(np.abs(world_offset_m(views, 0))) < 0.01


def test_skewed_scene_is_left_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    skewed = USUAL.copy()
    skewed[0, 1] = 0.01 * skewed[0, 0]
    write_hypersim(tmp_path)
    write_projections(tmp_path, skewed, np.eye(3))

    with pytest.raises(InputError, match='the longest has 0'):
        open_dataset(f'hypersim:{tmp_path}', HW, NUM_FRAMES)
    assert 'skewed: ai_001_001' in caplog.text


def test_missing_table_or_row_is_not_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_hypersim(tmp_path)
    open_dataset(f'hypersim:{tmp_path}', HW, NUM_FRAMES)
    assert 'metadata_camera_parameters.csv is missing' in caplog.text

    write_projections(tmp_path, USUAL, np.eye(3))
    (tmp_path / 'ai_001_001').rename(tmp_path / 'ai_001_002')
    with pytest.raises(InputError, match='no row for ai_001_002'):
        open_dataset(f'hypersim:{tmp_path}', HW, NUM_FRAMES)


def test_every_frame_is_in_one_set_at_most(tmp_path: Path) -> None:
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
    kinds = 'hypersim:ROOT, tartanair:ROOT, vkitti2:ROOT, rgbd:ROOT'
    for spec in (f'kinect:{tmp_path}', f'rgbd:{tmp_path}/nothing', f'{tmp_path}/nothing'):
        with pytest.raises(InputError, match=kinds):
            open_dataset(spec, HW)


@pytest.mark.parametrize('kind', WRITERS)
def test_images_are_read_when_a_set_is_asked_for(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    images = [
        p for p in tmp_path.rglob('*') if p.suffix in {'.png', '.jpg'} and 'dep' not in p.name
    ]
    for image in images:
        image.write_bytes(b'no image')

    sets = open_reader(kind, tmp_path, HW)

    with pytest.raises(InputError, match=str(min(images))):
        sets[0]


def test_missing_poses_of_a_folder_are_named(tmp_path: Path) -> None:
    write_rgbd(tmp_path)
    (tmp_path / 'poses.txt').unlink()

    with pytest.raises(InputError, match=r'poses\.txt'):
        open_dataset(f'rgbd:{tmp_path}', HW, 2)


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
