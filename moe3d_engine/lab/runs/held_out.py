"""Figures of a network on posed views with known depth, summed over windows."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import TypeAlias

from moe3d_engine.backend import Backend
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.lab.metrics.calibration import merge_reliability
from moe3d_engine.lab.metrics.calibration import Reliability
from moe3d_engine.lab.metrics.calibration import reliability
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import summarize
from moe3d_engine.lab.runs.poses.pose_noise import known_cameras
from moe3d_engine.lab.runs.window_truth import WindowTruth
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np

Predict: TypeAlias = Callable[[Float32Array, WindowCameras | None], RawOutputs]
FAR_M = 60.0  # true depth beyond is not judged: no network here can tell it from the sky


class Judge:
    """
    Sums the figures of one prediction over windows.

    Parameters
    ----------
    confidence_tau : the relative error within which the boundary confidence calls depth right.
    """

    def __init__(self, confidence_tau: float) -> None:
        self._tau = confidence_tau
        self._diagrams: list[Reliability] = []
        self.windows: list[Figures] = []

    def add(
        self, depth: Float32Array, truth: WindowTruth, confidence: Float32Array | None = None
    ) -> None:
        """
        Add a window.

        Parameters
        ----------
        depth : (V, H, W) published depth, NaN = not published.
        truth : of these pixels.
        confidence : (V, H, W), judged where depth is published.
        """
        self.windows.append(truth.judge(depth, metric=True))
        if confidence is not None:
            self._diagrams.append(reliability(depth, confidence, truth.depth, self._tau))

    def figures(self) -> dict[str, float]:
        """
        Return the figures of all windows.

        Errors of depth and boundaries are means over windows; shares, such as flying points, are
        of all pixels together. `ece` is that of the boundary confidence, absent where none was
        given.
        """
        figures = summarize(self.windows)
        if self._diagrams:
            figures['ece'] = self.reliability().expected_calibration_error
        return figures

    def reliability(self) -> Reliability:
        """Return the reliability diagram of the boundary confidence."""
        return merge_reliability(self._diagrams)


def evaluate_windows(
    predict: Predict,
    sets: Iterable[ViewSet],
    *,
    confidence_tau: float,
    num_views: int = 3,
    poses: str = 'unknown',
) -> dict[str, float]:
    """
    Reconstruct the first views of each set and compare with the truth; every pixel counts.

    Parameters
    ----------
    predict : images (V, 3, H, W) float32 in [0, 1] and cameras to outputs of all views.
    sets : held-out sets with depth at the network's resolution.
    confidence_tau : what the network's boundary confidence speaks of.
    num_views : views per window.
    poses : what the network is told of the cameras, see `known_cameras`.

    Returns
    -------
    See `Judge.figures`; without the figures of points near boundaries, which take long, and with
    `delta_1` for `delta1`, as the logs of training call it.
    """
    judge = Judge(confidence_tau)
    for item in sets:
        window = item.first(num_views)
        raw = predict(to_network(window.rgb), known_cameras(window, poses))
        truth = WindowTruth(judged_depth(item, num_views))
        judge.add(raw.depth, truth, raw.boundary_confidence)
    figures = judge.figures()
    return {'delta_1' if name == 'delta1' else name: v for name, v in figures.items()}


def predict_with(backend: Backend) -> Predict:
    """Return a function that publishes all views of a window through a backend."""

    def predict(images: Float32Array, cameras: WindowCameras | None) -> RawOutputs:
        told = cameras if backend.spec.sweeps else None
        return backend.reconstruct(backend.encode(images), range(len(images)), told)

    return predict


def judged_depth(item: ViewSet, num_views: int) -> Float32Array:
    """Return the true depth of the first views, inf from FAR_M on."""
    truth = item.depth[:num_views]
    return np.where(truth > FAR_M, np.float32(np.inf), truth)
