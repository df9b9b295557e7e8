"""TartanAir (Wang et al. 2020) in its public layout."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.lab.datasets.frames import check_count
from moe3d_engine.lab.datasets.frames import find_files
from moe3d_engine.lab.datasets.frames import Frame
from moe3d_engine.lab.datasets.frames import FrameDataset
from moe3d_engine.lab.datasets.frames import read_array
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.types import Float32Array
import numpy as np

# Of images of 640 x 480. TartanAir says cx = 320, cy = 240, counted from the image's corner; with
# pixel centres at integers the same point is half a pixel less.
INTRINSICS = np.array([[320.0, 0, 319.5], [0, 320.0, 239.5], [0, 0, 1]])
INTRINSICS_HW = (480, 640)
# The sky is a sphere some 10 km away, nearer along z in the image's corners.
SKY_M = 1e3
NED_FROM_OPTICAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


class TartanAir(FrameDataset):
    """
    Left cameras of all trajectories: `ENV/{Easy,Hard}/P000/{image_left,depth_left}`.

    `pose_left.txt` holds tx ty tz qx qy qz qw of each frame; world and camera have x forward, y
    right and z down. Both become optical here: x right, y down, z forward. Images have 640 x 480
    pixels and a focal length of 320; smaller copies of the same shape work as well.

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
        poses = find_files(
            root,
            '**/pose_left.txt',
            'ENV/Easy/P000/pose_left.txt as TartanAir has. Give the folder of its environments.',
        )
        trajectories = [self._frames(path.parent) for path in poses]
        super().__init__(trajectories, image_hw, num_views, stride)

    @staticmethod
    def _frames(folder: Path) -> list[Frame]:
        """Return the frames of one trajectory."""
        images = sorted((folder / 'image_left').glob('*_left.png'))
        rows = read_table(folder / 'pose_left.txt', 7)
        check_count(len(images), len(rows), folder / 'pose_left.txt')
        world_from_cam = np.tile(np.eye(4), (len(rows), 1, 1))
        rotation = rotation_from_quaternion(rows[:, 3:])
        world_from_cam[:, :3, :3] = NED_FROM_OPTICAL.T @ rotation @ NED_FROM_OPTICAL
        world_from_cam[:, :3, 3] = rows[:, :3] @ NED_FROM_OPTICAL
        depths = [folder / 'depth_left' / f'{image.stem}_depth.npy' for image in images]
        return [
            Frame(image, depth, INTRINSICS, pose, INTRINSICS_HW)
            for image, depth, pose in zip(images, depths, world_from_cam, strict=True)
        ]

    def read_depth(self, frame: Frame) -> Float32Array:
        """Return depth in metres, inf in the sky."""
        depth = read_array(frame.depth)
        return np.where(depth >= SKY_M, np.float32(np.inf), depth)
