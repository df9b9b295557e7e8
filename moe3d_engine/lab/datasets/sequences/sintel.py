"""MPI Sintel (Butler et al. 2012) with its depth and camera files."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.datasets.sequences.scenes import existing_folder
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

TAG = np.float32(202021.25)  # 'PIEH', first in every file of depth and cameras


class Sintel(Scenes):
    """Sequences such as `alley_2`, the final pass; depth without unknown pixels."""

    layout = (
        'training/final/SEQUENCE/frame_NNNN.png, training/depth/SEQUENCE/frame_NNNN.dpt, '
        'training/camdata_left/SEQUENCE/frame_NNNN.cam'
    )

    def sequences(self) -> list[str]:
        """Return the sequences of the final pass."""
        folders = [*self.root.glob('training/final/*/'), *self.root.glob('final/*/')]
        return sorted({folder.name for folder in folders})

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return the frames of one sequence; cameras where their files are there."""
        places = (f'training/final/{sequence}', f'final/{sequence}')
        images = existing_folder(self.root, places, self)
        training = images.parents[1]
        frames = []
        for path in sorted(images.glob('frame_*.png')):
            camera = training / 'camdata_left' / sequence / f'{path.stem}.cam'
            intrinsics, pose = read_cam(camera) if camera.is_file() else (None, None)
            depth = training / 'depth' / sequence / f'{path.stem}.dpt'
            frames.append(SceneFrame(path.stem, path, depth, intrinsics, pose))
        if not frames:
            raise self.missing(images / 'frame_0001.png')
        return frames

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth as the film's scene has it."""
        return read_dpt(path)


def read_dpt(path: Path) -> Float32Array:
    """
    Read a `.dpt` file: tag, width, height (int32), then float32 rows.

    Raises
    ------
    InputError
        If the file is missing, has another tag or another length.
    """
    content = _content(path)
    width, height = np.frombuffer(content[4:12].ljust(8, b'\0'), '<i4')
    if len(content) != 12 + 4 * int(width) * int(height):
        raise InputError(f'{path} says {width} x {height} pixels; it holds {len(content)} bytes.')
    return np.frombuffer(content[12:], '<f4').reshape(height, width).astype(np.float32)


def read_cam(path: Path) -> tuple[Float64Array, Float64Array]:
    """
    Read a `.cam` file: tag, then float64: nine intrinsics and the 3x4 camera from world.

    Returns
    -------
    Intrinsics (3, 3), world_from_cam (4, 4).

    Raises
    ------
    InputError
        If the file is missing, has another tag or another length.
    """
    content = _content(path)
    if len(content) != 4 + 8 * 21:
        raise InputError(f'{path} should hold 172 bytes; it holds {len(content)}.')
    numbers = np.frombuffer(content[4:], '<f8')
    cam_from_world = np.eye(4)
    cam_from_world[:3] = numbers[9:].reshape(3, 4)
    return numbers[:9].reshape(3, 3).copy(), invert_rigid(cam_from_world)


def _content(path: Path) -> bytes:
    """Return the bytes of a file that begins with the tag."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f'Cannot read {path}: {error.strerror}.') from error
    if content[:4] != TAG.tobytes():
        raise InputError(f'{path} does not begin with the tag {float(TAG)} of Sintel.')
    return content
