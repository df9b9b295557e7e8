"""A plain folder of RGB-D frames."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.intake.files import list_images
from moe3d_engine.lab.datasets.frames import check_count
from moe3d_engine.lab.datasets.frames import Frame
from moe3d_engine.lab.datasets.frames import FrameDataset
from moe3d_engine.lab.datasets.frames import poses_from_rows
from moe3d_engine.lab.datasets.frames import read_array
from moe3d_engine.lab.datasets.frames import read_png_depth
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.types import Float32Array


class RgbdFolder(FrameDataset):
    """
    Frames of one camera in one folder.

    `rgb/` holds images, `depth/` files of the same names without their endings: `.png` (uint16
    millimetres, 0 = unknown) or `.npy` (float32 metres, NaN = unknown, inf = sky), along optical
    z. `intrinsics.txt` holds a 3x3 matrix in pixels, `poses.txt` 16 numbers per image in the
    order of the names: world from camera, x right, y down, z forward, in metres.

    Parameters
    ----------
    root : the folder.
    image_hw, num_views, stride : see FrameDataset.

    Raises
    ------
    InputError
        If a file is missing or damaged, or there is not one pose per image.
    """

    def __init__(
        self, root: Path, image_hw: tuple[int, int], num_views: int = 4, stride: int = 1
    ) -> None:
        if not (root / 'rgb').is_dir():
            raise InputError(
                f'{root} has no folder rgb/; it needs rgb/, depth/, intrinsics.txt, poses.txt.'
            )
        images = list_images(root / 'rgb')
        intrinsics = read_table(root / 'intrinsics.txt', 3)
        if len(intrinsics) != 3:
            raise InputError(
                f'{root / "intrinsics.txt"} should hold a 3x3 matrix; it has {len(intrinsics)} '
                'rows.'
            )
        poses = poses_from_rows(read_table(root / 'poses.txt', 16))
        check_count(len(images), len(poses), root / 'poses.txt')
        frames = [
            Frame(path, self._depth_path(root / 'depth', path.stem), intrinsics, pose)
            for path, pose in zip(images, poses, strict=True)
        ]
        super().__init__([frames], image_hw, num_views, stride)

    @staticmethod
    def _depth_path(folder: Path, stem: str) -> Path:
        """Return the depth file of an image."""
        arrays = folder / f'{stem}.npy'
        return arrays if arrays.exists() else folder / f'{stem}.png'

    def read_depth(self, frame: Frame) -> Float32Array:
        """Return depth in metres."""
        if frame.depth.suffix == '.png':
            return read_png_depth(frame.depth, 1000.0)
        return read_array(frame.depth)
