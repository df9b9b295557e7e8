"""A bag through the reconstruction offline: every frame, the node's windows, the same twice."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import logging
from pathlib import Path
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_backend
from moe3d_engine.bags.frames import BagFrame
from moe3d_engine.bags.frames import check_depth
from moe3d_engine.bags.frames import choose_topics
from moe3d_engine.bags.frames import FrameTopics
from moe3d_engine.bags.frames import read_frames
from moe3d_engine.bags.frames import true_depth
from moe3d_engine.bags.frames import true_pose
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.bags.repair import readable_bag
from moe3d_engine.camera_stream import CameraStream
from moe3d_engine.camera_stream import DroppedFrameError
from moe3d_engine.camera_stream import DropReason
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.reports.shown import CloudPicture
from moe3d_engine.lab.reports.shown import FramePicture
from moe3d_engine.lab.runs.bag_map import MapJudge
from moe3d_engine.lab.runs.frame_judge import FrameJudge
from moe3d_engine.lab.runs.versions import versions
from moe3d_engine.lab.runs.worst_frames import frame_picture
from moe3d_engine.lab.runs.worst_frames import WorstFrames
from moe3d_engine.node_defaults import DEPTH_MAX_M
from moe3d_engine.node_defaults import KEYFRAME_INTERVAL_S
from moe3d_engine.node_defaults import MAX_VIEWS
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.pipeline import ReconstructorConfig
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
import numpy as np

logger = logging.getLogger(__name__)

UNREADABLE = 'unreadable'  # the bag says that the image was recorded, but it ends before


@dataclass(frozen=True, slots=True)
class BagRunOptions:
    """
    What is evaluated, with the node's defaults; topics that are None are found.

    Parameters
    ----------
    bag : rosbag2 folder, or an .mcap or .db3 file.
    weights : name or card.
    backend, threads : of the network; None = the runtime chooses the threads.
    image_topic, camera_info_topic, depth_topic, pose_topic : of the bag.
    frames : the first so many only; None = all.
    max_views, keyframe_interval_s : of the window.
    reconstructor : thresholds and the source of metres.
    """

    bag: Path
    weights: str = 'moe3d-small'
    backend: str = 'auto'
    threads: int | None = None
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    pose_topic: str | None = None
    frames: int | None = None
    max_views: int = MAX_VIEWS
    keyframe_interval_s: float = KEYFRAME_INTERVAL_S
    reconstructor: ReconstructorConfig = field(
        default_factory=lambda: ReconstructorConfig(depth_max_m=DEPTH_MAX_M)
    )


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
        images = read_topics(readable.path)[topics.camera.image]
        expected = images.count if options.frames is None else min(options.frames, images.count)
        backend = _RecordingBackend(
            open_backend(options.backend, options.weights, threads=options.threads)
        )
        judge = _BagJudge(backend, topics, options, compressed=images.type == COMPRESSED_IMAGE)
        try:
            for number, frame in enumerate(read_frames(readable.path, topics)):
                if number == expected:
                    break
                judge.add(frame)
                on_frame()
        finally:
            backend.close()
    judge.add_unreadable(expected - len(judge.frames))
    notes = judge.notes()
    if readable.lost_bytes:
        notes.append(f'The bag ends early: {readable.lost_bytes} bytes of it cannot be read.')
    for note in notes:
        logger.warning('%s', note)
    configuration = {
        **_configuration(options, topics),
        'backend': backend.name,
        'lost_bytes': readable.lost_bytes,
        'notes': notes,
    }
    return judge.finish(configuration)


class _RecordingBackend:
    """A backend that also keeps its last raw outputs, which the baselines score."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name, self.spec = backend.name, backend.spec
        self.encode, self.close = backend.encode, backend.close
        self.last: RawOutputs | None = None

    def reconstruct(self, features: Sequence[object], publish: Sequence[int]) -> RawOutputs:
        """Reconstruct as the backend does."""
        self.last = self._backend.reconstruct(features, publish)
        return self.last


class _BagJudge:
    """Judges frames one after the other and counts what each of them lacks."""

    def __init__(
        self,
        backend: _RecordingBackend,
        topics: FrameTopics,
        options: BagRunOptions,
        *,
        compressed: bool,
    ) -> None:
        self._backend, self._topics = backend, topics
        self._stream = CameraStream(
            Reconstructor(backend, options.reconstructor),
            compressed=compressed,
            max_views=min(options.max_views, backend.spec.max_views),
            keyframe_interval_s=options.keyframe_interval_s,
        )
        self._judge = FrameJudge(backend.spec.confidence_tau)
        self._map = MapJudge()
        self._stages_ms: dict[str, list[float]] = {}
        self._shown = WorstFrames()
        self._without = {'truth': 0, 'pose': 0}
        self._reasons: dict[str, str] = {}  # the first text of each reason to drop a frame
        self._published = 0
        self.frames: list[FrameRecord] = []

    def add(self, frame: BagFrame) -> None:
        """Reconstruct a frame and judge it; what cannot be published is counted."""
        key = str(frame.stamp_ns)
        try:
            if frame.info is None:
                raise DroppedFrameError(DropReason.NO_CAMERA_INFO, 'none has its stamp.')
            result = self._stream.reconstruct(self._stream.view_of(frame.image, frame.info))
        except DroppedFrameError as error:
            self.frames.append(FrameRecord(key, dropped=error.reason.value))
            self._reasons.setdefault(error.reason.value, str(error))
            return
        for stage, value in result.timings_ms.items():
            self._stages_ms.setdefault(stage, []).append(value)
        truth, pose = self._truth(frame, result), true_pose(frame)
        self._without['truth'] += truth is None
        self._without['pose'] += pose is None
        self._map.add(result, pose, truth)
        assert self._backend.last is not None
        methods = self._judge.judge(result, self._backend.last, truth)
        self._published += 1
        self.frames.append(FrameRecord(key, methods=methods))
        picture = frame_picture(key, result, truth, methods[PUBLISHED])
        self._shown.add(picture, result.intrinsics[0])

    def add_unreadable(self, count: int) -> None:
        """Count images that are known to have been recorded but are lost."""
        self.frames += [FrameRecord(f'{UNREADABLE}-{n}', dropped=UNREADABLE) for n in range(count)]

    def notes(self) -> list[str]:
        """Return what an engineer must know before he reads the figures."""
        notes = [f'First image dropped as {name}: {why}' for name, why in self._reasons.items()]
        for what, topic in (
            ('truth', self._topics.camera.depth),
            ('pose', self._topics.pose),
        ):
            if topic is not None and self._without[what]:
                notes.append(
                    f'{self._without[what]} of {self._published} published frames have no {what} '
                    f'of their stamp on {topic} that can be used.'
                )
        return notes

    def finish(self, configuration: dict[str, Any]) -> BagRun:
        """Return the record of all frames."""
        sequence = self._map.figures()
        for what, topic in (('truth', self._topics.camera.depth), ('pose', self._topics.pose)):
            if topic is not None:
                sequence[f'frames_without_{what}'] = float(self._without[what])
        diagram = self._judge.reliability()
        if diagram is not None:
            sequence['ece'] = diagram.expected_calibration_error
        times = self._stages_ms | self._judge.milliseconds
        record = EvaluationRecord(
            'bag-offline',
            configuration,
            tuple(self.frames),
            sequence,
            {} if diagram is None else diagram.bins,
            {'median_ms': {name: float(np.median(values)) for name, values in times.items()}},
        )
        return BagRun(record, self._shown.pictures(), self._shown.cloud)

    def _truth(self, frame: BagFrame, result: Reconstruction) -> Float32Array | None:
        """Return the true depth; None where it cannot be used."""
        height, width = result.depth.shape[1:]
        try:
            truth = true_depth(frame, self._topics, result.intrinsics[0], (height, width))
        except InputError as error:
            logger.warning('%d has no truth. %s', frame.stamp_ns, error)
            return None
        return truth if truth is not None and np.isfinite(truth).any() else None


def _configuration(options: BagRunOptions, topics: FrameTopics) -> dict[str, Any]:
    """Return settings, names, versions and hashes of what was run on what."""
    card = find_weights(options.weights)
    return {
        'bag': options.bag.resolve().name,
        'bag_sha256': hash_bag(options.bag),
        'topics': {
            **topics.camera._asdict(), 'depth_info': topics.depth_info, 'pose': topics.pose,
        },
        'frames': options.frames,
        'weights': card.name,
        'weights_sha256': {role: file.sha256 for role, file in card.files.items()},
        'threads': options.threads,
        'window': {
            'max_views': options.max_views, 'keyframe_interval_s': options.keyframe_interval_s,
        },
        'settings': asdict(options.reconstructor),
        'versions': versions(),
    }  # fmt: skip


def hash_bag(bag: Path) -> str:
    """Return the sha256 of a bag's storage files, in the order of their names."""
    files = [bag] if bag.is_file() else sorted([*bag.glob('*.mcap'), *bag.glob('*.db3')])
    return sha256_of(*files)
