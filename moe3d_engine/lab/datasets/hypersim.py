"""Hypersim (Roberts et al. 2021) in its public layout."""

from __future__ import annotations

from collections.abc import Sequence
import csv
import logging
from pathlib import Path
from typing import NamedTuple

from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.frames import find_files
from moe3d_engine.lab.datasets.frames import Frame
from moe3d_engine.lab.datasets.frames import FrameDataset
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

IMAGE_HW = (768, 1024)  # of all published images; intrinsics are in its pixels
TABLE = 'metadata_camera_parameters.csv'
# Projections with more skew than this are left out: nothing here has room for skew, and up to
# here it moves no pixel by half a pixel.
MAX_SKEW = 1e-3
_LOGGER = logging.getLogger(__name__)


class Camera(NamedTuple):
    """The pinhole camera of a scene."""

    intrinsics: Float64Array  # (3, 3) in pixels of an image of IMAGE_HW
    stored_from_optical: Float64Array  # (3, 3); stored axes are x right, y up, z backwards


USUAL_PROJECTION = np.array(
    [[3**0.5, 0, 0, 0], [0, 3**0.5 * 4 / 3, 0, 0], [0, 0, -1, -2], [0, 0, -1, 0]]
)  # pi / 3 across, OpenGL


class Hypersim(FrameDataset):
    """
    All cameras of all scenes: `ai_VVV_NNN/{_detail,images}`, tone-mapped previews for colour.

    Depth is stored as distance from the camera's centre and becomes depth along optical z here;
    positions are stored in asset units and become metres. Frames are a camera's trajectory in the
    order of their numbers; those without an image are left out.

    More than half of the scenes have a shifted or tilted lens. Their projections are columns
    `M_proj_00` to `M_proj_33` of `metadata_camera_parameters.csv`, which is published beside the
    data: put it into the root. A tilted lens is an upright pinhole camera that looks elsewhere, so
    poses are those of that camera, and principal points may lie far from the centre. Scenes whose
    projection has skew are left out (23 of 482). Without the table all scenes get a field of view
    of pi / 3 across, which is wrong for those with another lens; both is logged as a warning.

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
        cameras = find_files(
            root,
            'ai_*_*/_detail/cam_*/camera_keyframe_positions.hdf5',
            'ai_001_001/_detail/cam_00/camera_keyframe_positions.hdf5 as Hypersim has. Give the '
            'folder of its scenes.',
        )
        scenes = sorted({path.parents[2].name for path in cameras})
        lenses = scene_cameras(root / TABLE, scenes)
        trajectories = [
            self._frames(path.parent, lenses[path.parents[2].name])
            for path in cameras
            if path.parents[2].name in lenses
        ]
        super().__init__(trajectories, image_hw, num_views, stride)

    @staticmethod
    def _frames(camera: Path, lens: Camera) -> list[Frame]:
        """Return the frames of one trajectory of one scene."""
        scene = camera.parents[1]
        unit_m = meters_per_asset_unit(scene / '_detail' / 'metadata_scene.csv')
        positions = read_hdf5(camera / 'camera_keyframe_positions.hdf5')
        rotations = read_hdf5(camera / 'camera_keyframe_orientations.hdf5')
        colour = scene / 'images' / f'scene_{camera.name}_final_preview'
        geometry = scene / 'images' / f'scene_{camera.name}_geometry_hdf5'
        num_poses = min(len(positions), len(rotations))
        frames = []
        for image in sorted(colour.glob('frame.*.tonemap.jpg')):
            number = image.name.split('.')[1]
            if int(number) >= num_poses:
                raise InputError(f'{camera} has {num_poses} poses, none for {image.name}.')
            pose = np.eye(4)
            pose[:3, :3] = rotations[int(number)] @ lens.stored_from_optical
            pose[:3, 3] = unit_m * positions[int(number)]
            depth = geometry / f'frame.{number}.depth_meters.hdf5'
            frames.append(Frame(image, depth, lens.intrinsics, pose, IMAGE_HW))
        return frames

    def read_depth(self, frame: Frame) -> Float32Array:
        """Return depth along optical z in metres; NaN stays unknown."""
        distance = read_hdf5(frame.depth)
        k = frame.intrinsics
        x = (np.arange(distance.shape[1]) - k[0, 2]) / k[0, 0]
        y = (np.arange(distance.shape[0])[:, None] - k[1, 2]) / k[1, 1]
        return np.asarray(distance / np.sqrt(x**2 + y**2 + 1), np.float32)


def scene_cameras(table: Path, scenes: Sequence[str]) -> dict[str, Camera]:
    """
    Return the cameras of `scenes`, but for those with skew.

    Raises
    ------
    InputError
        If the table is damaged or lacks a scene.
    """
    if not table.exists():
        _LOGGER.warning(
            '%s is missing: all scenes are read as if their lenses were neither shifted nor '
            'tilted, which is wrong for more than half of the published ones.',
            table,
        )
        return dict.fromkeys(scenes, camera_from_projection(USUAL_PROJECTION))
    projections = read_projections(table)
    missing = [scene for scene in scenes if scene not in projections]
    if missing:
        raise InputError(f'{table} has no row for {", ".join(missing)}; take the published table.')
    cameras = {scene: camera_from_projection(projections[scene]) for scene in scenes}
    skewed = [name for name, (k, _) in cameras.items() if abs(k[0, 1] / k[0, 0]) > MAX_SKEW]
    if skewed:
        _LOGGER.warning('Left out, because their images are skewed: %s.', ', '.join(skewed))
    for camera in cameras.values():
        camera.intrinsics[0, 1] = 0.0
    return {name: camera for name, camera in cameras.items() if name not in skewed}


def camera_from_projection(projection: Float64Array) -> Camera:
    """
    Return the pinhole camera of an OpenGL projection (4, 4); its intrinsics may have skew.

    Notes
    -----
    The rows of x, y and w map directions to homogeneous pixels, up to scale. Any such matrix is
    an upper triangular one (intrinsics) times a rotation (RQ decomposition; Hartley & Zisserman
    2004, section 6.2.4), whatever tilt the lens has.
    """
    height, width = IMAGE_HW
    pixel_from_ndc = np.array(
        [[width / 2, 0, (width - 1) / 2], [0, -height / 2, (height - 1) / 2], [0, 0, 1]]
    )
    pixel_from_stored = pixel_from_ndc @ projection[[0, 1, 3], :3]
    # numpy has QR alone: of the transposed matrix with its rows in reverse it is RQ.
    q, r = np.linalg.qr(pixel_from_stored[::-1].T)
    signs = np.sign(np.diagonal(r))
    stored_from_optical = (q * signs)[:, ::-1]
    intrinsics = (r.T * signs)[::-1, ::-1]
    return Camera(intrinsics / intrinsics[2, 2], stored_from_optical)


def read_projections(path: Path) -> dict[str, Float64Array]:
    """
    Return the OpenGL projection (4, 4) of each scene of the table.

    Raises
    ------
    InputError
        If the file lacks a column.
    """
    projections = {}
    try:
        with path.open(newline='') as file:
            for row in csv.DictReader(file):
                entries = [float(row[f'M_proj_{i}{j}']) for i in range(4) for j in range(4)]
                projections[row['scene_name']] = np.array(entries).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f'{path} is not the table of camera parameters: {error!r}.') from error
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
