"""What the node hears beside the images: odometry, and depth that another sensor measures."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.errors import ConfigError
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.types import PosePrior
from moe3d_ros.inputs.counts import InputCounts
from moe3d_ros.inputs.frames import Frames
from moe3d_ros.inputs.odometry import OdometryTopic
from moe3d_ros.inputs.odometry import OdometryTransforms
from moe3d_ros.inputs.reference import ReferenceInput
from moe3d_ros.settings.parameters import NodeConfig
from rclpy.node import Node


class SideInputs:
    """
    Listens to odometry and reference depth, as far as the parameters name them.

    The executor's thread runs the callbacks, which convert and keep; any thread may ask.

    Parameters
    ----------
    node : owns the subscriptions.
    config : what the parameters say.

    Raises
    ------
    ConfigError
        If TF is needed and tf2_ros is not installed.
    """

    def __init__(self, node: Node, config: NodeConfig) -> None:
        side = config.side_inputs
        self._counts: dict[str, InputCounts] = {}
        self._node = node
        self._frames = _open_frames(node, config)
        self._odometry: OdometryTopic | OdometryTransforms | None = None
        self._odometry_errors = side.odometry_errors
        if side.odometry_by_tf and self._frames is not None:
            self._odometry = OdometryTransforms(
                self._frames, side.odometry_frame, self._count('odometry')
            )
        elif side.odometry_topic:
            self._odometry = OdometryTopic(
                node,
                side.odometry_topic,
                self._count('odometry'),
                side.base_from_camera,
                self._frames,
            )
        self._reference: ReferenceInput | None = None
        if side.reference_topic:
            self._reference = ReferenceInput(
                node,
                side.reference_topic,
                self._count('reference'),
                side.camera_from_reference,
                self._frames,
                config.camera_info_timeout_s,
            )

    def prior_at(self, stamp_ns: int, camera_frame: str, wait_s: float = 0.0) -> PosePrior | None:
        """
        Return where the camera was at an image's stamp, by odometry.

        Parameters
        ----------
        stamp_ns, camera_frame : of the image.
        wait_s : how long to wait at most for odometry that is about to come. Not on the
            executor's thread, which has to bring it.

        Returns
        -------
        PosePrior, or None where odometry does not say it.
        """
        odometry = self._odometry
        if odometry is None:
            return None
        prior = odometry.prior_at(stamp_ns, camera_frame, wait_s)
        self._counts['odometry'].add_asked(answered=prior is not None)
        return None if prior is None else replace(prior, errors=self._odometry_errors)

    def reference_at(self, stamp_ns: int, camera_frame: str) -> ReferenceDepth | None:
        """Return the reference depth nearest to an image's stamp, in the frame of its camera."""
        source = self._reference
        if source is None:
            return None
        reference = source.at(stamp_ns, camera_frame)
        self._counts['reference'].add_asked(answered=reference is not None)
        return reference

    def counts(self) -> dict[str, int]:
        """Return messages, drops by reason and answered images of each input, by full names."""
        return {name: n for counts in self._counts.values() for name, n in counts.values().items()}

    def check(self) -> None:
        """Follow the publishers; once a second, on the executor's thread."""
        for each in (self._odometry, self._reference):
            if each is not None:
                each.check()

    def describe(self) -> str:
        """Return what is listened to and who publishes it; empty where it is nothing."""
        inputs = (self._odometry, self._reference)
        return '; '.join(each.describe() for each in inputs if each is not None)

    def destroy(self) -> None:
        """Unsubscribe; who asks later hears nothing, and a second call does nothing."""
        open_inputs = (self._odometry, self._reference, self._frames)
        self._odometry = self._reference = self._frames = None
        for each in open_inputs:
            if each is not None:
                each.destroy()

    def _count(self, name: str) -> InputCounts:
        """Return the counts of a new input."""
        self._counts[name] = InputCounts(name, self._node.get_logger())
        return self._counts[name]


def _open_frames(node: Node, config: NodeConfig) -> Frames | None:
    """Return TF where something may be asked of it; None where nothing is, or it need not be."""
    side = config.side_inputs
    if side.odometry_by_tf:
        return Frames(node, 'poses.odometry_from tf asks TF; a topic needs none.')
    if side.odometry_topic and side.base_from_camera is None:
        return Frames(
            node,
            "Where the camera sits in the odometry's child frame is asked of TF, unless "
            'poses.base_from_camera says it (0 0 0 0 0 0 1 = it is that frame).',
        )
    if side.reference_topic and side.camera_from_reference is None:
        try:
            return Frames(node, '')
        except ConfigError:
            return None  # needed only if the depth is of another frame, which its messages say
    return None
