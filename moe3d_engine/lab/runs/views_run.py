"""Posed views with known depth through a network: what is published, and every other removal."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
import hashlib
from typing import Any

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.boundary import snap_to_surfaces
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.lab.metrics.baselines import best_constant
from moe3d_engine.lab.metrics.baselines import best_plane
from moe3d_engine.lab.metrics.rejection import baseline_scores
from moe3d_engine.lab.metrics.rejection import thin
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.reports.shown import CloudPicture
from moe3d_engine.lab.reports.shown import FramePicture
from moe3d_engine.lab.runs.frame_judge import BEFORE_REJECTION
from moe3d_engine.lab.runs.held_out import Judge
from moe3d_engine.lab.runs.held_out import judged_depth
from moe3d_engine.lab.runs.held_out import Predict
from moe3d_engine.lab.runs.poses.pose_noise import known_cameras
from moe3d_engine.lab.runs.versions import versions
from moe3d_engine.lab.runs.window_truth import WindowTruth
from moe3d_engine.lab.runs.worst_frames import WorstFrames
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.policy import publish_depth
from moe3d_engine.policy import Thresholds
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import RawOutputs
import numpy as np

DEFAULTS = Thresholds()
TRIVIAL = {'best constant': best_constant, 'best plane': best_plane}  # they know the truth


@dataclass(frozen=True, slots=True)
class ViewsOptions:
    """
    How sets of views are judged.

    Parameters
    ----------
    confidence_tau : what the network's boundary confidence speaks of.
    retained : share of each window's pixels that every removal keeps.
    num_views : the first so many of each set are a window.
    all_metrics : see WindowTruth.
    poses : what the network is told of the cameras, see `known_cameras`.
    """

    confidence_tau: float
    retained: float = 0.95
    num_views: int = 3
    all_metrics: bool = False
    poses: str = 'unknown'


@dataclass(frozen=True, slots=True, eq=False)
class ViewsRun:
    """A record with what a report shows of it, and the figures by method, ECE included."""

    record: EvaluationRecord
    pictures: list[FramePicture]
    cloud: CloudPicture | None
    figures: Mapping[str, Mapping[str, float]]


def evaluate_views(
    predict: Predict,
    sets: Iterable[ViewSet],
    options: ViewsOptions,
    configuration: Mapping[str, Any],
) -> ViewsRun:
    """
    Take the same share of pixels away by each method, and none at all, and judge what is left.

    Parameters
    ----------
    predict : images (V, 3, H, W) float32 in [0, 1] and cameras to outputs of all views.
    sets : held-out sets with depth at the network's resolution; a set is a frame of the record.
    options : how they are judged.
    configuration : names and hashes of the network and of the data.

    Returns
    -------
    ViewsRun
        The methods are `published` (the pipeline's thresholds, which decide what they retain, and
        what lies between surfaces snapped to one), `before rejection`, `snapped` (all pixels
        kept), `snapped, agreement`, those of `rejection.baseline_scores` alone, and the trivial
        predictions `best constant` and `best plane`, which know the truth.

    Raises
    ------
    InputError
        If there is no set.
    """
    judge = _ViewsJudge(options)
    for item in sets:
        judge.add(item, predict)
    return judge.finish(configuration)


class _ViewsJudge:
    """Judges sets one after the other by every method."""

    def __init__(self, options: ViewsOptions) -> None:
        self._options = options
        self._judges: dict[str, Judge] = {}
        self._milliseconds: dict[str, list[float]] = {}
        self._frames: list[FrameRecord] = []
        self._shown = WorstFrames()
        self._digest = hashlib.sha256()

    def add(self, item: ViewSet, predict: Predict) -> None:
        """Reconstruct the first views of a set and judge what each method leaves."""
        num_views = self._options.num_views
        images, intrinsics = item.rgb[:num_views], item.intrinsics[:num_views]
        truth = WindowTruth(
            judged_depth(item, num_views), intrinsics, all_metrics=self._options.all_metrics
        )
        for values in (images, truth.depth, intrinsics):
            self._digest.update(np.ascontiguousarray(values).tobytes())
        cameras = known_cameras(item.first(num_views), self._options.poses)
        raw = predict(to_network(images), cameras)
        maps = _published(raw)
        maps |= self._thinned(raw, maps['snapped'], intrinsics)
        for name, depth in maps.items():
            self._judge(name).add(depth, truth, raw.boundary_confidence)
        for name, guess in TRIVIAL.items():
            self._judge(name).add(guess(truth.depth), truth)
        key = f'{len(self._frames):04d}'
        methods = {name: judge.windows[-1] for name, judge in self._judges.items()}
        self._frames.append(FrameRecord(key, methods=methods))
        picture = FramePicture(
            key,
            images[0],
            maps[PUBLISHED][0],
            truth.depth[0],
            raw.boundary_confidence[0],
            methods[PUBLISHED].means['abs_rel'],
        )
        self._shown.add(picture, intrinsics[0])

    def finish(self, configuration: Mapping[str, Any]) -> ViewsRun:
        """Return the record of all sets."""
        if not self._frames:
            raise InputError(
                'There is no set of views to judge. Name other --data, or more --sets.'
            )
        diagram = self._judges[BEFORE_REJECTION].reliability()
        medians = {name: float(np.median(times)) for name, times in self._milliseconds.items()}
        record = EvaluationRecord(
            'views',
            {
                **configuration,
                'data_sha256': self._digest.hexdigest(),
                **asdict(self._options),
                'settings': asdict(DEFAULTS),
                'versions': versions(),
            },
            tuple(self._frames),
            {'ece': diagram.expected_calibration_error},
            diagram.bins,
            {'median_ms': medians},
        )
        figures = {name: judge.figures() for name, judge in self._judges.items()}
        return ViewsRun(record, self._shown.pictures(), self._shown.cloud, figures)

    def _judge(self, name: str) -> Judge:
        """Return the judge of a method."""
        return self._judges.setdefault(name, Judge(self._options.confidence_tau))

    def _thinned(
        self, raw: RawOutputs, snapped: Float32Array, intrinsics: Float64Array
    ) -> dict[str, Float32Array]:
        """Return what each removal leaves at the common share, the snapped depth first."""
        scores = baseline_scores(
            raw.depth, intrinsics, raw.depth_confidence, raw.agreement, raw.boundary_confidence
        )
        maps = {}
        for name, scored in scores.items():
            self._milliseconds.setdefault(name, []).append(scored.milliseconds)
            if name == 'agreement':
                maps['snapped, agreement'] = thin(snapped, scored.score, self._options.retained)
            maps[name] = thin(raw.depth, scored.score, self._options.retained)
        return maps


def _published(raw: RawOutputs) -> dict[str, Float32Array]:
    """Return what the pipeline publishes, what it begins with, and what lies between."""
    published, _ = publish_depth(raw.depth, raw, DEFAULTS, metric=True)
    snapped = snap_to_surfaces(raw.depth)
    return {PUBLISHED: published, BEFORE_REJECTION: raw.depth, 'snapped': snapped}
