"""Figures of a network on posed views with known depth, raw and with pixels taken away."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from moe3d_engine.backends.base import Backend
from moe3d_engine.datasets.view_set import ViewSet
from moe3d_engine.evaluation.baselines import best_constant
from moe3d_engine.evaluation.baselines import best_plane
from moe3d_engine.evaluation.boundaries import boundary_f1
from moe3d_engine.evaluation.calibration import merge_reliability
from moe3d_engine.evaluation.calibration import Reliability
from moe3d_engine.evaluation.calibration import reliability
from moe3d_engine.evaluation.depth_metrics import depth_metrics
from moe3d_engine.evaluation.filters import keep_at
from moe3d_engine.evaluation.flying_points import flying_points
from moe3d_engine.evaluation.flying_points import FlyingPoints
from moe3d_engine.evaluation.rejection import baseline_scores
from moe3d_engine.geometry.boundary import snap_to_surfaces
from moe3d_engine.pipeline import ReconstructorConfig
from moe3d_engine.postprocess import on_one_surface
from moe3d_engine.preprocess import to_network
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np

FAR_M = 60.0  # true depth beyond is not judged: no network here can tell it from the sky
DEFAULTS = ReconstructorConfig()


class Judge:
    """
    Sums the figures of one prediction over windows.

    Parameters
    ----------
    confidence_tau : the relative error within which the boundary confidence calls depth right.
    """

    def __init__(self, confidence_tau: float) -> None:
        self._tau = confidence_tau
        self._metric: list[float] = []
        self._scaled: list[tuple[float, float]] = []
        self._boundary_f1: list[float] = []
        self._retained: list[float] = []
        self._diagrams: list[Reliability] = []
        self._flying: dict[str, list[FlyingPoints]] = {'gt': [], 'pred': []}

    def add(
        self, depth: Float32Array, truth: Float32Array, confidence: Float32Array | None = None
    ) -> None:
        """
        Add a window.

        Parameters
        ----------
        depth : (V, H, W) published depth, NaN = not published.
        truth : (V, H, W), NaN or inf = not judged.
        confidence : (V, H, W), judged where depth is published.
        """
        self._retained.append(float(np.isfinite(depth).mean()))
        self._metric.append(depth_metrics(depth, truth, align='none').abs_rel)
        scaled = depth_metrics(depth, truth, align='median')
        self._scaled.append((scaled.abs_rel, scaled.delta1))
        pairs = zip(_known(depth), _known(truth), strict=True)
        self._boundary_f1 += [boundary_f1(*pair) for pair in pairs]
        if confidence is not None:
            self._diagrams.append(reliability(depth, confidence, truth, self._tau))
        for levels, parts in self._flying.items():
            parts.append(flying_points(depth, truth, levels=levels))

    def figures(self) -> dict[str, float]:
        """
        Return the figures of all windows.

        `abs_rel` (metres as they are), `abs_rel_median` and `delta_1` (median scale per window)
        are means over windows, `boundary_f1` over views. `flying_gt` and `flying_pred` are shares
        of all judged boundary pixels, `collapsed` is the share of boundary pixels where the
        prediction shows no step at all, `retained` and `retained_boundary` are shares of pixels.
        `ece` is that of the boundary confidence, absent where none was given.
        """
        parts = self._flying['gt']
        boundary = max(sum(part.boundary for part in parts), 1)
        figures = {
            'abs_rel': float(np.mean(self._metric)),
            'abs_rel_median': float(np.mean([pair[0] for pair in self._scaled])),
            'delta_1': float(np.mean([pair[1] for pair in self._scaled])),
            'boundary_f1': float(np.mean(self._boundary_f1)),
            'flying_gt': _share(parts),
            'flying_pred': _share(self._flying['pred']),
            'collapsed': sum(part.collapsed for part in self._flying['pred']) / boundary,
            'retained': float(np.mean(self._retained)),
            'retained_boundary': 1 - sum(part.dropped for part in parts) / boundary,
        }
        if self._diagrams:
            figures['ece'] = self.reliability().expected_calibration_error
        return figures

    def reliability(self) -> Reliability:
        """Return the reliability diagram of the boundary confidence."""
        return merge_reliability(self._diagrams)


def evaluate_windows(
    predict: Callable[[Float32Array], RawOutputs],
    sets: Iterable[ViewSet],
    *,
    confidence_tau: float,
    num_views: int = 3,
) -> dict[str, float]:
    """
    Reconstruct the first views of each set and compare with the truth; every pixel counts.

    Parameters
    ----------
    predict : images (V, 3, H, W) float32 in [0, 1] to outputs with all views published.
    sets : held-out sets with depth at the network's resolution.
    confidence_tau : what the network's boundary confidence speaks of.
    num_views : views per window.

    Returns
    -------
    See `Judge.figures`.
    """
    judge = Judge(confidence_tau)
    for item in sets:
        raw = predict(to_network(item.rgb[:num_views]))
        judge.add(raw.depth, judged_depth(item, num_views), raw.boundary_confidence)
    return judge.figures()


def compare_rejection(
    predict: Callable[[Float32Array], RawOutputs],
    sets: Iterable[ViewSet],
    *,
    confidence_tau: float,
    retained: float,
    num_views: int = 3,
) -> dict[str, Judge]:
    """
    Take the same share of pixels away by each method, and none at all, and judge what is left.

    Parameters
    ----------
    predict, sets, confidence_tau, num_views : as for `evaluate_windows`.
    retained : share of each window's pixels to keep.

    Returns
    -------
    By the method's name: `raw`, `default rejection` (the pipeline's thresholds, which decide
    what they retain, and what lies between surfaces snapped to one), `snapped` (all pixels kept),
    `snapped, agreement`, those of `rejection.baseline_scores` alone, and the trivial predictions
    `best constant` and `best plane`, which know the truth.
    """
    judges: dict[str, Judge] = {}

    def add(name: str, *arguments: Float32Array) -> None:
        judges.setdefault(name, Judge(confidence_tau)).add(*arguments)

    for item in sets:
        truth = judged_depth(item, num_views)
        raw = predict(to_network(item.rgb[:num_views]))
        add('raw', raw.depth, truth, raw.boundary_confidence)
        kept = on_one_surface(
            raw.agreement, raw.boundary_confidence, DEFAULTS.min_agreement, DEFAULTS.min_confidence
        )
        snapped = snap_to_surfaces(raw.depth)
        published = np.where(kept, snapped, np.float32(np.nan))
        add('default rejection', published, truth, raw.boundary_confidence)
        add('snapped', snapped, truth, raw.boundary_confidence)
        kept = keep_at(-raw.agreement.astype(np.float64), retained)
        published = np.where(kept, snapped, np.float32(np.nan))
        add('snapped, agreement', published, truth, raw.boundary_confidence)
        scores = baseline_scores(
            raw.depth,
            item.intrinsics[:num_views],
            raw.depth_confidence,
            raw.agreement,
            raw.boundary_confidence,
        )
        for name, scored in scores.items():
            kept = keep_at(scored.score, retained)
            depth = np.where(kept, raw.depth, np.float32(np.nan))
            add(name, depth, truth, raw.boundary_confidence)
        add('best constant', best_constant(truth), truth)
        add('best plane', best_plane(truth), truth)
    return judges


def predict_with(backend: Backend) -> Callable[[Float32Array], RawOutputs]:
    """Return a function that publishes all views of a window through a backend."""

    def predict(images: Float32Array) -> RawOutputs:
        return backend.reconstruct(backend.encode(images), range(len(images)))

    return predict


def judged_depth(item: ViewSet, num_views: int) -> Float32Array:
    """Return the true depth of the first views, inf from FAR_M on."""
    truth = item.depth[:num_views]
    return np.where(truth > FAR_M, np.float32(np.inf), truth)


def _known(depth: Float32Array) -> Float32Array:
    """Return depth with NaN for all that is not finite: no boundary there is judged."""
    return np.where(np.isfinite(depth), depth, np.float32(np.nan))


def _share(parts: list[FlyingPoints]) -> float:
    """Return the flying share over all windows, weighted by their judged boundary pixels."""
    judged = sum(part.judged for part in parts)
    return sum(part.flying for part in parts) / judged if judged else float('nan')
