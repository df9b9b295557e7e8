"""Trackers over the images of a bag: several runs that differ in odometry and grain."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import math
from pathlib import Path
from time import process_time
from typing import Protocol

from moe3d_engine.backend import NetworkSpec
from moe3d_engine.bags.frames import FrameTopics
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.datasets.sequences.tum import write_trajectory
from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.metrics.tracking import track_of
from moe3d_engine.lab.metrics.trajectories import truth_in_odom
from moe3d_engine.lab.runs.simulated_odometry import OdometryErrors
from moe3d_engine.lab.runs.simulated_odometry import SimulatedOdometry
from moe3d_engine.scale import ScaleEstimator
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.session import SessionConfig
from moe3d_engine.tracking.tracker import Tracker
from moe3d_engine.tracking.types import SparsePoints
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np

MIN_POINTS = 12  # fewer tracked points do not tell the scale of depth
GRAIN = 1.0  # grey levels; standard deviation of the noise that tells one run from another


class PoseTracker(Protocol):
    """What is judged; see `moe3d_engine.tracking`."""

    def track(self, view: View) -> TrackedPose:
        """Return the pose of an image; `view.pose` is the odometry's, if there is one."""

    def add_depth(self, result: ViewResult) -> object:
        """Take the network's depth of an image that has been tracked."""

    def add_reference(self, reference: ReferenceDepth) -> object:
        """Take measured depth of an image that has been tracked."""

    def sparse_points(self, stamp_ns: int) -> SparsePoints | None:
        """Return the points that an image has seen."""


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


def open_tracker(config: SessionConfig, spec: NetworkSpec) -> PoseTracker:
    """Return the tracker that a session of this configuration has, all in one thread."""
    return Tracker(ScaleEstimator(config.scale, metric_weights=spec.metric))


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

    tracker: PoseTracker
    odometry: SimulatedOdometry | None
    grain: np.random.Generator | None
    poses: list[TrackedPose] = field(default_factory=list)
    truth: list[Float64Array | None] = field(default_factory=list)
    depth_errors: list[float] = field(default_factory=list)
    view: View | None = None  # the newest
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: {'track': [], 'keyframe': []})

    def track(
        self, view: View, true_pose: Float64Array | None, depth_m: Float32Array | None
    ) -> None:
        """Track an image as this run sees it."""
        prior = None
        if self.odometry is not None and true_pose is not None:
            prior = PosePrior(invert_rigid(self.odometry.follow(true_pose)), 'odometry')
        image = view.image if self.grain is None else _with_grain(view.image, self.grain)
        self.view = replace(view, image=image, pose=prior)
        start_s = process_time()
        pose = self.tracker.track(self.view)
        used_ms = 1e3 * (process_time() - start_s)
        self.cpu_ms['keyframe' if pose.is_keyframe else 'track'].append(used_ms)
        self.poses.append(pose)
        self.truth.append(true_pose)
        points = None if depth_m is None else self.tracker.sparse_points(view.stamp_ns)
        self.depth_errors.append(_log_depth_ratio(points, depth_m))

    def add_depth(self, result: ViewResult) -> None:
        """Hand the network's depth of the newest image over."""
        assert self.view is not None
        self.tracker.add_depth(result._replace(view=self.view))


class TrackingJudge:
    """
    Gives each image to a tracker per run and compares their poses with the truth.

    Parameters
    ----------
    open_tracker : makes a tracker; the keyframes of one that is judged are worked on before
        `track` returns, so that figures repeat and their CPU time is counted.
    options : how many, and what they are told besides.
    """

    def __init__(self, open_tracker: Callable[[], PoseTracker], options: TrackingOptions) -> None:
        errors = options.odometry
        self._with_reference = options.reference_depth
        self._newest_ns: int | None = None
        self._runs = [
            _Run(
                open_tracker(),
                None if errors is None else SimulatedOdometry(errors, seed),
                np.random.default_rng(seed) if seed else None,
            )
            for seed in range(options.runs)
        ]

    def track(
        self,
        view: View,
        true_pose: Float64Array | None,
        depth_m: Float32Array | None = None,
    ) -> None:
        """
        Track an image in each run, unless one of its stamp or a later one has been tracked.

        Parameters
        ----------
        view : the next image.
        true_pose : its world_from_cam (4, 4); None = not known.
        depth_m : (H, W) true depth on its pixels, NaN = unknown; None = not known at all.
        """
        if self._newest_ns is not None and view.stamp_ns <= self._newest_ns:
            return
        self._newest_ns = view.stamp_ns
        for run in self._runs:
            run.track(view, true_pose, depth_m)
            if self._with_reference and depth_m is not None:
                run.tracker.add_reference(_reference(view, depth_m))

    def add_depth(self, result: ViewResult) -> None:
        """Hand the network's depth of the image that was tracked last to each run."""
        if result.view.stamp_ns == self._newest_ns:
            for run in self._runs:
                run.add_depth(result)

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
