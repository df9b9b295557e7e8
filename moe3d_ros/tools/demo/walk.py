"""The way that the node has published of the camera, beside the true one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.bags.frames import choose_topics
from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.bags.reader import read_decoded
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.errors import InputError
from moe3d_engine.intake.measured.poses import decode_pose
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.lab.metrics.trajectories import path_length
from moe3d_engine.lab.metrics.trajectories import truth_in_odom
from moe3d_engine.types import Float64Array
from moe3d_ros.outputs.odom_frame import UNKNOWN_VARIANCE
from moe3d_ros.tools.recorded import NODE
from moe3d_ros.tools.run_figures import rounded
from moe3d_ros.tools.run_figures import Summary
from moe3d_ros.topics import motion_topics
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POSES = motion_topics('camera', node=NODE).pose
TRUE, TRACKED, LOST = '#9a9a94', '#2166ac', '#b2182b'
MIN_POSES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """
    Where the camera was, in the axes of odom: x forward, y left, z up.

    Parameters
    ----------
    odom_from_cam : (N, 4, 4) as published, metres.
    lost : (N,) bool, whether the node has called itself lost.
    true_odom_from_cam : (M, 4, 4) of those stamps whose true pose is known; empty = of none.
        Both begin with the same pose; nothing is aligned.
    error_m : (M,) distance between published and true positions.
    """

    odom_from_cam: Float64Array
    lost: NDArray[np.bool_]
    true_odom_from_cam: Float64Array
    error_m: Float64Array


def read_walk(output: Path, bag: Path, camera: CameraTopics) -> Walk | None:
    """
    Return the way that was recorded of the node; None where it has published none.

    Parameters
    ----------
    output : what was recorded of the node.
    bag, camera : what was played; its true poses are taken from beside the images.
    """
    published = _published(output)
    if len(published) < MIN_POSES:
        return None
    true = _true(bag, camera)
    stamps = sorted(published)
    known = [stamp for stamp in stamps if stamp in true]
    odom_from_cam = np.stack([published[stamp][0] for stamp in stamps])
    true_odom_from_cam, error_m = np.empty((0, 4, 4)), np.empty(0)
    if len(known) >= MIN_POSES:
        judged = np.stack([published[stamp][0] for stamp in known])
        true_odom_from_cam = truth_in_odom(judged, np.stack([true[stamp] for stamp in known]))
        error_m = np.linalg.norm(judged[:, :3, 3] - true_odom_from_cam[:, :3, 3], axis=1)
    lost = np.array([published[stamp][1] for stamp in stamps])
    return Walk(odom_from_cam, lost, true_odom_from_cam, error_m)


def walk_figures(walk: Walk | None) -> Summary:
    """Return the figures of a walk; `way_m` is the true one where that is known."""
    if walk is None:
        return {'published': 0}
    has_truth = len(walk.error_m) > 0
    way_m = path_length(walk.true_odom_from_cam if has_truth else walk.odom_from_cam)
    return {
        'published': len(walk.lost),
        'lost': int(walk.lost.sum()),
        'way_m': rounded(way_m, 3),
        'error_m_median': rounded(np.median(walk.error_m), 3) if has_truth else None,
        'error_m_max': rounded(walk.error_m.max(), 3) if has_truth else None,
    }


def draw_walk(axes: Axes, walk: Walk) -> None:
    """Draw both ways as seen from above: forward to the right, left is up."""
    true, tracked = (poses[:, :3, 3] for poses in (walk.true_odom_from_cam, walk.odom_from_cam))
    if len(true):
        axes.plot(true[:, 0], true[:, 1], color=TRUE, linewidth=4, alpha=0.6, label='true')
    axes.plot(tracked[:, 0], tracked[:, 1], color=TRACKED, linewidth=1.5, label='published')
    lost = tracked[walk.lost]
    if len(lost):
        axes.plot(lost[:, 0], lost[:, 1], '.', color=LOST, label='lost')
    axes.plot(*tracked[0, :2], 'o', color=TRACKED, markersize=5)
    axes.set_aspect('equal', adjustable='datalim')
    axes.margins(0.1)
    axes.legend(loc='upper right', frameon=False)


def _published(output: Path) -> dict[int, tuple[Float64Array, bool]]:
    """Return the recorded odom_from_cam by stamp in ns, and whether it was called lost."""
    if POSES not in read_topics(output):
        return {}
    return {
        stamp_ns(message): (
            decode_pose(message.pose.pose),
            bool(message.pose.covariance[0] >= UNKNOWN_VARIANCE),
        )
        for _, _, message in read_decoded(output, [POSES])
    }


def _true(bag: Path, camera: CameraTopics) -> dict[int, Float64Array]:
    """Return world_from_cam of a bag by stamp in ns, as far as it is known."""
    topic = choose_topics(bag, camera.image, camera.camera_info, camera.depth).pose
    poses: dict[int, Float64Array] = {}
    if topic is not None:
        for _, _, message in read_decoded(bag, [topic]):
            try:
                poses[stamp_ns(message)] = decode_pose(message.pose)
            except InputError:
                continue
    return poses
