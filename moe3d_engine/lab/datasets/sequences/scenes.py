"""What the readers of evaluation sets share: named sequences of frames at their own size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from typing import NamedTuple

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.intake.files import read_image_view
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np


class SceneFrame(NamedTuple):
    """One frame of a sequence on disk."""

    key: str  # names the frame within its sequence
    rgb: Path
    depth: Path | None = None
    intrinsics: Float64Array | None = None  # (3, 3), pixels of the depth map
    world_from_cam: Float64Array | None = None  # (4, 4), optical axes, metres; None = unknown
    stamp_s: float | None = None


class SceneImage(NamedTuple):
    """A frame that has been read; colour has the size of depth."""

    rgb: UInt8Array  # (H, W, 3)
    depth_m: Float32Array  # (H, W) along optical z, NaN = unknown
    intrinsics: Float64Array | None  # (3, 3), pixels of both
    world_from_cam: Float64Array | None  # (4, 4)


class Scenes:
    """
    A public data set as sequences of frames, read one frame at a time.

    A reader derives from this class and says what a sequence is, where its frames are and how
    depth is stored.

    Parameters
    ----------
    root : the folder in which `layout` is expected.
    """

    layout: ClassVar[str]  # the files that a root has, for people

    def __init__(self, root: Path) -> None:
        self.root = root

    def sequences(self) -> list[str]:
        """Return the names of the sequences that are there, sorted."""
        raise NotImplementedError

    def frames(self, sequence: str) -> list[SceneFrame]:
        """
        Return the frames of a sequence in the order in which they were taken.

        Raises
        ------
        InputError
            If there is no such sequence, or a file is missing or damaged.
        """
        raise NotImplementedError

    def read_depth(self, path: Path) -> Float32Array:
        """Return (H, W) float32 metres along optical z; NaN = unknown."""
        raise NotImplementedError

    def read(self, frame: SceneFrame) -> SceneImage:
        """
        Read a frame; colour of another size is resized to its depth.

        Raises
        ------
        InputError
            If the frame has no depth, a file is missing or damaged, or colour and depth differ in
            shape.
        """
        if frame.depth is None:
            raise InputError(f'{frame.rgb} has no depth map within 0.02 s; depth is needed here.')
        rgb = read_image_view(frame.rgb).image
        depth_m = self.read_depth(frame.depth)
        height, width = depth_m.shape
        if abs(rgb.shape[0] * width - rgb.shape[1] * height) > max(rgb.shape[:2]):
            raise InputError(
                f'{frame.rgb} is {rgb.shape[1]} x {rgb.shape[0]} pixels and {frame.depth} '
                f'{width} x {height}; they must have one shape.'
            )
        if rgb.shape[:2] != depth_m.shape:
            shrinks = height < rgb.shape[0]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resized = cv2.resize(rgb, (width, height), interpolation=interpolation)
            rgb = np.asarray(resized, np.uint8)
        return SceneImage(rgb, depth_m, frame.intrinsics, frame.world_from_cam)

    def missing(self, what: Path) -> InputError:
        """Return the error for a file or folder of the layout that is not there."""
        return InputError(f'There is no {what}. Expected below {self.root}: {self.layout}')


def associate(
    first_s: Float64Array, second_s: Float64Array, max_difference_s: float = 0.02
) -> list[tuple[int, int]]:
    """
    Pair stamps of two sensors, nearest pairs first, each stamp once.

    Parameters
    ----------
    first_s, second_s : (N,), (M,) stamps in seconds, in any order.
    max_difference_s : pairs further apart are left out.

    Returns
    -------
    Indices (into first_s, into second_s), by the stamps of the first.
    """
    order = np.argsort(second_s, kind='stable')
    ordered_s = second_s[order]
    candidates = []
    for i, stamp_s in enumerate(first_s):
        reach = [stamp_s - max_difference_s, stamp_s + max_difference_s]
        low, high = np.searchsorted(ordered_s, reach)
        candidates += [(abs(ordered_s[k] - stamp_s), i, int(order[k])) for k in range(low, high)]
    pairs: list[tuple[int, int]] = []
    free_first, free_second = set(range(len(first_s))), set(range(len(second_s)))
    for _, i, j in sorted(candidates):
        if i in free_first and j in free_second:
            free_first.remove(i)
            free_second.remove(j)
            pairs.append((i, j))
    return sorted(pairs, key=lambda pair: float(first_s[pair[0]]))


def existing_folder(root: Path, places: Sequence[str], scenes: Scenes) -> Path:
    """
    Return the first of the places below root that is a folder.

    Raises
    ------
    InputError
        If none is; the message names the layout.
    """
    for place in places:
        if (root / place).is_dir():
            return root / place
    raise scenes.missing(root / places[0])
