"""Where the cameras of a rig sit: from a file, or asked of TF as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.extrinsics_file import is_camchain
from moe3d_engine.rig.extrinsics_file import read_rig
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
from moe3d_ros.inputs.frames import Frames
from moe3d_ros.logs import Throttle
from moe3d_ros.settings.rig import BY_TF
from moe3d_ros.settings.rig import RigConfig
from rclpy.node import Node

LOG_PERIOD_S = 10.0


class RigExtrinsics:
    """
    Knows the rig, as far as somebody has said where its cameras sit. One thread asks.

    Parameters
    ----------
    node : owns the subscriptions of TF.
    config : what the parameters say.

    Raises
    ------
    ConfigError
        If the file is wrong, or TF is needed and tf2_ros is not installed.
    """

    def __init__(self, node: Node, config: RigConfig) -> None:
        self._config, self._log = config, node.get_logger()
        self._throttle = Throttle(LOG_PERIOD_S)
        self._frames: Frames | None = None
        self._rig: Rig | None = None
        self._by_tf: dict[str, Float64Array] = {}
        self.frame = config.frame  # of the rig; empty = it is not known yet
        if not config.has_extrinsics:
            return
        if config.extrinsics == BY_TF:
            self._frames = Frames(node, 'rig.extrinsics tf asks TF; a file needs none.')
            return
        path = Path(config.extrinsics).expanduser()
        if config.frame and is_camchain(path):
            raise ConfigError(
                f'rig.frame is {config.frame!r}, but {path} is a camchain of Kalibr, whose frame '
                f'is that of the first camera. Leave rig.frame empty.'
            )
        rig = read_rig(path, config.cameras)
        self._rig = rig if config.frame else rig.seen_from(config.cameras[0])

    def rig_of(self, views: Sequence[View]) -> Rig | None:
        """
        Return the rig.

        Parameters
        ----------
        views : of one moment; TF is asked for the cameras among them that are new.

        Returns
        -------
        None where the place of one of their cameras is not known.
        """
        if self._config.has_extrinsics and not self.frame:
            first = self._config.cameras[0]
            self.frame = next((v.frame_id for v in views if v.camera == first), '')
        if self._frames is not None and self.frame:
            self._ask(self._frames, views)
        rig = self._rig
        if rig is None or any(view.camera not in rig.rig_from_camera for view in views):
            return None
        return rig

    def destroy(self) -> None:
        """Unsubscribe; a second call does nothing."""
        if self._frames is not None:
            self._frames.destroy()
        self._frames = None

    def _ask(self, frames: Frames, views: Sequence[View]) -> None:
        """Ask TF for the cameras that are not known yet."""
        missing = [view for view in views if view.camera not in self._by_tf]
        for view in missing:
            found = frames.at(self.frame, view.frame_id)
            if found is not None:
                self._by_tf[view.camera] = found
            elif self._throttle.ready(view.camera):
                self._log.warning(
                    f'The place of {view.camera} on the rig is not known: {frames.problem}'
                )
        if any(view.camera in self._by_tf for view in missing):
            order = [camera for camera in self._config.cameras if camera in self._by_tf]
            self._rig = Rig({camera: self._by_tf[camera] for camera in order})
