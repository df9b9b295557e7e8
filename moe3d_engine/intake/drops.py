"""Why frames are not published, and why windows begin anew: typed events, for logs and counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class DropReason(Enum):
    """Why an image was received but not published; this list is all there is."""

    BUSY = 'busy'  # a newer one came before the engine was free
    TRACKING_BUSY = 'tracking_busy'  # tracking could not keep up: the oldest that waited for it
    NO_CAMERA_INFO = 'no_camera_info'  # none of its stamp came in time
    QUEUE_FULL = 'queue_full'  # too many bytes of images waited for their camera_info
    BAD_CAMERA_INFO = 'bad_camera_info'  # not calibrated, of another size, unknown model
    BAD_IMAGE = 'bad_image'  # wrong step, truncated, unknown encoding, corrupt
    STALE_STAMP = 'stale_stamp'  # not newer than the image before
    UNMATCHED = 'unmatched'  # the images of the rig's other cameras are of another moment
    BAD_OUTPUT = 'bad_output'  # the engine failed or returned values that are not finite
    SCALE_UNKNOWN = 'scale_unknown'  # metres are not known, or not as surely as they have to be
    NO_SUBSCRIBER = 'no_subscriber'  # nobody listens to any output


@dataclass(frozen=True, slots=True)
class Drop:
    """
    An image that is not published.

    Parameters
    ----------
    reason : one of all there are.
    stamp_ns : of the image.
    text : what is wrong and what to do; empty where nothing is wrong.
    camera : whose image it was.
    """

    reason: DropReason
    stamp_ns: int
    text: str = ''
    camera: str = 'camera'


class DroppedFrameError(Exception):
    """A frame that cannot be published; the text says what to do."""

    def __init__(self, reason: DropReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class RestartReason(Enum):
    """Why the window of views, or tracking, was begun anew."""

    SIZE_CHANGED = 'size_changed'  # the images have another size
    TIME_JUMPED = 'time_jumped'  # stamps went back: a bag in a loop, a reset simulation
    BAD_OUTPUT = 'bad_output'  # the engine failed; its features are not trusted any more
    NO_SUBSCRIBER = 'no_subscriber'  # views from before the pause would be too old
    REQUESTED = 'requested'  # by the service ~/reset


@dataclass(frozen=True, slots=True)
class Restart:
    """A window, or tracking, that began anew; `text` is empty where that is no news."""

    reason: RestartReason
    text: str = ''


class SideDropReason(Enum):
    """Why a message of odometry or of reference depth was not used."""

    STALE_STAMP = 'stale_stamp'  # not newer than the one before
    BAD_POSE = 'bad_pose'  # not finite, a zero quaternion, a negative variance
    LOST = 'lost'  # odometry itself says that it does not know where it is
    NO_CAMERA_INFO = 'no_camera_info'  # none of the depth image's stamp came in time
    QUEUE_FULL = 'queue_full'  # too many bytes of depth images waited for their camera_info
    BAD_DEPTH = 'bad_depth'  # depth image, its camera_info or cloud cannot be read
    NO_TRANSFORM = 'no_transform'  # TF does not know where the camera was at an image's stamp
    NO_EXTRINSICS = 'no_extrinsics'  # nobody says where the sensor sits beside the camera
