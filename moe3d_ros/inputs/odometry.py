"""Where the camera was at the stamp of an image, as odometry knows it."""

from __future__ import annotations

import threading

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.intake.drops import SideDropReason
from moe3d_engine.intake.measured.poses import decode_odometry
from moe3d_engine.intake.measured.poses import is_lost
from moe3d_engine.intake.messages import stamp_ns as stamp_of
from moe3d_engine.tracking.pose_buffer import PoseBuffer
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_ros.camera import FollowingSubscription
from moe3d_ros.inputs.counts import InputCounts
from moe3d_ros.inputs.frames import Frames
from nav_msgs.msg import Odometry
from rclpy.node import Node

QUEUE_DEPTH = 100  # half a second at 200 Hz while the executor is held up
SOURCE = 'odometry'


class OdometryTopic:
    """
    Interpolates the poses of a nav_msgs/Odometry topic.

    Parameters
    ----------
    node : owns the subscription.
    topic : its name.
    counts : is told of each message.
    base_from_camera : (4, 4), the camera in the message's child frame; None = by TF.
    frames : TF, where `base_from_camera` is None.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        counts: InputCounts,
        base_from_camera: Float64Array | None,
        frames: Frames | None,
    ) -> None:
        self._counts = counts
        self._base_from_camera = base_from_camera
        self._frames = frames
        self._base = ''
        self._poses = PoseBuffer(SOURCE)
        self._arrived = threading.Condition()
        self._subscription = FollowingSubscription(
            node, Odometry, topic, self._take, QUEUE_DEPTH, 'auto'
        )

    def prior_at(self, stamp_ns: int, camera_frame: str, wait_s: float) -> PosePrior | None:
        """Return the camera's pose at a stamp; None where odometry does not say it."""
        if wait_s > 0.0:
            with self._arrived:
                self._arrived.wait_for(lambda: not self._poses.is_due(stamp_ns), wait_s)
        base_from_camera = self._mount(camera_frame)
        if base_from_camera is None:
            return None
        return self._poses.prior_at(stamp_ns, base_from_camera)

    def check(self) -> None:
        """Follow the publishers, and warn if nothing comes; once a second."""
        self._subscription.follow()
        self._counts.check_silence(self.describe)

    def describe(self) -> str:
        """Return what is subscribed to, and who publishes it."""
        return self._subscription.describe()

    def destroy(self) -> None:
        """Unsubscribe."""
        self._subscription.destroy()

    def _take(self, message: Odometry) -> None:
        """Keep a pose."""
        self._counts.add_received()
        if is_lost(message):
            self._poses.clear()  # what comes after need not go on from what was before
            self._counts.drop(SideDropReason.LOST, 'odometry says that it is lost.')
            return
        try:
            world_from_base = decode_odometry(message)
        except InputError as error:
            self._counts.drop(SideDropReason.BAD_POSE, str(error))
            return
        try:
            self._poses.add(stamp_of(message), world_from_base)
        except InputError as error:
            self._counts.drop(SideDropReason.STALE_STAMP, str(error))
            return
        self._base = message.child_frame_id.lstrip('/')
        with self._arrived:
            self._arrived.notify_all()

    def _mount(self, camera_frame: str) -> Float64Array | None:
        """Return base_from_camera; None while TF does not know it."""
        if self._base_from_camera is None and self._frames is not None and self._base:
            self._base_from_camera = self._frames.at(self._base, camera_frame)
            if self._base_from_camera is None:
                text = f'{self._frames.problem}. Publish it, or set poses.base_from_camera.'
                self._counts.drop(SideDropReason.NO_EXTRINSICS, text)
        return self._base_from_camera


class OdometryTransforms:
    """
    Asks TF where the camera is.

    Parameters
    ----------
    frames : TF.
    odometry_frame : in which it moves.
    counts : is told where TF does not know it.
    """

    def __init__(self, frames: Frames, odometry_frame: str, counts: InputCounts) -> None:
        self._frames, self._odometry_frame, self._counts = frames, odometry_frame, counts

    def prior_at(self, stamp_ns: int, camera_frame: str, wait_s: float) -> PosePrior | None:
        """Return the camera's pose at a stamp; None where TF does not say it."""
        world_from_camera = self._frames.at(self._odometry_frame, camera_frame, stamp_ns, wait_s)
        if world_from_camera is None:
            self._counts.drop(SideDropReason.NO_TRANSFORM, self._frames.problem)
            return None
        return PosePrior(invert_rigid(world_from_camera), SOURCE)

    def check(self) -> None:
        """Do nothing: TF looks after itself."""

    def describe(self) -> str:
        """Return what is asked."""
        return f'TF {self._odometry_frame} -> camera'

    def destroy(self) -> None:
        """Do nothing: TF belongs to others."""
