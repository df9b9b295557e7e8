"""What of a reconstruction is published: the only rejection there is, and the range limits."""

from __future__ import annotations

from dataclasses import dataclass
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.boundary import snap_to_surfaces
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np
from numpy.typing import NDArray

DEPTH_MAX_M = 40.0  # farther is +Inf, unless somebody chooses otherwise


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    What decides whether a pixel is published.

    Parameters
    ----------
    depth_min_m, depth_max_m : limits of metric depth; NaN below, +Inf beyond. Relative depth has
        no limits.
    min_agreement : gate weight of the experts that agree with the published depth. Below it the
        experts stand on different surfaces.
    min_confidence : the mixture's mass near the published depth. Below it the pixel's experts are
        wide, so its depth is a guess even where they agree. A pixel is rejected below either.
        Depth that still lies between two surfaces is put on one of them (`geometry.boundary`),
        unless `min_agreement` is 0. 0 and 0 leave every pixel as the network gives it.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    depth_min_m: float = 0.0
    depth_max_m: float = math.inf
    min_agreement: float = 0.5
    min_confidence: float = 0.25

    def __post_init__(self) -> None:
        """Check the values once."""
        if not 0.0 <= self.depth_min_m < self.depth_max_m:
            raise ConfigError(
                f'Depth limits must satisfy 0 <= depth.min_m < depth.max_m; got '
                f'{self.depth_min_m} and {self.depth_max_m}.'
            )
        for name in ('min_agreement', 'min_confidence'):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f'{name} lies in [0, 1]; got {getattr(self, name)}.')


def publish_depth(
    depth: Float32Array,
    raw: RawOutputs,
    thresholds: Thresholds,
    *,
    metric: bool,
    seen: NDArray[np.bool_] | None = None,
) -> tuple[Float32Array, Float32Array]:
    """
    Return depth and boundary confidence as they are published.

    Parameters
    ----------
    depth : (P, H, W) before rejection, in the unit that is published.
    raw : the network's outputs for these views.
    thresholds : what is rejected.
    metric : whether depth is in metres, so that the range limits mean something.
    seen : (P, H, W), False where the camera has seen nothing; None = it has seen every pixel.

    Returns
    -------
    depth : (P, H, W); rejected and unseen pixels and those below range NaN, beyond range +Inf.
    boundary_confidence : (P, H, W); 0 where depth is NaN.
    """
    kept = (raw.agreement >= thresholds.min_agreement) & (
        raw.boundary_confidence >= thresholds.min_confidence
    )
    if seen is not None:
        kept &= seen
    if thresholds.min_agreement > 0:
        depth = snap_to_surfaces(depth)
    depth = np.where(kept, depth, np.float32(np.nan))
    if metric:
        depth = limit_range(depth, thresholds.depth_min_m, thresholds.depth_max_m)
    return depth, np.where(np.isnan(depth), np.float32(0.0), raw.boundary_confidence)


def limit_range(depth_m: Float32Array, min_m: float, max_m: float) -> Float32Array:
    """Return depth with NaN below `min_m` and +Inf beyond `max_m` (REP 117); NaN stays NaN."""
    nearer, farther = depth_m < min_m, depth_m > max_m
    return np.where(nearer, np.float32(np.nan), np.where(farther, np.float32(np.inf), depth_m))
