"""What the readers share: sets of frames along trajectories, fitted to one size."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from pathlib import Path
from typing import Any
from typing import NamedTuple

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.intake.files import read_image_view
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray


class Frame(NamedTuple):
    """One posed frame on disk."""

    rgb: Path
    depth: Path
    intrinsics: Float64Array  # (3, 3), pixels of an image of the size `intrinsics_hw`
    world_from_cam: Float64Array  # (4, 4), optical axes, metres
    intrinsics_hw: tuple[int, int] | None = None  # None: the size of the frame's own images


class FrameDataset:
    """
    Sets of `num_views` frames of a trajectory, `stride` frames apart.

    A trajectory is cut into blocks of num_views * stride frames and each block into `stride`
    interleaved sets, so a frame is in one set at most. A reader derives from this class and says
    how a frame's depth is read. Images are read when a set is asked for, not before.

    Parameters
    ----------
    trajectories : frames in the order in which they were taken.
    image_hw : height and width of the views; frames are resized to cover it and cropped.
    num_views : views of a set.
    stride : frames from one view of a set to the next.

    Raises
    ------
    ConfigError
        If num_views or stride is below 1.
    InputError
        If no trajectory is long enough for one set.
    """

    def __init__(
        self,
        trajectories: Sequence[Sequence[Frame]],
        image_hw: tuple[int, int],
        num_views: int,
        stride: int,
    ) -> None:
        if num_views < 1 or stride < 1:
            raise ConfigError(f'num_views and stride are at least 1; got {num_views}, {stride}.')
        self._image_hw = image_hw
        block = num_views * stride
        self._sets = [
            [frames[first + offset + view * stride] for view in range(num_views)]
            for frames in trajectories
            for first in range(0, len(frames) - block + 1, block)
            for offset in range(stride)
        ]
        if not self._sets:
            longest = max((len(frames) for frames in trajectories), default=0)
            raise InputError(
                f'No trajectory has the {block} frames of a set ({num_views} views, {stride} '
                f'frames apart); the longest has {longest}. Ask for fewer views.'
            )

    def __len__(self) -> int:
        """Return the number of sets."""
        return len(self._sets)

    def __getitem__(self, index: int) -> ViewSet:
        """
        Read one set.

        Raises
        ------
        InputError
            If a file is missing or damaged, or colour and depth differ in size.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'Set {index} of {len(self)}.')
        frames = self._sets[index]
        views = [self._read(frame) for frame in frames]
        return ViewSet(
            rgb=np.stack([rgb for rgb, _, _ in views]),
            depth=np.stack([depth for _, depth, _ in views]),
            intrinsics=np.stack([intrinsics for _, _, intrinsics in views]),
            world_from_cam=np.stack([frame.world_from_cam for frame in frames]),
            name=str(frames[0].rgb),
        )

    def read_depth(self, frame: Frame) -> Float32Array:
        """
        Return (H, W) float32 metres along optical z; NaN = unknown, inf = sky.

        The frame's intrinsics are in pixels of its own images here.
        """
        raise NotImplementedError

    def _read(self, frame: Frame) -> tuple[NDArray[np.uint8], Float32Array, Float64Array]:
        """Return colour, depth and intrinsics of a frame at the wanted size."""
        view = read_image_view(frame.rgb)
        height, width = view.image.shape[:2]
        if frame.intrinsics_hw is not None:
            scales = width / frame.intrinsics_hw[1], height / frame.intrinsics_hw[0]
            frame = frame._replace(intrinsics=scale_intrinsics(frame.intrinsics, *scales))
        depth = self.read_depth(frame)
        if depth.shape != (height, width):
            raise InputError(
                f'{frame.rgb} is {width} x {height} pixels and {frame.depth} '
                f'{depth.shape[1]} x {depth.shape[0]}; they must be of one size.'
            )
        view = dataclasses.replace(view, intrinsics=frame.intrinsics)
        fitted = fit_view(view, self._image_hw)
        assert fitted.intrinsics is not None
        return fitted.image, sample_depth(depth, self._image_hw), fitted.intrinsics


def sample_depth(depth: Float32Array, image_hw: tuple[int, int]) -> Float32Array:
    """Return the depth at the nearest pixel of each pixel of the fitted view; never a mixture."""
    source_from_fitted = np.linalg.inv(fit_geometry(depth.shape, image_hw).fitted_from_source)
    rows, columns = (
        np.rint(source_from_fitted[i, i] * np.arange(n) + source_from_fitted[i, 2]).astype(int)
        for i, n in ((1, image_hw[0]), (0, image_hw[1]))
    )
    rows, columns = rows.clip(0, depth.shape[0] - 1), columns.clip(0, depth.shape[1] - 1)
    sampled: Float32Array = depth[rows[:, None], columns]
    return sampled


def read_image(path: Path, mode: int) -> NDArray[Any]:
    """
    Read an image file with OpenCV.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    image = cv2.imread(str(path), mode)
    if image is None:
        raise InputError(f'Cannot read the image {path}: it is missing or damaged.')
    return image


def read_png_depth(path: Path, units_per_m: float, unknown: ArrayLike = 0) -> Float32Array:
    """
    Read a 16-bit depth image as metres.

    Parameters
    ----------
    path : the file.
    units_per_m : stored value of one metre.
    unknown : stored values that mean unknown; they become NaN.

    Raises
    ------
    InputError
        If the file is missing, damaged or not a 16-bit image of one channel.
    """
    stored = read_image(path, cv2.IMREAD_UNCHANGED)
    if stored.dtype != np.uint16 or stored.ndim != 2:
        raise InputError(
            f'{path} should hold 16-bit depth; it has type {stored.dtype} and shape '
            f'{stored.shape}.'
        )
    depth_m = stored.astype(np.float32) / np.float32(units_per_m)
    depth_m[np.isin(stored, unknown)] = np.nan
    return depth_m


def read_array(path: Path) -> Float32Array:
    """
    Read a `.npy` file of (H, W) depth as float32.

    Raises
    ------
    InputError
        If it is missing, damaged or has another shape.
    """
    try:
        depth = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f'Cannot read the depth {path}: {error}.') from error
    if depth.ndim != 2:
        raise InputError(f'{path} should hold one depth map (H, W); it has shape {depth.shape}.')
    return np.asarray(depth, np.float32)


def read_table(path: Path, columns: int, *, header: bool = False) -> Float64Array:
    """
    Read a text file of numbers, (rows, columns).

    Raises
    ------
    InputError
        If it is missing or has another form.
    """
    try:
        table = np.loadtxt(path, skiprows=int(header), ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f'Cannot read the numbers in {path}: {error}.') from error
    if table.shape[1] != columns:
        raise InputError(f'{path} should have {columns} columns; it has {table.shape[1]}.')
    return table


def poses_from_rows(rows: Float64Array) -> Float64Array:
    """Return (N, 4, 4) matrices of rows of 16 numbers."""
    return rows.reshape(-1, 4, 4)


def check_count(frames: int, poses: int, path: Path) -> None:
    """
    Check that there is one pose per frame.

    Raises
    ------
    InputError
        If not.
    """
    if frames != poses:
        raise InputError(f'{path} has {poses} poses for {frames} images; one each is needed.')


def find_files(root: Path, pattern: str, missing: str) -> list[Path]:
    """
    Return the files of a layout, sorted.

    Raises
    ------
    InputError
        If there are none: `root` holds no `missing`.
    """
    files = sorted(root.glob(pattern))
    if not files:
        raise InputError(f'{root} holds no {missing}')
    return files
