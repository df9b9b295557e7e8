"""A bag through the reconstruction offline: every frame, the node's windows, the same twice."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import logging
from pathlib import Path
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.backends.open import open_backend
from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.files import find_files
from moe3d_engine.bags.frames import BagFrame
from moe3d_engine.bags.frames import check_depth
from moe3d_engine.bags.frames import choose_topics
from moe3d_engine.bags.frames import FrameTopics
from moe3d_engine.bags.frames import read_frames
from moe3d_engine.bags.frames import true_depth
from moe3d_engine.bags.frames import true_pose
from moe3d_engine.errors import InputError
from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DroppedFrameError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import is_rectified_topic
from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.metrics.tracking import tracking_figures
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.reports.shown import CloudPicture
from moe3d_engine.lab.reports.shown import FramePicture
from moe3d_engine.lab.runs.bag_map import MapJudge
from moe3d_engine.lab.runs.frame_judge import FrameJudge
from moe3d_engine.lab.runs.poses.place_judge import PlaceJudge
from moe3d_engine.lab.runs.poses.tracking_run import check_tracking
from moe3d_engine.lab.runs.poses.tracking_run import open_trackers
from moe3d_engine.lab.runs.poses.tracking_run import TrackingJudge
from moe3d_engine.lab.runs.poses.tracking_run import TrackingOptions
from moe3d_engine.lab.runs.versions import versions
from moe3d_engine.lab.runs.worst_frames import frame_picture
from moe3d_engine.lab.runs.worst_frames import WorstFrames
from moe3d_engine.network import Engine
from moe3d_engine.network import timed
from moe3d_engine.policy import DEPTH_MAX_M
from moe3d_engine.policy import Thresholds
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.window import check_fits
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
    stamps_ns : the network gets the images of these stamps only, as in a node that is too busy for
        the others and only tracks them; None = all.
    session : window, thresholds and the source of metres.
    baselines : whether the classic filters are judged beside.
    all_metrics : see WindowTruth.
    tracking : how tracked poses are judged, where the bag has true ones; None = not at all.
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
    stamps_ns: frozenset[int] | None = None
    session: SessionConfig = field(
        default_factory=lambda: SessionConfig(thresholds=Thresholds(depth_max_m=DEPTH_MAX_M))
    )
    baselines: bool = True
    all_metrics: bool = False
    tracking: TrackingOptions | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BagRun:
    """A record with what a report shows of it: worst frames first, tracked poses of each run."""

    record: EvaluationRecord
    pictures: list[FramePicture]
    cloud: CloudPicture | None
    tracks: Sequence[Track] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FrameOutcome:
    """
    What became of an image.

    Parameters
    ----------
    result : its reconstruction, or why there is none.
    truth : (H, W) true depth in metres on the published pixels, NaN = unknown; None = no truth.
    true_pose : (4, 4) world_from_cam of the image; None = not known.
    """

    result: Reconstruction | Drop
    truth: Float32Array | None = None
    true_pose: Float64Array | None = None


def evaluate_bag(
    options: BagRunOptions, on_frame: Callable[[FrameOutcome], object] = lambda outcome: None
) -> BagRun:
    """
    Reconstruct every frame of a bag and compare with what the bag knows.

    Parameters
    ----------
    options : what is evaluated.
    on_frame : called with what became of each image.

    Raises
    ------
    InputError
        If the bag cannot be read, lacks a topic, or holds depth that is not in metres.
    """
    with open_bag(options.bag) as bag:
        topics = choose_topics(
            bag,
            options.image_topic,
            options.camera_info_topic,
            options.depth_topic,
            options.pose_topic,
        )
        check_depth(bag, topics)
        check_tracking(options.tracking, topics)
        images = bag.topics[topics.camera.image]
        expected = min(count for count in _counts(options, images.count) if count is not None)
        engine = Engine(open_backend(options.backend, options.weights, threads=options.threads))
        judge = _BagJudge(engine, topics, options, compressed=images.type == COMPRESSED_IMAGE)
        with closing(engine):
            frames = read_frames(bag, topics)
            while len(judge.frames) < expected and (frame := next(frames, None)) is not None:
                if options.stamps_ns is None or frame.stamp_ns in options.stamps_ns:
                    on_frame(judge.add(frame))
                else:
                    judge.track(frame)
    judge.add_missing(expected, bag.damage.messages(topics.camera.image))
    notes = judge.notes()
    for note in notes:
        logger.warning('%s', note)
    notes += bag.damage.lines  # these have been said
    configuration = {
        **_configuration(options, topics),
        'backend': engine.name,
        'lost_bytes': bag.damage.lost_bytes,
        'notes': notes,
    }
    return judge.finish(configuration)


def _counts(options: BagRunOptions, in_bag: int) -> tuple[int | None, ...]:
    """Return what limits the number of images."""
    return in_bag, options.frames, None if options.stamps_ns is None else len(options.stamps_ns)


class _BagJudge:
    """Judges frames one after the other and counts what each of them lacks."""

    def __init__(
        self, engine: Engine, topics: FrameTopics, options: BagRunOptions, *, compressed: bool
    ) -> None:
        check_fits(options.session.window, engine.spec)
        self._topics = topics
        self._session = Session(engine, options.session)
        self._camera = CameraIntake(
            compressed=compressed, rectified=is_rectified_topic(topics.camera.image) or None
        )
        self._judge = FrameJudge(
            engine.spec.confidence_tau,
            baselines=options.baselines,
            all_metrics=options.all_metrics,
        )
        self._map, self._places = MapJudge(), PlaceJudge()
        self._tracking: TrackingJudge | None = None
        if options.tracking is not None and topics.pose is not None:
            trackers = open_trackers(self._session, options.tracking)
            self._tracking = TrackingJudge(trackers, options.tracking) if trackers else None
        self._stages_ms: dict[str, list[float]] = {}
        self._shown, self._published = WorstFrames(), 0
        self._without = {'truth': 0, 'pose': 0}
        self._reasons: dict[str, str] = {}  # the first text of each reason to drop a frame
        self.frames: list[FrameRecord] = []

    def add(self, frame: BagFrame) -> FrameOutcome:
        """Reconstruct a frame and judge it; what cannot be published is counted."""
        key = str(frame.stamp_ns)
        if frame.info is None:
            result: Reconstruction | Drop = Drop(
                DropReason.NO_CAMERA_INFO, frame.stamp_ns, 'none has its stamp.'
            )
        else:
            result = self._reconstruct(frame)
        if isinstance(result, Drop):
            self.frames.append(FrameRecord(key, dropped=result.reason.value))
            self._reasons.setdefault(result.reason.value, result.text)
            return FrameOutcome(result)
        for stage, value in result.timings_ms.items():
            self._stages_ms.setdefault(stage, []).append(value)
        truth = self._truth(frame, result.intrinsics[0], result.depth.shape[1:])
        pose = true_pose(frame)
        self._without['truth'] += truth is None
        self._without['pose'] += pose is None
        self._map.add(result, pose, truth)
        self._places.add(result, pose, truth)
        methods = self._judge.judge(result, truth)
        self._published += 1
        self.frames.append(FrameRecord(key, methods=methods))
        picture = frame_picture(key, result, truth, methods[PUBLISHED])
        self._shown.add(picture, result.intrinsics[0])
        return FrameOutcome(result, truth, pose)

    def track(self, frame: BagFrame) -> None:
        """Track an image for which the network has no time; what is wrong with it is its loss."""
        tracking = self._session.tracking
        if tracking is not None and frame.info is not None:
            tracking.track_frame(self._camera, frame.image, frame.info)

    def _reconstruct(self, frame: BagFrame) -> Reconstruction | Drop:
        """Track an image, then reconstruct the window that it completes."""
        if self._tracking is None:
            return self._session.push_frame(self._camera, frame.image, frame.info)
        timings_ms: dict[str, float] = {}
        try:
            with timed(timings_ms, 'rectify'):
                view = self._camera.view_of(frame.image, frame.info)
        except DroppedFrameError as error:
            return Drop(error.reason, frame.stamp_ns, str(error))
        assert view.intrinsics is not None
        depth_m = self._truth(frame, view.intrinsics, view.image.shape[:2])
        tracked = self._tracking.track(view, true_pose(frame), depth_m)
        if isinstance(tracked, Drop):
            return tracked
        result = self._session.push((tracked.view,))
        if isinstance(result, Reconstruction):
            result.timings_ms.update(timings_ms)
            self._tracking.add_depth(result.results[0])
        return result

    def add_missing(self, expected: int, damaged: int) -> None:
        """Count the expected images that have not come: damaged messages, then lost ones."""
        for number in range(expected - len(self.frames)):
            reason = DropReason.BAD_IMAGE.value if number < damaged else UNREADABLE
            self.frames.append(FrameRecord(f'{UNREADABLE}-{number}', dropped=reason))

    def notes(self) -> list[str]:
        """Return what an engineer must know before he reads the figures."""
        notes = [f'First image dropped as {name}: {why}' for name, why in self._reasons.items()]
        for what, topic in (('truth', self._topics.camera.depth), ('pose', self._topics.pose)):
            if topic is not None and self._without[what]:
                notes.append(
                    f'{self._without[what]} of {self._published} published frames have no {what} '
                    f'of their stamp on {topic} that can be used.'
                )
        return notes

    def finish(self, configuration: dict[str, Any]) -> BagRun:
        """Return the record of all frames."""
        sequence = self._map.figures() | self._places.figures()
        for what, topic in (('truth', self._topics.camera.depth), ('pose', self._topics.pose)):
            if topic is not None:
                sequence[f'frames_without_{what}'] = float(self._without[what])
        diagram = self._judge.reliability()
        if diagram is not None:
            sequence['ece'] = diagram.expected_calibration_error
        tracks = [] if self._tracking is None else self._tracking.tracks()
        times = self._stages_ms | self._judge.milliseconds
        timings: dict[str, Any] = {
            'median_ms': {name: float(np.median(values)) for name, values in times.items()}
        }
        if self._tracking is not None:
            timings['tracking'] = self._tracking.cpu_figures()
        record = EvaluationRecord(
            'bag-offline',
            configuration,
            tuple(self.frames),
            sequence,
            {} if diagram is None else diagram.bins,
            timings,
            tuple(tracking_figures(track) for track in tracks),
        )
        return BagRun(record, self._shown.pictures(), self._shown.cloud, tracks)

    def _truth(
        self, frame: BagFrame, intrinsics: Float64Array, out_hw: tuple[int, ...]
    ) -> Float32Array | None:
        """Return the true depth on the pixels of `intrinsics`; None where it cannot be used."""
        try:
            truth = true_depth(frame, self._topics, intrinsics, (out_hw[0], out_hw[1]))
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
        'settings': asdict(options.session),
        **({} if options.tracking is None else {'tracking': asdict(options.tracking)}),
        'versions': versions(),
    }  # fmt: skip


def hash_bag(bag: Path) -> str:
    """Return the sha256 of a bag's storage files, in the order of their names."""
    return sha256_of(*sorted(find_files(bag, Damage()).files))
