"""7-Scenes (Shotton et al. 2013) in its public layout."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.frames import read_png_depth
from moe3d_engine.lab.datasets.frames import read_table
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array
import numpy as np

# Kind of depth -> ending of its files, focal length in pixels of 640 x 480. `registered` is depth
# projected into the colour camera, as SimpleRecon prepares it; `sensor` is the depth camera's own.
DEPTH_KINDS = {'registered': ('.depth.proj.png', 525.0), 'sensor': ('.depth.png', 585.0)}
UNKNOWN_MM = (0, 65535)


class SevenScenes(Scenes):
    """
    Sequences such as `chess/seq-03`, with poses of every frame.

    Parameters
    ----------
    root : the folder of the scenes.
    depth_kind : `registered` or `sensor`.

    Raises
    ------
    ConfigError
        If the kind of depth is unknown.
    """

    layout = (
        'SCENE/seq-NN/frame-NNNNNN.{color.png,depth.proj.png,pose.txt} (depth.proj.png as '
        "SimpleRecon's preprocessing writes it; depth.png for the depth camera's own)"
    )

    def __init__(self, root: Path, depth_kind: str = 'registered') -> None:
        super().__init__(root)
        if depth_kind not in DEPTH_KINDS:
            raise ConfigError(f'depth_kind is one of {", ".join(DEPTH_KINDS)}; got {depth_kind}.')
        self._suffix, self._focal_px = DEPTH_KINDS[depth_kind]

    def sequences(self) -> list[str]:
        """Return SCENE/seq-NN of all sequences with colour images."""
        folders = {path.parent for path in self.root.glob('*/seq-*/frame-*.color.png')}
        return sorted(folder.relative_to(self.root).as_posix() for folder in folders)

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return the frames of one sequence."""
        folder = self.root / sequence
        images = sorted(folder.glob('frame-*.color.png'))
        if not images:
            raise self.missing(folder / 'frame-000000.color.png')
        return [self._frame(folder, image.name.removesuffix('.color.png')) for image in images]

    def _frame(self, folder: Path, key: str) -> SceneFrame:
        """Return one frame."""
        depth, pose = folder / f'{key}{self._suffix}', folder / f'{key}.pose.txt'
        if not depth.is_file():
            raise self.missing(depth)
        world_from_cam = read_table(pose, 4)
        if world_from_cam.shape != (4, 4):
            raise InputError(
                f'{pose} should hold a 4x4 matrix; it has {len(world_from_cam)} rows.'
            )
        focal_px = self._focal_px
        intrinsics = np.array([[focal_px, 0, 320.0], [0, focal_px, 240.0], [0, 0, 1]])
        rgb = folder / f'{key}.color.png'
        return SceneFrame(key, rgb, depth, intrinsics, world_from_cam)

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth stored in millimetres; 0 and 65535 are unknown."""
        return read_png_depth(path, 1000.0, UNKNOWN_MM)
