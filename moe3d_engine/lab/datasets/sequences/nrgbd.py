"""Neural RGB-D (Azinovic et al. 2022), its synthetic scenes, in their public layout."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.frames import check_count
from moe3d_engine.lab.datasets.frames import poses_from_rows
from moe3d_engine.lab.datasets.frames import read_png_depth
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array
import numpy as np

FOCAL_PX = 554.2562584220408  # of 640 x 480
INTRINSICS = np.array([[FOCAL_PX, 0, 320.0], [0, FOCAL_PX, 240.0], [0, 0, 1]])


class Nrgbd(Scenes):
    """
    Scenes such as `breakfast_room`. Poses are OpenGL's (y up, z back) and become optical here.

    A pose that the file gives as NaN is unknown (None).
    """

    layout = 'SCENE/images/imgN.png, SCENE/depth/depthN.png (millimetres), SCENE/poses.txt'

    def sequences(self) -> list[str]:
        """Return the scenes that have poses."""
        return sorted(path.parent.name for path in self.root.glob('*/poses.txt'))

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return the frames of one scene by their numbers."""
        folder = self.root / sequence
        images = {self._number(path): path for path in (folder / 'images').glob('img*.png')}
        if not images:
            raise self.missing(folder / 'images' / 'img0.png')
        rows = read_table(folder / 'poses.txt', 4)
        if len(rows) % 4:
            raise InputError(f'{folder / "poses.txt"} should hold 4 rows per pose.')
        poses = poses_from_rows(rows)
        check_count(len(images), len(poses), folder / 'poses.txt')
        poses[:, :, 1:3] *= -1.0  # of the camera's axes y and z
        return [
            SceneFrame(
                str(number),
                images[number],
                folder / 'depth' / f'depth{number}.png',
                INTRINSICS,
                pose if np.isfinite(pose).all() else None,
            )
            for number, pose in zip(sorted(images), poses, strict=True)
        ]

    @staticmethod
    def _number(path: Path) -> int:
        """Return N of imgN.png."""
        number = path.stem.removeprefix('img')
        if not number.isdigit():
            raise InputError(f'{path} should be called imgN.png with a number N.')
        return int(number)

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth stored in millimetres."""
        return read_png_depth(path, 1000.0)
