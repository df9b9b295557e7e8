"""What is published of a view, on the pixels that the user wants."""

from __future__ import annotations

from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.upsample import upsample
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import ViewResult
import numpy as np

NETWORK, SOURCE = 'network', 'source'


class OutputView(NamedTuple):
    """The maps of a view on one grid of pixels."""

    image: UInt8Array  # (h, w, 3), RGB
    intrinsics: Float64Array  # (3, 3) of these pixels
    depth: Float32Array  # (h, w); NaN = unknown or rejected, +Inf = beyond range
    boundary_confidence: Float32Array  # (h, w); 0 where depth is NaN


def at_resolution(result: ViewResult, resolution: str | int) -> OutputView:
    """
    Return what is published of a view at a resolution.

    Parameters
    ----------
    result : of one view.
    resolution : `network` = as the network gives it; `source` = on the pixels of the rectified
        image; a number = on that many columns of it, but never more than it has.

    Returns
    -------
    OutputView : of the whole image, other than for `network`; depth is NaN where the network has
        seen nothing of it (`fit_geometry` crops).
    """
    if resolution == NETWORK:
        return OutputView(
            result.image, result.intrinsics, result.depth, result.boundary_confidence
        )
    guide = result.view.image
    source_hw = guide.shape[:2]
    fitted_from_guide = fit_geometry(source_hw, result.depth.shape).fitted_from_source
    if resolution != SOURCE and int(resolution) < source_hw[1]:
        width = int(resolution)
        height = max(1, round(source_hw[0] * width / source_hw[1]))
        guide = np.asarray(cv2.resize(guide, (width, height), interpolation=cv2.INTER_AREA), 'u1')
        guide_from_source = scale_intrinsics(
            np.eye(3), width / source_hw[1], height / source_hw[0]
        )
        fitted_from_guide = fitted_from_guide @ np.linalg.inv(guide_from_source)
    depth, confidence = upsample(
        result.depth, result.boundary_confidence, result.image, guide, fitted_from_guide
    )
    intrinsics = np.linalg.inv(fitted_from_guide) @ result.intrinsics
    return OutputView(guide, intrinsics, depth, confidence)
