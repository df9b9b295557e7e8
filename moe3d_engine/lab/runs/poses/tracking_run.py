"""Trackers over the images of a bag: several runs that differ in odometry and grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import logging
import math
from pathlib import Path
from time import process_time

from moe3d_engine.bags.frames import FrameTopics
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.order import why_stale
from moe3d_engine.lab.datasets.sequences.tum import write_trajectory
from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.metrics.tracking import track_of
from moe3d_engine.lab.metrics.trajectories import truth_in_odom
from moe3d_engine.lab.runs.poses.simulated_odometry import OdometryErrors
from moe3d_engine.lab.runs.poses.simulated_odometry import SimulatedOdometry
from moe3d_engine.scale import ScaleEstimator
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.session import Session
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.tracking.stream import TrackedView
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np

logger = logging.getLogger(__name__)

MIN_POINTS = 12  # fewer tracked points do not tell the scale of depth
GRAIN = 1.0  # grey levels; standard deviation of the noise that tells one run from another


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """
    How tracking is judged.

    Parameters
    ----------
    runs : the first sees the images as they are; each further one sees noise of one grey level on
        them, and another odometry if that is simulated.
    odometry : errors of an odometry that is made from the true poses; None = no odometry.
    reference_depth : whether the bag's depth is given as a source of metres.

    Raises
    ------
    ConfigError
        If there is no run.
    """

    runs: int = 1
    odometry: OdometryErrors | None = None
    reference_depth: bool = False

    def __post_init__(self) -> None:
        """Check the number once."""
        if self.runs < 1:
            raise ConfigError(f'--runs is at least 1; got {self.runs}.')


def open_trackers(session: Session, options: TrackingOptions) -> list[StreamTracker]:
    """Return the session's own tracker and more of its kind, one per run; empty if it has none."""
    if session.tracking is None:
        return []
    config, metric = session.config, session.engine.spec.metric
    more = (
        StreamTracker(
            ScaleEstimator(config.scale, metric_weights=metric), config.poses, threaded=False
        )
        for _ in range(options.runs - 1)
    )
    return [session.tracking, *more]


def check_tracking(options: TrackingOptions | None, topics: FrameTopics) -> None:
    """
    Look whether the bag has what tracking is to be told.

    Raises
    ------
    InputError
        If odometry or reference depth is asked for, but the bag lacks what they are made of.
    """
    if options is None:
        return
    for asked, what, name, topic in (
        (options.odometry, 'true poses', '--pose-topic', topics.pose),
        (options.reference_depth, 'depth', '--depth-topic', topics.camera.depth),
    ):
        if asked and topic is None:
            raise InputError(
                f'Tracking is to be given what is made of {what}, but the bag has no such topic '
                f'beside its images. Name one with {name}.'
            )


@dataclass(slots=True, eq=False)
class _Run:
    """A tracker with what it has said."""

    tracker: StreamTracker
    odometry: SimulatedOdometry | None
    grain: np.random.Generator | None
    poses: list[TrackedPose] = field(default_factory=list)
    truth: list[Float64Array | None] = field(default_factory=list)
    depth_errors: list[float] = field(default_factory=list)
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: {'track': [], 'keyframe': []})
    view: View | None = None  # the newest, as this run has seen it

    def track(
        self, view: View, true_pose: Float64Array | None, depth_m: Float32Array | None
    ) -> TrackedView | Drop:
        """Track an image as this run sees it."""
        prior = None
        if self.odometry is not None and true_pose is not None:
            world_from_cam = self.odometry.follow(true_pose)
            known_errors = self.odometry.known_errors
            prior = PosePrior(invert_rigid(world_from_cam), 'odometry', known_errors)
        image = view.image if self.grain is None else _with_grain(view.image, self.grain)
        start_s = process_time()
        tracked = self.tracker.track(replace(view, image=image, pose=prior))
        used_ms = 1e3 * (process_time() - start_s)
        if isinstance(tracked, Drop):
            return tracked
        self.view, pose = tracked.view, tracked.pose
        self.cpu_ms['keyframe' if pose.is_keyframe else 'track'].append(used_ms)
        self.poses.append(pose)
        self.truth.append(true_pose)
        points = None if depth_m is None else self.tracker.sparse_points(view.stamp_ns)
        self.depth_errors.append(_log_depth_ratio(points, depth_m))
        return tracked


class TrackingJudge:
    """
    Gives each image to a tracker per run and compares their poses with the truth.

    Parameters
    ----------
    trackers : one per run, see `open_trackers`. Their keyframes are worked on within `track`, so
        that figures repeat and the CPU time is counted.
    options : what the runs are told besides.
    """

    def __init__(self, trackers: Sequence[StreamTracker], options: TrackingOptions) -> None:
        errors = options.odometry
        self._with_reference = options.reference_depth
        self._newest_ns: int | None = None
        self._is_over = False
        self._runs = [
            _Run(
                tracker,
                None if errors is None else SimulatedOdometry(errors, seed),
                np.random.default_rng(seed) if seed else None,
            )
            for seed, tracker in enumerate(trackers)
        ]

    def track(
        self,
        view: View,
        true_pose: Float64Array | None,
        depth_m: Float32Array | None = None,
    ) -> TrackedView | Drop:
        """
        Track an image in each run and return what the first one says.

        Where stamps jump back, `odom` begins anew: what comes then is tracked, but not judged.

        Parameters
        ----------
        view : the next image.
        true_pose : its world_from_cam (4, 4); None = not known.
        depth_m : (H, W) true depth on its pixels, NaN = unknown; None = not known at all.
        """
        first, *others = self._runs
        if self._newest_ns is not None and why_stale(view.stamp_ns, self._newest_ns) is None:
            logger.warning('Stamps go back: tracked poses are judged up to %d.', self._newest_ns)
            self._is_over = True
        if self._is_over:
            return first.tracker.track(view)
        tracked = first.track(view, true_pose, depth_m)
        if isinstance(tracked, Drop):
            return tracked
        self._newest_ns = view.stamp_ns
        for run in others:
            run.track(view, true_pose, depth_m)
        if self._with_reference and depth_m is not None:
            for run in self._runs:
                run.tracker.add_reference(_reference(view, depth_m))
        return tracked

    def add_depth(self, result: ViewResult) -> None:
        """Hand the depth that the session has given to the first run's tracker to the others."""
        for run in self._runs[1:]:
            if run.view is not None and run.view.stamp_ns == result.view.stamp_ns:
                run.tracker.add_depth(result._replace(view=run.view))

    def tracks(self) -> list[Track]:
        """Return the poses of each run with their truth; empty if no image was tracked."""
        return [
            track_of(run.poses, run.truth, run.depth_errors) for run in self._runs if run.poses
        ]

    def cpu_figures(self) -> dict[str, float]:
        """Return the CPU time of an image in ms, threads of the process included, of all runs."""
        used = {
            name: [value for run in self._runs for value in run.cpu_ms[name]]
            for name in ('track', 'keyframe')
        }
        figures = {
            f'{name}_cpu_ms': float(np.median(values)) for name, values in used.items() if values
        }
        if used['track']:
            figures['track_cpu_p95_ms'] = float(np.percentile(used['track'], 95))
        return figures


def write_tracks(folder: Path, tracks: Sequence[Track]) -> None:
    """
    Write the trajectory of each run, `trajectory-0.tum` and so on, and the true one, `truth.tum`.

    All are odom_from_cam, in TUM's format; the truth is placed where the first run begins.
    """
    for number, track in enumerate(tracks):
        write_trajectory(folder / f'trajectory-{number}.tum', track.stamps_ns, track.odom_from_cam)
    if tracks and tracks[0].known.any():
        first, known = tracks[0], tracks[0].known
        true = truth_in_odom(first.odom_from_cam[known], first.world_from_cam[known])
        write_trajectory(folder / 'truth.tum', first.stamps_ns[known], true)


def _log_depth_ratio(points: SparsePoints | None, depth_m: Float32Array | None) -> float:
    """Return the median log of published over true depth at tracked points; NaN where few are."""
    if points is None or depth_m is None:
        return math.nan
    height, width = depth_m.shape
    u, v = np.rint(points.pixels).astype(np.int64).T
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    true = depth_m[v[inside], u[inside]]
    known = np.isfinite(true) & (true > 0)
    if np.count_nonzero(known) < MIN_POINTS:
        return math.nan
    return float(np.median(np.log(points.depth[inside][known] / true[known])))


def _reference(view: View, depth_m: Float32Array) -> ReferenceDepth:
    """Return true depth (H, W) as a depth camera would give it."""
    assert view.intrinsics is not None
    points = unproject_depth(depth_m[None], view.intrinsics[None])[0]
    return ReferenceDepth(view.stamp_ns, points[np.isfinite(depth_m)].astype(np.float64))


def _with_grain(image: UInt8Array, grain: np.random.Generator) -> UInt8Array:
    """Return an image with the noise of a sensor."""
    noisy = image + GRAIN * grain.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
