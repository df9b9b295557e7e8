"""Virtual KITTI 2 (Cabon et al. 2020) in its public layout."""

from __future__ import annotations

from pathlib import Path

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.frames import check_count
from moe3d_engine.lab.datasets.frames import find_files
from moe3d_engine.lab.datasets.frames import Frame
from moe3d_engine.lab.datasets.frames import FrameDataset
from moe3d_engine.lab.datasets.frames import poses_from_rows
from moe3d_engine.lab.datasets.frames import read_image
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.types import Float32Array
import numpy as np

SKY_CM = 65535


class VirtualKitti2(FrameDataset):
    """
    Camera 0 of all variants: `Scene01/clone/frames/{rgb,depth}/Camera_0`.

    `intrinsic.txt` holds frame, camera, fx, fy, cx, cy and `extrinsic.txt` frame, camera and the
    4x4 matrix camera from world, in metres, each below a line of names. Its cx and cy are
    (W - 1) / 2 and (H - 1) / 2: pixel centres are at integers already.

    Parameters
    ----------
    root : the folder of the scenes.
    image_hw, num_views, stride : see FrameDataset.

    Raises
    ------
    InputError
        If there is no such scene.
    """

    def __init__(
        self, root: Path, image_hw: tuple[int, int], num_views: int = 4, stride: int = 2
    ) -> None:
        poses = find_files(
            root,
            'Scene*/*/extrinsic.txt',
            'Scene01/clone/extrinsic.txt as Virtual KITTI 2 has. Unpack its images, depth and '
            'text archives into one folder.',
        )
        trajectories = [self._frames(path.parent) for path in poses]
        super().__init__(trajectories, image_hw, num_views, stride)

    @staticmethod
    def _frames(folder: Path) -> list[Frame]:
        """Return the frames of one variant of a scene."""
        images = sorted((folder / 'frames' / 'rgb' / 'Camera_0').glob('rgb_*.jpg'))
        cameras = read_table(folder / 'intrinsic.txt', 6, header=True)
        poses = read_table(folder / 'extrinsic.txt', 18, header=True)
        cameras, poses = cameras[cameras[:, 1] == 0], poses[poses[:, 1] == 0]
        for rows, name in ((cameras, 'intrinsic.txt'), (poses, 'extrinsic.txt')):
            check_count(len(images), len(rows), folder / name)
        intrinsics = np.tile(np.eye(3), (len(images), 1, 1))
        intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]] = cameras[:, 2:]
        world_from_cam = np.linalg.inv(poses_from_rows(poses[:, 2:]))
        depth = folder / 'frames' / 'depth' / 'Camera_0'
        return [
            Frame(image, depth / f'depth_{image.stem.removeprefix("rgb_")}.png', k, pose)
            for image, k, pose in zip(images, intrinsics, world_from_cam, strict=True)
        ]

    def read_depth(self, frame: Frame) -> Float32Array:
        """Return depth in metres, inf in the sky."""
        centimetres = read_image(frame.depth, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
        if centimetres.dtype != np.uint16:
            raise InputError(f'{frame.depth} should be 16-bit; it is {centimetres.dtype}.')
        metres = centimetres / np.float32(100)
        return np.where(centimetres < SKY_CM, metres, np.float32(np.inf))
