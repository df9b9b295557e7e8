"""What a report shows of single frames: maps and clouds, as the figures draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class FramePicture:
    """
    What is shown of one frame.

    Parameters
    ----------
    key : of the frame in the record.
    rgb : (H, W, 3) uint8.
    depth : (H, W), NaN = rejected.
    depth_gt : (H, W) in the unit of `depth`, NaN = unknown; None without ground truth.
    boundary_confidence : (H, W) in [0, 1].
    abs_rel : error of the frame, in the picture's title; NaN without ground truth.
    """

    key: str
    rgb: UInt8Array
    depth: Float32Array
    depth_gt: Float32Array | None
    boundary_confidence: Float32Array
    abs_rel: float


@dataclass(frozen=True, slots=True, eq=False)
class CloudPicture:
    """A cloud in the camera's optical frame: points (N, 3) in metres, flying (N,) bool."""

    points: Float32Array
    flying: NDArray[Any]
