"""TartanAir (Wang et al. 2020) in its public layout."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.datasets.frames import check_count
from moe3d_engine.datasets.frames import Frame
from moe3d_engine.datasets.frames import FrameDataset
from moe3d_engine.datasets.frames import read_image
from moe3d_engine.datasets.frames import read_table
from moe3d_engine.datasets.rgbd_folder import read_array
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

SKY_M = 1e4  # the renderer writes tens of kilometres where nothing is
NED_FROM_OPTICAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


class TartanAir(FrameDataset):
    """
    Left cameras of all trajectories: `ENV/{Easy,Hard}/P000/{image_left,depth_left}`.

    `pose_left.txt` holds tx ty tz qx qy qz qw of each frame; world and camera have x forward, y
    right and z down. Both become optical here: x right, y down, z forward. The field of view is
    90 degrees across.

    Parameters
    ----------
    root : the folder of the environments.
    image_hw, num_views, stride : see FrameDataset.

    Raises
    ------
    InputError
        If there is no such trajectory.
    """

    def __init__(
        self, root: Path, image_hw: tuple[int, int], num_views: int = 4, stride: int = 5
    ) -> None:
        folders = sorted(path.parent for path in root.glob('**/pose_left.txt'))
        if not folders:
            raise InputError(
                f'{root} holds no ENV/Easy/P000/pose_left.txt as TartanAir has. Give the folder '
                'of its environments.'
            )
        trajectories = [self._frames(folder) for folder in folders]
        super().__init__(trajectories, image_hw, num_views, stride)

    @staticmethod
    def _frames(folder: Path) -> list[Frame]:
        """Return the frames of one trajectory."""
        images = sorted((folder / 'image_left').glob('*_left.png'))
        rows = read_table(folder / 'pose_left.txt', 7)
        check_count(len(images), len(rows), folder / 'pose_left.txt')
        if not images:
            return []
        world_from_cam = np.tile(np.eye(4), (len(rows), 1, 1))
        rotation = rotation_from_quaternion(rows[:, 3:])
        world_from_cam[:, :3, :3] = NED_FROM_OPTICAL.T @ rotation @ NED_FROM_OPTICAL
        world_from_cam[:, :3, 3] = rows[:, :3] @ NED_FROM_OPTICAL
        height, width = read_image(images[0], -1).shape[:2]
        intrinsics: Float64Array = np.array(
            [[width / 2, 0, (width - 1) / 2], [0, width / 2, (height - 1) / 2], [0, 0, 1.0]]
        )
        depths = [folder / 'depth_left' / f'{image.stem}_depth.npy' for image in images]
        return [
            Frame(image, depth, intrinsics, pose)
            for image, depth, pose in zip(images, depths, world_from_cam, strict=True)
        ]

    def read_depth(self, frame: Frame) -> Float32Array:
        """Return depth in metres, inf in the sky."""
        depth = read_array(frame.depth)
        return np.where(depth < SKY_M, depth, np.float32(np.inf))
