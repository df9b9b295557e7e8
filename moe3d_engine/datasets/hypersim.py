"""Hypersim (Roberts et al. 2021) in its public layout."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from moe3d_engine.datasets.frames import Frame
from moe3d_engine.datasets.frames import FrameDataset
from moe3d_engine.datasets.frames import read_image
from moe3d_engine.errors import InputError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

FOV_W = math.pi / 3  # of scenes without a row in metadata_camera_parameters.csv
OPENGL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0])


class Hypersim(FrameDataset):
    """
    All cameras of all scenes: `ai_VVV_NNN/{_detail,images}`, tone-mapped previews for colour.

    Depth is stored as distance from the camera's centre and becomes depth along optical z here;
    positions are stored in asset units and become metres. Frames are a camera's trajectory in the
    order of their numbers; those without an image are left out. With
    `metadata_camera_parameters.csv` in the root, each scene has its own projection; scenes with a
    tilted lens, which no pinhole describes, are refused.

    Parameters
    ----------
    root : the folder of the scenes.
    image_hw, num_views, stride : see FrameDataset.

    Raises
    ------
    InputError
        If there is no scene, or a file of one is missing or damaged.
    """

    def __init__(
        self, root: Path, image_hw: tuple[int, int], num_views: int = 4, stride: int = 1
    ) -> None:
        cameras = sorted(root.glob('ai_*_*/_detail/cam_*/camera_keyframe_positions.hdf5'))
        if not cameras:
            raise InputError(
                f'{root} holds no ai_001_001/_detail/cam_00/camera_keyframe_positions.hdf5 as '
                'Hypersim has. Give the folder of its scenes.'
            )
        projections = read_projections(root / 'metadata_camera_parameters.csv')
        trajectories = [self._frames(path.parent, projections) for path in cameras]
        super().__init__(trajectories, image_hw, num_views, stride)

    @staticmethod
    def _frames(camera: Path, projections: dict[str, Float64Array]) -> list[Frame]:
        """Return the frames of one camera of one scene."""
        scene = camera.parents[1]
        unit_m = meters_per_asset_unit(scene / '_detail' / 'metadata_scene.csv')
        positions = read_hdf5(camera / 'camera_keyframe_positions.hdf5')
        rotations = read_hdf5(camera / 'camera_keyframe_orientations.hdf5')
        colour = scene / 'images' / f'scene_{camera.name}_final_preview'
        geometry = scene / 'images' / f'scene_{camera.name}_geometry_hdf5'
        images = sorted(colour.glob('frame.*.tonemap.jpg'))
        if not images:
            return []
        intrinsics = intrinsics_of(
            read_image(images[0], -1).shape[:2], projections.get(scene.name)
        )
        frames = []
        for image in images:
            number = image.name.split('.')[1]
            if int(number) >= len(positions):
                raise InputError(f'{camera} has {len(positions)} poses, none for {image.name}.')
            pose = np.eye(4)
            pose[:3, :3] = rotations[int(number)] @ OPENGL_FROM_OPTICAL
            pose[:3, 3] = unit_m * positions[int(number)]
            depth = geometry / f'frame.{number}.depth_meters.hdf5'
            frames.append(Frame(image, depth, intrinsics, pose))
        return frames

    def read_depth(self, frame: Frame) -> Float32Array:
        """Return depth along optical z in metres; NaN stays unknown."""
        distance = read_hdf5(frame.depth)
        k = frame.intrinsics
        x = (np.arange(distance.shape[1]) - k[0, 2]) / k[0, 0]
        y = (np.arange(distance.shape[0])[:, None] - k[1, 2]) / k[1, 1]
        return np.asarray(distance / np.sqrt(x**2 + y**2 + 1), np.float32)


def intrinsics_of(image_hw: tuple[int, ...], projection: Float64Array | None) -> Float64Array:
    """Return the intrinsics of an OpenGL projection (4, 4), or of the usual field of view."""
    height, width = image_hw
    if projection is None:
        focal = width / 2 / math.tan(FOV_W / 2)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    focal_x, focal_y = projection[0, 0] * width / 2, projection[1, 1] * height / 2
    x, y = (1 - projection[0, 2]) * width / 2, (1 + projection[1, 2]) * height / 2
    return np.array([[focal_x, 0, x - 0.5], [0, focal_y, y - 0.5], [0, 0, 1.0]])


def read_projections(path: Path) -> dict[str, Float64Array]:
    """
    Return the OpenGL projection of each scene with one; none without the file.

    Raises
    ------
    InputError
        If the file lacks a column or a scene has a tilted lens.
    """
    if not path.exists():
        return {}
    projections = {}
    try:
        with path.open(newline='') as file:
            for row in csv.DictReader(file):
                entries = [float(row[f'M_proj_{i}{j}']) for i in range(4) for j in range(4)]
                projections[row['scene_name']] = np.array(entries).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f'{path} is not the table of camera parameters: {error!r}.') from error
    tilted = [
        name
        for name, p in projections.items()
        if abs(p[[0, 1], [1, 0]]).max() > 1e-6 or abs(p[3] - [0, 0, -1, 0]).max() > 1e-6
    ]
    present = [name for name in tilted if (path.parent / name).exists()]
    if present:
        raise InputError(
            f'{", ".join(present)} have tilted lenses, which a pinhole camera cannot describe. '
            'Move these scenes away.'
        )
    return projections


def meters_per_asset_unit(path: Path) -> float:
    """
    Return the scale of a scene.

    Raises
    ------
    InputError
        If the file does not say it.
    """
    try:
        with path.open(newline='') as file:
            rows = {row[0]: row[1] for row in csv.reader(file) if len(row) >= 2}
        return float(rows['meters_per_asset_unit'])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f'{path} does not say meters_per_asset_unit: {error!r}.') from error


def read_hdf5(path: Path) -> NDArray[np.float64]:
    """
    Read the one array of a file.

    Raises
    ------
    InputError
        If h5py is not installed, or the file is missing or damaged.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError('Hypersim is read with h5py: pip install h5py') from error
    try:
        with h5py.File(path, 'r') as file:
            return np.asarray(file['dataset'][:], np.float64)
    except (OSError, KeyError) as error:
        raise InputError(f'Cannot read {path}: {error}.') from error
