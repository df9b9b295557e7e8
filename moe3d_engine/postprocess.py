"""From the network's raw outputs to depth that can be published: rejection and range limits."""

from __future__ import annotations

from collections.abc import Sequence

from moe3d_engine.errors import BackendError
from moe3d_engine.geometry.cameras import intrinsics_from_fov
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import RawOutputs
import numpy as np
from numpy.typing import NDArray


def check_outputs(raw: RawOutputs) -> None:
    """
    Raise BackendError unless all outputs are finite.

    Raises
    ------
    BackendError
        If a map or the pose encoding holds NaN or Inf; the message names it.
    """
    for name, values in raw._asdict().items():
        bad = values.size - np.count_nonzero(np.isfinite(values))
        if bad:
            raise BackendError(
                f'The backend returned {bad} of {values.size} values of {name} that are not '
                f'finite. Run `moe3d doctor`; try another precision or backend.'
            )


def on_one_surface(
    agreement: Float32Array,
    boundary_confidence: Float32Array,
    min_agreement: float,
    min_confidence: float,
) -> NDArray[np.bool_]:
    """
    Return which pixels the mixture puts on one surface; the others would be flying points.

    Parameters
    ----------
    agreement : gate weight of the experts that agree with the published depth. Low: the experts
        stand on different surfaces.
    boundary_confidence : the mixture's mass near the published depth. Low: the pixel's experts
        are wide, so its depth is a guess even where they agree.
    min_agreement, min_confidence : both must be reached; 0 keeps every pixel.
    """
    kept: NDArray[np.bool_] = (agreement >= min_agreement) & (
        boundary_confidence >= min_confidence
    )
    return kept


def limit_range(depth_m: Float32Array, min_m: float, max_m: float) -> Float32Array:
    """Return depth with NaN below `min_m` and +Inf beyond `max_m` (REP 117); NaN stays NaN."""
    nearer, farther = depth_m < min_m, depth_m > max_m
    return np.where(nearer, np.float32(np.nan), np.where(farther, np.float32(np.inf), depth_m))


def intrinsics_of(
    known: Sequence[Float64Array | None], pose_encoding: Float32Array, image_hw: tuple[int, int]
) -> Float64Array:
    """
    Return each view's intrinsics: its own, or the network's where the camera is not calibrated.

    Parameters
    ----------
    known : V matrices (3, 3) in pixels of the network's input, or None.
    pose_encoding : (V, 9), of which fov_h, fov_w in rad are read where `known` is None.
    image_hw : (H, W) of the network's input.

    Returns
    -------
    (V, 3, 3) float64.

    Raises
    ------
    ShapeError
        If the network's field of view is needed and is no angle between 0 and pi.
    """
    return np.stack(
        [
            intrinsics_from_fov(encoding[7], encoding[8], image_hw) if own is None else own
            for own, encoding in zip(known, pose_encoding, strict=True)
        ]
    )
