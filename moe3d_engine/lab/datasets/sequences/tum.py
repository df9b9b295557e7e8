"""TUM RGB-D (Sturm et al. 2012) in its public layout."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import quaternion_from_rotation
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.lab.datasets.frames import read_png_depth
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.lab.datasets.sequences.scenes import associate
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

# fx, fy, cx, cy of the colour cameras, as the data set's page gives them.
CAMERAS_PX = {
    'freiburg1': (517.3, 516.5, 318.6, 255.3),
    'freiburg2': (520.9, 521.0, 325.1, 249.7),
    'freiburg3': (535.4, 539.2, 320.1, 247.6),
}


class Tum(Scenes):
    """
    Sequences such as `rgbd_dataset_freiburg3_walking_xyz`.

    A frame is a colour image with a true pose within 0.02 s; depth within 0.02 s where there is
    one. Nearest stamps are paired first, each once.
    """

    layout = 'SEQUENCE/{rgb.txt,depth.txt,groundtruth.txt} and the images that they name'

    def sequences(self) -> list[str]:
        """Return the folders that have a true trajectory."""
        return sorted(path.parent.name for path in self.root.glob('*/groundtruth.txt'))

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return the colour images with a true pose, by their stamps."""
        folder = self.root / sequence
        for name in ('rgb.txt', 'depth.txt', 'groundtruth.txt'):
            if not (folder / name).is_file():
                raise self.missing(folder / name)
        colour_s, colours = read_file_list(folder / 'rgb.txt')
        depth_s, depths = read_file_list(folder / 'depth.txt')
        poses = read_table(folder / 'groundtruth.txt', 8)
        depth_of = dict(associate(colour_s, depth_s))
        intrinsics = self._intrinsics(sequence)
        return [
            SceneFrame(
                colours[i],
                folder / colours[i],
                folder / depths[depth_of[i]] if i in depth_of else None,
                intrinsics,
                pose_from_row(poses[j]),
                float(colour_s[i]),
            )
            for i, j in associate(colour_s, poses[:, 0])
        ]

    @staticmethod
    def _intrinsics(sequence: str) -> Float64Array | None:
        """Return the matrix of the camera that a sequence's name tells."""
        for camera, (fx, fy, cx, cy) in CAMERAS_PX.items():
            if camera in sequence:
                return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return None

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth stored in fifths of a millimetre."""
        return read_png_depth(path, 5000.0)


def read_file_list(path: Path) -> tuple[Float64Array, list[str]]:
    """
    Read lines of `stamp file`; lines with # are comments.

    Raises
    ------
    InputError
        If a line has another form.
    """
    lines = [line.split() for line in path.read_text().splitlines()]
    rows = [line for line in lines if line and not line[0].startswith('#')]
    try:
        return np.array([float(stamp) for stamp, _ in rows]), [name for _, name in rows]
    except ValueError as error:
        raise InputError(f'{path} should have lines of "stamp file": {error}.') from error


def pose_from_row(row: Float64Array) -> Float64Array:
    """Return world_from_cam (4, 4) of stamp, tx ty tz, qx qy qz qw."""
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3] = rotation_from_quaternion(row[4:8])
    world_from_cam[:3, 3] = row[1:4]
    return world_from_cam


def write_trajectory(
    path: Path, stamps_ns: NDArray[np.int64], world_from_cam: Float64Array
) -> None:
    """
    Write poses as TUM's trajectory files have them: `stamp tx ty tz qx qy qz qw`.

    Parameters
    ----------
    path : of the file, which evo and others read.
    stamps_ns : (N,); written in seconds with all their digits.
    world_from_cam : (N, 4, 4).
    """
    quaternions = quaternion_from_rotation(world_from_cam[:, :3, :3])
    lines = ['# timestamp tx ty tz qx qy qz qw']
    for stamp_ns, pose, quaternion in zip(stamps_ns, world_from_cam, quaternions, strict=True):
        sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
        numbers = ' '.join(f'{value + 0.0:.9f}' for value in (*pose[:3, 3], *quaternion))
        lines.append(f'{sec}.{nanosec:09d} {numbers}')
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
