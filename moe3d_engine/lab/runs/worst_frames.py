"""What a report shows of a run: the frames with the largest errors."""

from __future__ import annotations

import heapq
import math

from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics.flying_points import TrueBoundaries
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.shown import CloudPicture
from moe3d_engine.lab.reports.shown import FramePicture
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
import numpy as np

NUM_WORST = 6


class WorstFrames:
    """Keeps the frames with the largest errors, and the cloud of the worst of them."""

    def __init__(self) -> None:
        self._worst: list[tuple[float, int, FramePicture]] = []
        self._count = 0
        self._cloud_error = -math.inf
        self.cloud: CloudPicture | None = None

    def add(self, picture: FramePicture, intrinsics: Float64Array) -> None:
        """Look at a frame; `intrinsics` (3, 3) are in pixels of its depth."""
        badness = -1.0 if math.isnan(picture.abs_rel) else picture.abs_rel
        self._count += 1
        heapq.heappush(self._worst, (badness, -self._count, picture))
        if len(self._worst) > NUM_WORST:
            heapq.heappop(self._worst)
        if badness > self._cloud_error:
            self._cloud_error = badness
            depth, truth = picture.depth[None], picture.depth_gt
            points = unproject_depth(depth, intrinsics[None])[0].reshape(-1, 3)
            flying = np.zeros(len(points), np.bool_)
            if truth is not None:
                flying = TrueBoundaries(truth[None]).flying(depth, levels='pred').ravel()
            known = np.isfinite(points).all(axis=1)
            self.cloud = CloudPicture(points[known], flying[known])

    def pictures(self) -> list[FramePicture]:
        """Return the worst frames, worst first."""
        return [picture for _, _, picture in sorted(self._worst, key=lambda item: item[:2])[::-1]]


def frame_picture(
    key: str, result: Reconstruction, truth: Float32Array | None, figures: Figures
) -> FramePicture:
    """Return what is shown of a reconstruction that publishes one view; its truth is (H, W)."""
    metric = result.scale.metric
    if truth is not None and not metric:
        truth = truth / np.float32(np.nanmedian(truth / result.depth_raw[0]))
    return FramePicture(
        key,
        result.image[0],
        result.depth[0],
        truth,
        result.boundary_confidence[0],
        figures.means.get('abs_rel' if metric else 'abs_rel_median', math.nan),
    )
