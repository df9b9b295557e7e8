"""What tracking says of an image: where its camera stood, how surely, and whether it is lost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale


class TrackingStatus(Enum):
    """How far a pose can be relied on."""

    STARTING = 'starting'  # there is no map yet; the pose leans on the network's depth
    TRACKING = 'tracking'
    LOST = 'lost'  # the pose is where the camera was last known to be


@dataclass(frozen=True, slots=True, eq=False)
class TrackedPose:
    """
    The pose of one image.

    The frame `odom` is that of the first image's camera; poses in it are continuous (REP 105).

    Parameters
    ----------
    stamp_ns : acquisition time of the image in nanoseconds.
    camera, frame_id : of the image's view.
    status : how far the pose can be relied on.
    cam_from_odom : (4, 4) float64, in the unit of `scale`, which is metres where that is metric.
    covariance : (6, 6) float64 of odom_from_cam: translation along the axes of odom, then rotation
        about them in rad; positive definite, and large while lost.
    velocity : (6,) float64, of the camera in its own frame: linear in units/s, then angular in
        rad/s; 0 for the first image.
    velocity_covariance : (6, 6) float64, as `velocity`; positive definite.
    scale : unit of the translation, the one that depth of this stamp is published with.
    is_keyframe : whether the image became a keyframe.
    num_tracks : points of the map that the image sees and that agree with the pose.
    text : why it is lost; empty otherwise.
    """

    stamp_ns: int
    camera: str
    frame_id: str
    status: TrackingStatus
    cam_from_odom: Float64Array
    covariance: Float64Array
    velocity: Float64Array
    velocity_covariance: Float64Array
    scale: Scale
    is_keyframe: bool = False
    num_tracks: int = 0
    text: str = ''
