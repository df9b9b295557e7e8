"""Poses of sets of views against the truth: by matches between the images, and the network's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
import time

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.metrics.poses import relative_pose_auc
from moe3d_engine.lab.metrics.poses import relative_pose_errors
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.sequences.joint_poses import BY_MATCHES
from moe3d_engine.sequences.joint_poses import with_joint_poses
from moe3d_engine.sequences.sequence import reconstruct_windows
from moe3d_engine.session import Session
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
import numpy as np

BAD_ROTATION_DEG, BAD_DIRECTION_DEG = 5.0, 20.0  # of a pair, beyond either of which it is bad


@dataclass(slots=True)
class _Figures:
    """Errors of the pairs of all sets by one method."""

    rotation_deg: list[float] = field(default_factory=list)
    direction_deg: list[float] = field(default_factory=list)
    auc: list[float] = field(default_factory=list)
    by_matches: list[bool] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def add(self, found: Float64Array, true: Float64Array) -> None:
        """Add a set; cam_from_world (V, 4, 4) both."""
        errors = relative_pose_errors(found, true)
        self.rotation_deg += errors.rotation_deg.tolist()
        self.direction_deg += errors.translation_deg.tolist()
        self.auc.append(relative_pose_auc(found, true))

    def summary(self) -> dict[str, float]:
        """Return medians, 90th percentiles and shares."""
        rotation, direction = np.array(self.rotation_deg), np.array(self.direction_deg)
        bad = (rotation > BAD_ROTATION_DEG) | (direction > BAD_DIRECTION_DEG)
        return {
            'rotation_deg': float(np.median(rotation)),
            'rotation_deg_p90': float(np.quantile(rotation, 0.9)),
            'direction_deg': float(np.median(direction)),
            'direction_deg_p90': float(np.quantile(direction, 0.9)),
            'bad_share': float(np.mean(bad)),
            'pose_auc_30': float(np.mean(self.auc)),
            'by_matches': float(np.mean(self.by_matches)) if self.by_matches else 0.0,
            'match_ms': float(np.median(self.milliseconds)) if self.milliseconds else 0.0,
        }


def evaluate_poses(
    session: Session, sets: Iterable[ViewSet], num_views: int
) -> dict[str, dict[str, float]]:
    """
    Place the views of each set as `moe3d reconstruct` does.

    Parameters
    ----------
    session : with the network.
    sets : posed views.
    num_views : the first so many of each set, 2 to 8.

    Returns
    -------
    Figures of all pairs of views by method: the `network`, `matches`, and `matches, uncalibrated`,
    where the network estimates the intrinsics, too. `rotation_deg` and `direction_deg` are medians
    (`_p90`: the 90th percentiles), `bad_share` the pairs with more than 5 degrees of rotation or
    20 of direction, `by_matches` the share of views that are placed by matches, `match_ms` the
    median time that this takes.
    """
    figures = {
        name: _Figures() for name in ('network', 'matches', 'matches, uncalibrated')
    }  # fmt: skip
    for item in sets:
        true = invert_rigid(np.asarray(item.world_from_cam[:num_views], np.float64))
        for name, calibrated in (('matches', True), ('matches, uncalibrated', False)):
            intrinsics = item.intrinsics.astype(np.float64)
            views = [
                View(image, matrix if calibrated else None)
                for image, matrix in zip(item.rgb[:num_views], intrinsics, strict=False)
            ]
            windows = list(reconstruct_windows(session, views, session.engine.spec.max_views))
            if calibrated:
                figures['network'].add(_poses(windows), true)
            started = time.perf_counter()
            windows, sources, _ = with_joint_poses(windows)
            figures[name].milliseconds.append(1e3 * (time.perf_counter() - started))
            figures[name].by_matches += [source == BY_MATCHES for source in sources]
            figures[name].add(_poses(windows), true)
    return {name: found.summary() for name, found in figures.items()}


def _poses(windows: Iterable[Reconstruction]) -> Float64Array:
    """Return cam_from_world (V, 4, 4) of all views of windows."""
    return np.stack([result.cam_from_world for window in windows for result in window.results])
