"""The data that cross the engine's boundary: views in, reconstructions out."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from enum import Enum
from typing import NamedTuple
from typing import TypeAlias

from moe3d_engine.errors import ShapeError
import numpy as np
from numpy.typing import NDArray

Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
UInt8Array: TypeAlias = NDArray[np.uint8]


class DepthScale(Enum):
    """Whether depth and translations are metres or only proportional to metres."""

    METRIC = 'metric'
    RELATIVE = 'relative'


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """
    One rectified camera image.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB.
    intrinsics : (3, 3) float64 in pixels of `image`, zero skew, pixel centres at integer
        coordinates; None where the camera is not calibrated.
    stamp_ns : acquisition time in nanoseconds.
    frame_id : name of the camera's optical frame (x right, y down, z forward; REP 103).
    camera : name of the camera in a rig.

    Raises
    ------
    ShapeError
        If `image` or `intrinsics` has another shape or type.
    """

    image: UInt8Array
    intrinsics: Float64Array | None = None
    stamp_ns: int = 0
    frame_id: str = ''
    camera: str = 'camera'

    def __post_init__(self) -> None:
        """Check the shapes once."""
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ShapeError(
                f'A view needs an RGB image of shape (H, W, 3) and type uint8; got shape '
                f'{self.image.shape} and type {self.image.dtype}. Convert it to RGB first.'
            )
        if self.intrinsics is not None and self.intrinsics.shape != (3, 3):
            raise ShapeError(f'Intrinsics are a 3x3 matrix; got shape {self.intrinsics.shape}.')


class RawOutputs(NamedTuple):
    """
    What a backend returns: the network's outputs as numpy arrays that the caller owns.

    `P` published views of `V` views in the batch; `H`, `W` is the network's resolution.
    """

    depth: Float32Array  # (P, H, W), along optical z, in the unit of the weights
    boundary_confidence: Float32Array  # (P, H, W), probability in [0, 1]; see model/mixture.py
    agreement: Float32Array  # (P, H, W), gate weight that agrees with the depth, in [0, 1]
    pose_encoding: Float32Array  # (V, 9): translation, quaternion xyzw, fov_h, fov_w in rad
    depth_confidence: Float32Array  # (P, H, W), VGGT's, above 1 and no probability


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """
    The result for one window of `V` views, of which `P` are published. It owns its arrays.

    Parameters
    ----------
    views : the V input views, oldest first.
    published : indices into `views` of the P published ones.
    image : (P, H, W, 3) uint8, the pixels that belong to the depth pixels.
    intrinsics : (P, 3, 3) float64, pixels of `depth`.
    depth_raw : (P, H, W) float32 along optical z, before rejection and range limits; finite.
    depth : (P, H, W) float32; NaN = unknown or rejected, +Inf = beyond range (REP 117).
    boundary_confidence : (P, H, W) float32 in [0, 1]; finite, 0 where `depth` is NaN.
    cam_from_world : (V, 4, 4) float64; the world is the first view's camera frame.
    depth_scale : whether depth and translations are metres.
    timings_ms : duration of each stage.
    """

    views: tuple[View, ...]
    published: tuple[int, ...]
    image: UInt8Array
    intrinsics: Float64Array
    depth_raw: Float32Array
    depth: Float32Array
    boundary_confidence: Float32Array
    cam_from_world: Float64Array
    depth_scale: DepthScale
    timings_ms: dict[str, float] = field(default_factory=dict)
