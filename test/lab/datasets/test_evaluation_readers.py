"""Readers of public evaluation sets, on miniature trees in their true layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.lab.datasets.sequences.open import open_scenes
from moe3d_engine.lab.datasets.sequences.scenes import associate
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.lab.datasets.sequences.seven_scenes import SevenScenes
from moe3d_engine.lab.datasets.sequences.sintel import read_cam
from moe3d_engine.lab.datasets.sequences.sintel import read_dpt
from moe3d_engine.lab.datasets.sequences.tum import pose_from_row
from moe3d_engine.lab.datasets.sequences.tum import write_trajectory
import numpy as np
import pytest

HW = (6, 8)
TAG = np.float32(202021.25).tobytes()
POSE = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])


def write_rgb(path: Path, hw: tuple[int, int] = HW) -> None:
    """Write an image that is red on the left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((*hw, 3), np.uint8)
    image[:, : hw[1] // 2, 2] = 250
    cv2.imwrite(str(path), image)


def write_png(path: Path, stored: np.ndarray | int) -> None:
    """Write 16-bit depth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.broadcast_to(stored, HW).astype(np.uint16))


def write_7scenes(root: Path) -> None:
    """Write two frames of one sequence; three pixels are unknown or far."""
    folder = root / 'chess' / 'seq-03'
    for i in (0, 1):
        write_rgb(folder / f'frame-{i:06d}.color.png')
        stored = np.full(HW, 1500)
        stored[0, :2] = (0, 65535)
        write_png(folder / f'frame-{i:06d}.depth.proj.png', stored)
        write_png(folder / f'frame-{i:06d}.depth.png', 2500)
        np.savetxt(folder / f'frame-{i:06d}.pose.txt', POSE)


def write_nrgbd(root: Path, poses: np.ndarray | None = None) -> None:
    """Write eleven frames of one scene; colour is larger than depth."""
    folder = root / 'kitchen'
    for i in range(11):
        write_rgb(folder / 'images' / f'img{i}.png', (12, 16))
        write_png(folder / 'depth' / f'depth{i}.png', 1000 + i)
    poses = np.tile(np.eye(4), (11, 1, 1)) if poses is None else poses
    np.savetxt(folder / 'poses.txt', poses.reshape(-1, 4))


def write_nyu(root: Path) -> None:
    """Write one image; a pixel has no depth."""
    write_rgb(root / 'val' / 'nyu_images' / '00001.png')
    (root / 'val' / 'nyu_depths').mkdir()
    depth = np.full(HW, 1.5)
    depth[0, 0] = 0
    np.save(root / 'val' / 'nyu_depths' / '00001.npy', depth)


def write_sintel(root: Path) -> None:
    """Write one frame with its camera."""
    training = root / 'training'
    write_rgb(training / 'final' / 'alley_2' / 'frame_0001.png')
    for name in ('depth', 'camdata_left'):
        (training / name / 'alley_2').mkdir(parents=True)
    depth = np.full(HW, 1.5, '<f4')
    header = TAG + np.array([HW[1], HW[0]], '<i4').tobytes()
    (training / 'depth/alley_2/frame_0001.dpt').write_bytes(header + depth.tobytes())
    intrinsics = np.diag([100.0, 100, 1])
    numbers = [*intrinsics.ravel(), *np.linalg.inv(POSE)[:3].ravel()]
    camera = TAG + np.array(numbers, '<f8').tobytes()
    (training / 'camdata_left/alley_2/frame_0001.cam').write_bytes(camera)


def write_bonn(root: Path, suffix: str = '_110', frames: int = 2) -> None:
    """Write a sequence, the selected part or all of it; stamps differ between the sensors."""
    folder = root / 'rgbd_bonn_balloon2'
    for i in range(frames):
        write_rgb(folder / f'rgb{suffix}' / f'{i:03d}.10.png')
        write_png(folder / f'depth{suffix}' / f'{i:03d}.11.png', 7500)


def write_kitti(root: Path) -> None:
    """Write two frames with depth and one without."""
    folder = root / 'depth_selection' / 'val_selection_cropped'
    for i in range(3):
        write_rgb(folder / 'image_gathered' / '2011_02' / f'{i:010d}.png')
    for i in (1, 2):
        write_png(folder / 'groundtruth_depth_gathered' / '2011_02' / f'{i:010d}.png', 384)


def write_tum(root: Path) -> None:
    """Write three images; one has no pose near, another no depth near."""
    folder = root / 'rgbd_dataset_freiburg3_sitting_xyz'
    for i in (0, 1, 2):
        write_rgb(folder / 'rgb' / f'{i}.png')
        write_png(folder / 'depth' / f'{i}.png', 7500)
    (folder / 'rgb.txt').write_text('# color\n0.00 rgb/0.png\n0.10 rgb/1.png\n0.20 rgb/2.png\n')
    (folder / 'depth.txt').write_text('# depth\n0.01 depth/0.png\n0.15 depth/1.png\n')
    (folder / 'groundtruth.txt').write_text(
        '# stamp tx ty tz qx qy qz qw\n-0.01 9 9 9 0 0 0 1\n0.005 1 2 3 0 0 0.7071068 0.7071068\n'
        '0.11 4 5 6 0 0 0 1\n0.3 7 8 9 0 0 0 1\n'
    )


WRITERS: dict[str, Callable[[Path], None]] = {
    '7scenes': write_7scenes,
    'nrgbd': write_nrgbd,
    'nyu': write_nyu,
    'sintel': write_sintel,
    'bonn': write_bonn,
    'kitti': write_kitti,
    'tum': write_tum,
}
SEQUENCES = {
    '7scenes': 'chess/seq-03', 'nrgbd': 'kitchen', 'nyu': 'val', 'sintel': 'alley_2',
    'bonn': 'balloon2', 'kitti': '2011_02', 'tum': 'rgbd_dataset_freiburg3_sitting_xyz',
}  # fmt: skip
DEPTH_M = dict.fromkeys(WRITERS, 1.5) | {'nrgbd': 1.0}


def open_miniature(dataset: str, root: Path) -> Scenes:
    """Write a tree and open it."""
    WRITERS[dataset](root)
    return open_scenes(dataset, root)


@pytest.mark.parametrize('dataset', WRITERS)
def test_first_frame_has_rgb_and_metres(dataset: str, tmp_path: Path) -> None:
    scenes = open_miniature(dataset, tmp_path)

    image = scenes.read(scenes.frames(SEQUENCES[dataset])[0])

    assert scenes.sequences() == [SEQUENCES[dataset]]
    assert image.rgb.shape == (*HW, 3)
    assert image.rgb[3, 1, 0] > 200
    assert image.rgb[3, 1, 2] < 60
    assert image.depth_m.dtype == np.float32
    np.testing.assert_allclose(image.depth_m[1:], DEPTH_M[dataset])


@pytest.mark.parametrize('dataset', WRITERS)
def test_folder_without_the_layout_is_refused_with_it(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='Expected there: ') as error:
        open_scenes(dataset, tmp_path)

    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize('dataset', WRITERS)
def test_sequence_that_is_not_there_is_named(dataset: str, tmp_path: Path) -> None:
    scenes = open_miniature(dataset, tmp_path)
    for path in (*tmp_path.rglob('*.png'), *tmp_path.rglob('rgb.txt')):
        path.unlink()

    with pytest.raises(InputError, match=f'Expected below {tmp_path}'):
        scenes.frames(SEQUENCES[dataset])


def test_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='7scenes, nrgbd'):
        open_scenes('scannet', tmp_path)


def test_7scenes_unknown_depth_is_nan_and_camera_is_that_of_the_depth(tmp_path: Path) -> None:
    write_7scenes(tmp_path)
    registered, sensor = SevenScenes(tmp_path), SevenScenes(tmp_path, 'sensor')

    frame = registered.frames('chess/seq-03')[1]
    own = sensor.frames('chess/seq-03')[1]

    assert np.isnan(registered.read(frame).depth_m).sum() == 2
    np.testing.assert_array_equal(frame.intrinsics, [[525, 0, 320], [0, 525, 240], [0, 0, 1]])
    np.testing.assert_array_equal(frame.world_from_cam, POSE)
    assert own.intrinsics is not None
    assert own.intrinsics[0, 0] == 585
    np.testing.assert_allclose(sensor.read(own).depth_m, 2.5)


def test_7scenes_without_registered_depth_says_where_it_comes_from(tmp_path: Path) -> None:
    write_7scenes(tmp_path)
    (tmp_path / 'chess/seq-03/frame-000000.depth.proj.png').unlink()

    with pytest.raises(InputError, match='SimpleRecon'):
        SevenScenes(tmp_path).frames('chess/seq-03')


def test_nrgbd_points_lie_before_an_opengl_camera(tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (11, 1, 1))
    poses[2] = POSE
    write_nrgbd(tmp_path, poses)
    scenes = open_scenes('nrgbd', tmp_path)
    frames = scenes.frames('kitchen')
    image = scenes.read(frames[2])
    assert image.intrinsics is not None
    assert image.world_from_cam is not None

    point = unproject_depth(image.depth_m[None], image.intrinsics[None])[0, 0, 0]
    right, down = (point[0] / point[2], point[1] / point[2])
    world = transform_points(image.world_from_cam, point)

    assert [frame.key for frame in frames] == [str(i) for i in range(11)]
    expected = POSE @ [right * 1.002, -down * 1.002, -1.002, 1]  # OpenGL: y up, z back
    np.testing.assert_allclose(world, expected[:3], rtol=1e-5)


def test_nrgbd_pose_of_nan_is_unknown(tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (11, 1, 1))
    poses[3] = np.nan
    write_nrgbd(tmp_path, poses)

    frames = open_scenes('nrgbd', tmp_path).frames('kitchen')

    assert [frame.world_from_cam is None for frame in frames] == [i == 3 for i in range(11)]


def test_sintel_camera_becomes_world_from_cam(tmp_path: Path) -> None:
    frame = open_miniature('sintel', tmp_path).frames('alley_2')[0]

    np.testing.assert_allclose(frame.world_from_cam, POSE, atol=1e-12)
    np.testing.assert_array_equal(frame.intrinsics, np.diag([100.0, 100, 1]))


@pytest.mark.parametrize('content', [b'', b'PIEX' + b'\0' * 168, TAG, TAG + b'\2\0\0\0\2\0\0\0xy'])
def test_damaged_files_of_sintel_are_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'frame_0001'
    path.write_bytes(content)

    for read in (read_dpt, read_cam):
        with pytest.raises(InputError, match='frame_0001'):
            read(path)


def test_bonn_takes_frames_30_to_139_in_their_order(tmp_path: Path) -> None:
    write_bonn(tmp_path, '', 142)

    frames = open_scenes('bonn', tmp_path).frames('balloon2')

    assert len(frames) == 110
    assert (frames[0].key, frames[-1].key) == ('030.10', '139.10')
    assert frames[0].depth is not None
    assert frames[0].depth.name == '030.11.png'


def test_kitti_has_the_frames_with_depth_and_names_a_missing_image(tmp_path: Path) -> None:
    scenes = open_miniature('kitti', tmp_path)
    assert [frame.key for frame in scenes.frames('2011_02')] == ['0000000001', '0000000002']

    next(tmp_path.rglob('image_gathered/2011_02/0000000002.png')).unlink()
    with pytest.raises(InputError, match=r'0000000002\.png'):
        scenes.frames('2011_02')


def test_tum_pairs_nearest_stamps_and_leaves_out_far_ones(tmp_path: Path) -> None:
    scenes = open_miniature('tum', tmp_path)

    frames = scenes.frames(SEQUENCES['tum'])

    assert [frame.stamp_s for frame in frames] == [0.0, 0.1]
    np.testing.assert_allclose(frames[0].world_from_cam, POSE, atol=1e-6)
    assert frames[0].depth is not None
    assert frames[0].intrinsics is not None
    assert frames[0].intrinsics[0, 0] == 535.4
    with pytest.raises(InputError, match='no depth map'):
        scenes.read(frames[1])


def test_each_stamp_is_paired_once_and_the_nearest_pairs_win() -> None:
    first, second = np.array([0.0, 0.010, 0.100]), np.array([0.101, 0.012, 0.5])

    assert associate(first, second) == [(1, 1), (2, 0)]


def test_depth_of_8_bits_and_of_another_shape_is_refused(tmp_path: Path) -> None:
    scenes = open_miniature('7scenes', tmp_path)
    frame = scenes.frames('chess/seq-03')[0]
    assert frame.depth is not None

    cv2.imwrite(str(frame.depth), np.ones(HW, np.uint8))
    with pytest.raises(InputError, match='16-bit'):
        scenes.read(frame)

    cv2.imwrite(str(frame.depth), np.ones((6, 20), np.uint16))
    with pytest.raises(InputError, match='one shape'):
        scenes.read(frame)


def test_trajectory_is_written_as_tum_reads_it(tmp_path: Path, rng: np.random.Generator) -> None:
    stamps_ns = 1_731_846_203_417_293_651 + 99_999_999 * np.arange(4)
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, :3] = rotation_from_quaternion(rng.normal(size=(4, 4)))
    poses[:, :3, 3] = rng.normal(size=(4, 3))

    write_trajectory(tmp_path / 'poses.tum', stamps_ns, poses)

    assert '1731846203.417293651 ' in (tmp_path / 'poses.tum').read_text()
    rows = read_table(tmp_path / 'poses.tum', 8)
    np.testing.assert_allclose(rows[:, 0], stamps_ns / 1e9, atol=1e-6)
    np.testing.assert_allclose([pose_from_row(row) for row in rows], poses, atol=1e-8)
