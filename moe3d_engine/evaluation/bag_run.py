"""A bag through the reconstruction offline: every frame, the node's windows, the same twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass
import hashlib
import heapq
import math
from pathlib import Path
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.backends.open import open_backend
from moe3d_engine.bag_frames import BagFrame
from moe3d_engine.bag_frames import check_depth
from moe3d_engine.bag_frames import choose_topics
from moe3d_engine.bag_frames import FrameTopics
from moe3d_engine.bag_frames import read_frames
from moe3d_engine.bag_frames import true_depth
from moe3d_engine.camera_stream import CameraStream
from moe3d_engine.camera_stream import DroppedFrameError
from moe3d_engine.camera_stream import DropReason
from moe3d_engine.errors import InputError
from moe3d_engine.evaluation.boundaries import boundary_f1
from moe3d_engine.evaluation.calibration import merge_reliability
from moe3d_engine.evaluation.calibration import Reliability
from moe3d_engine.evaluation.calibration import reliability
from moe3d_engine.evaluation.depth_metrics import depth_metrics
from moe3d_engine.evaluation.filters import keep_at
from moe3d_engine.evaluation.flying_points import flying_mask
from moe3d_engine.evaluation.flying_points import flying_points
from moe3d_engine.evaluation.record import EvaluationRecord
from moe3d_engine.evaluation.record import Figures
from moe3d_engine.evaluation.record import FrameRecord
from moe3d_engine.evaluation.record import PUBLISHED
from moe3d_engine.evaluation.rejection import baseline_scores
from moe3d_engine.evaluation.report import CloudPicture
from moe3d_engine.evaluation.report import FramePicture
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.mcap_repair import readable_bag
from moe3d_engine.node_defaults import DEPTH_MAX_M
from moe3d_engine.node_defaults import KEYFRAME_INTERVAL_S
from moe3d_engine.node_defaults import MAX_VIEWS
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.pipeline import ReconstructorConfig
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
import numpy as np

NUM_WORST = 6  # frames that are shown
BEFORE_REJECTION = 'before rejection'


@dataclass(frozen=True, slots=True)
class BagRunOptions:
    """
    What is evaluated; topics that are None are found.

    Parameters
    ----------
    bag : rosbag2 folder, or an .mcap or .db3 file.
    weights : name or card.
    image_topic, camera_info_topic, depth_topic, pose_topic : of the bag.
    frames : the first so many only; None = all.
    """

    bag: Path
    weights: str = 'moe3d-small'
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    pose_topic: str | None = None
    frames: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BagRun:
    """A record with what a report shows of it; the worst frames first."""

    record: EvaluationRecord
    pictures: list[FramePicture]
    cloud: CloudPicture | None


def evaluate_bag(options: BagRunOptions, on_frame: Callable[[], object] = lambda: None) -> BagRun:
    """
    Reconstruct every frame of a bag and compare with what the bag knows.

    Parameters
    ----------
    options : what is evaluated.
    on_frame : called after each frame.

    Raises
    ------
    InputError
        If the bag cannot be read, lacks a topic, or holds depth that is not in metres.
    """
    with readable_bag(options.bag) as readable:
        topics = choose_topics(
            readable.path,
            options.image_topic,
            options.camera_info_topic,
            options.depth_topic,
            options.pose_topic,
        )
        check_depth(readable.path, topics)
        backend = _RecordingBackend(options.weights)
        try:
            judge = _BagJudge(backend, topics)
            for number, frame in enumerate(read_frames(readable.path, topics)):
                if number == options.frames:
                    break
                judge.add(frame)
                on_frame()
        finally:
            backend.close()
    if not judge.frames:
        raise InputError(f'{options.bag} holds no image on {topics.camera.image}.')
    configuration = _configuration(options, topics) | {'lost_bytes': readable.lost_bytes}
    return judge.finish(configuration)


class _RecordingBackend:
    """A backend that also keeps its last raw outputs, which the baselines score."""

    def __init__(self, weights: str) -> None:
        self._backend = open_backend('auto', weights)
        self.name, self.spec = self._backend.name, self._backend.spec
        self.encode, self.close = self._backend.encode, self._backend.close
        self.last: RawOutputs | None = None

    def reconstruct(self, features: Any, publish: Any) -> RawOutputs:  # noqa: ANN401
        """Reconstruct as the backend does."""
        self.last = self._backend.reconstruct(features, publish)
        return self.last


class _BagJudge:
    """Judges frames one after the other."""

    def __init__(self, backend: _RecordingBackend, topics: FrameTopics) -> None:
        self._backend, self._topics = backend, topics
        self._config = ReconstructorConfig(depth_max_m=DEPTH_MAX_M)
        self._reconstructor = Reconstructor(backend, self._config)
        self._stream: CameraStream | None = None
        self._diagrams: list[Reliability] = []
        self._milliseconds: dict[str, list[float]] = {}
        self._worst: list[tuple[float, int, FramePicture]] = []
        self._cloud: CloudPicture | None = None
        self._poses: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self.frames: list[FrameRecord] = []

    def add(self, frame: BagFrame) -> None:
        """Reconstruct a frame and judge it; what cannot be published is counted."""
        key = str(frame.stamp_ns)
        if self._stream is None:
            compressed = not hasattr(frame.image, 'encoding')
            self._stream = CameraStream(self._reconstructor, compressed=compressed)
        try:
            if frame.info is None:
                raise DroppedFrameError(DropReason.NO_CAMERA_INFO, 'no camera_info of its stamp')
            result = self._stream.reconstruct(self._stream.view_of(frame.image, frame.info))
        except DroppedFrameError as error:
            self.frames.append(FrameRecord(key, dropped=error.reason.value))
            return
        for stage, value in result.timings_ms.items():
            self._milliseconds.setdefault(stage, []).append(value)
        truth = true_depth(frame, self._topics, result.intrinsics[0], result.depth.shape[1:])
        self.frames.append(FrameRecord(key, methods=self._figures(result, truth)))
        self._remember(key, result, truth)

    def finish(self, configuration: dict[str, Any]) -> BagRun:
        """Return the record of all frames."""
        diagram = merge_reliability(self._diagrams) if self._diagrams else None
        bins = {} if diagram is None else {
            'counts': diagram.pixels.tolist(),
            'confidence': diagram.confidence.tolist(),
            'correct': diagram.accuracy.tolist(),
        }  # fmt: skip
        medians = {name: float(np.median(v)) for name, v in self._milliseconds.items()}
        record = EvaluationRecord(
            'bag-offline',
            configuration | {'settings': asdict(self._config)} | _settings(self._reconstructor),
            tuple(self.frames),
            reliability=bins,
            timings={'median_ms': medians},
        )
        worst = [picture for _, _, picture in sorted(self._worst, key=lambda item: -item[0])]
        return BagRun(record, worst, self._cloud)

    def _figures(self, result: Reconstruction, truth: Float32Array | None) -> dict[str, Figures]:
        """Return the figures of the published depth, of all pixels and of the baselines."""
        depth, raw = result.depth[0], result.depth_raw[0]
        if truth is None or not np.isfinite(truth).any():
            total = float(depth.size)
            return {
                PUBLISHED: Figures(shares={'retained': (float(np.isfinite(depth).sum()), total)})
            }
        tau = self._backend.spec.confidence_tau
        self._diagrams.append(reliability(depth, result.boundary_confidence[0], truth, tau))
        maps = {PUBLISHED: depth, BEFORE_REJECTION: raw}
        outputs = self._backend.last
        assert outputs is not None
        scores = baseline_scores(
            raw[None],
            result.intrinsics,
            outputs.depth_confidence[:1],
            outputs.agreement[:1],
            outputs.boundary_confidence[:1],
        )
        retained = float(np.isfinite(depth).mean())
        for name, scored in scores.items():
            kept = keep_at(scored.score[0], retained)
            maps[name] = np.where(kept, raw, np.float32(np.nan))
            self._milliseconds.setdefault(name, []).append(scored.milliseconds)
        return {name: judge_map(values, truth) for name, values in maps.items()}

    def _remember(self, key: str, result: Reconstruction, truth: Float32Array | None) -> None:
        """Keep the worst frames, and the cloud of the first frame that has truth."""
        depth = result.depth[0]
        error = math.nan
        if truth is not None:
            error = depth_metrics(depth, truth, align='none').abs_rel
        picture = FramePicture(
            key, result.image[0], depth, truth, result.boundary_confidence[0], error
        )
        badness = -1.0 if math.isnan(error) else error
        heapq.heappush(self._worst, (badness, len(self.frames), picture))
        if len(self._worst) > NUM_WORST:
            heapq.heappop(self._worst)
        if self._cloud is None and truth is not None:
            points = unproject_depth(depth[None], result.intrinsics)[0].reshape(-1, 3)
            flying = flying_mask(depth[None], truth[None])[0].ravel()
            known = np.isfinite(points).all(-1)
            self._cloud = CloudPicture(points[known], flying[known])


def judge_map(depth: Float32Array, truth: Float32Array) -> Figures:
    """
    Return the figures of one depth map (H, W) against the truth (H, W), NaN = unknown.

    Depth that is not finite is not published.
    """
    metric = depth_metrics(depth, truth, align='none')
    scaled = depth_metrics(depth, truth, align='median')
    means = {
        'abs_rel': metric.abs_rel,
        'rmse': metric.rmse,
        'abs_rel_median': scaled.abs_rel,
        'delta1': scaled.delta1,
        'boundary_f1': boundary_f1(depth, truth),
    }
    shares = {'retained': (float(np.isfinite(depth).sum()), float(depth.size))}
    for levels in ('gt', 'pred'):
        parts = flying_points(depth[None], truth[None], levels=levels)
        judged = parts.boundary - parts.dropped - parts.collapsed
        shares[f'flying_{levels}'] = (float(parts.flying), float(judged))
        shares['retained_boundary'] = (
            float(parts.boundary - parts.dropped),
            float(parts.boundary),
        )
        shares['collapsed'] = (float(parts.collapsed), float(parts.boundary))
    return Figures(means, shares)


def _settings(reconstructor: Reconstructor) -> dict[str, Any]:
    """Return what the node's window and the backend were."""
    return {
        'window': {'max_views': MAX_VIEWS, 'keyframe_interval_s': KEYFRAME_INTERVAL_S},
        'backend': reconstructor.backend.name,
    }


def _configuration(options: BagRunOptions, topics: FrameTopics) -> dict[str, Any]:
    """Return names and hashes of what was run on what."""
    card = find_weights(options.weights)
    return {
        'bag': options.bag.name,
        'bag_sha256': _hash_of(options.bag),
        'topics': {**topics.camera._asdict(), 'pose': topics.pose},
        'frames': options.frames,
        'weights': card.name,
        'weights_sha256': card.files['weights'].sha256,
    }


def _hash_of(bag: Path) -> str:
    """Return the sha256 of a bag's storage files, in the order of their names."""
    files = [bag] if bag.is_file() else sorted([*bag.glob('*.mcap'), *bag.glob('*.db3')])
    digest = hashlib.sha256()
    for path in files:
        with path.open('rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
