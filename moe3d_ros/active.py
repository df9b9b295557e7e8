"""What exists while the node is active: subscriptions, pairing, the threads, the session."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import time

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import Scale
from moe3d_ros.camera import CameraInputs
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.resources import Resources
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.side_inputs import SideInputs
from moe3d_ros.sync import Frame
from moe3d_ros.sync import StampPairing
from moe3d_ros.threads.accounts import Accounts
from moe3d_ros.threads.depth import DepthThread
from moe3d_ros.threads.moments import MomentSorter
from moe3d_ros.threads.poses import Moment
from moe3d_ros.threads.poses import PoseThread
from moe3d_ros.threads.poses import TrackedFrame
from moe3d_ros.threads.rig import RigThread
from moe3d_ros.topics import RESET_SERVICE
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

WORKER_TIMEOUT_S = 30.0  # for the running inference to end


class ActiveNode:
    """
    Takes the cameras' messages and publishes poses and reconstructions, until it is stopped.

    The executor's thread runs the callbacks, which only latch messages and pair them. The thread
    of poses tracks every image of the first camera, and the thread of depth reconstructs the
    newest one of these, together with the images that the other cameras of a rig took then; where
    poses are the network's, images go to depth at once.

    Parameters
    ----------
    node : owns the subscriptions.
    resources : network and publishers; used by no one else meanwhile.
    statistics : counts what happens.

    Raises
    ------
    ConfigError
        If TF is needed and tf2_ros is not installed; nothing is left open.
    """

    def __init__(self, node: LifecycleNode, resources: Resources, statistics: Statistics) -> None:
        config = resources.config
        self._node, self._statistics = node, statistics
        self._log = node.get_logger()
        self._side_inputs = SideInputs(node, config)
        self._accounts = Accounts(statistics, resources.drops, self._log)
        self._inputs = {
            camera: CameraInputs(
                node,
                config,
                camera,
                partial(self._take_image, camera),
                partial(self._take_info, camera),
            )
            for camera in config.rig.cameras
        }
        cameras = {camera: self._intake(camera, config) for camera in config.rig.cameras}
        self._session = Session(
            resources.engine, config.session, self._accounts.restart, threaded=True
        )
        self._rig: RigThread | None = None
        if config.rig.has_extrinsics:
            self._rig = RigThread(self._session.tracking, self._log)
        self._depth = DepthThread(
            self._session, cameras, resources, self._accounts, node.get_clock(), self._rig
        )
        self._sorter: MomentSorter | None = None
        if config.rig.is_rig:
            self._sorter = MomentSorter(
                config.rig.cameras,
                config.rig.moments,
                resources.outputs.wanted,
                self._accounts,
                self._depth.submit,
            )
        self._poses: PoseThread | None = None
        if self._session.tracking is not None and resources.motion is not None:
            self._poses = PoseThread(
                self._session.tracking,
                cameras[config.camera],
                self._side_inputs,
                resources,
                resources.motion,
                self._accounts,
                partial(self._hand_on, config.camera),
            )
        self._tracked = config.camera if self._poses is not None else ''
        self._pairings = {
            camera: StampPairing(
                config.camera_info_timeout_s,
                self._accounts.drop_untracked if camera == self._tracked else self._accounts.drop,
                latched=config.camera_info_latched,
                camera=camera,
            )
            for camera in config.rig.cameras
        }
        self._reset = node.create_service(Trigger, RESET_SERVICE, self._take_reset)

    # All of it in the executor's thread

    @property
    def scale(self) -> Scale:
        """The scale as it is known now."""
        if self._session.tracking is None:
            metric = self._session.engine.spec.metric
            return self._session.config.scale.scale(metric_weights=metric)
        return self._session.tracking.scale

    def describe(self) -> str:
        """Return what is subscribed to, and who publishes it."""
        beside = self._side_inputs.describe()
        inputs = '; '.join(each.describe() for each in self._inputs.values())
        return f'{inputs}{"; " if beside else ""}{beside}'

    def counts(self) -> dict[str, str]:
        """Return what came in beside the images, and what became of the moments of a rig."""
        counts = {name: str(count) for name, count in self._side_inputs.counts().items()}
        for each in (self._sorter, self._rig):
            if each is not None:
                counts |= each.values()
        return counts

    def silent_cameras(self) -> list[str]:
        """Return the cameras whose images are missing."""
        return [camera for camera, inputs in self._inputs.items() if inputs.is_silent()]

    def tick(self) -> None:
        """Look after the inputs, once a second."""
        for inputs in self._inputs.values():
            inputs.check()
        self._side_inputs.check()
        for pairing in self._pairings.values():
            pairing.expire(time.monotonic_ns())
        if self._sorter is not None:
            self._sorter.expire()

    def configure(self, config: SessionConfig) -> None:
        """Use other thresholds, and another factor of a fixed scale, from the next image on."""
        self._session.configure(config.thresholds)
        if config.scale.factor != self._session.config.scale.factor:
            self._session.set_scale_factor(config.scale.factor)

    def stop(self) -> bool:
        """
        Unsubscribe and end the threads; the running inference is still published.

        Returns
        -------
        Whether the threads have ended; if not, they still use the engine.
        """
        for inputs in self._inputs.values():
            inputs.destroy()
        self._node.destroy_service(self._reset)
        for pairing in self._pairings.values():
            pairing.clear()
        try:
            for stop in self._stops():
                stop(WORKER_TIMEOUT_S)
        except TimeoutError as error:
            self._accounts.closed = True
            self._log.error(f'{error} The backend is left open: it is still in use.')
            return False
        finally:
            self._side_inputs.destroy()
        self._session.close()
        self._log.info(f'Stopped: {self._statistics.summary()}')
        return True

    def _intake(self, camera: str, config: NodeConfig) -> CameraIntake:
        """Return what decodes and rectifies the images of a camera."""
        return CameraIntake(
            compressed=config.transport == 'compressed',
            camera=camera,
            rectified=self._inputs[camera].is_rectified(),
            mono16_bits=config.mono16_bits,
            warn=self._log.warning,
        )

    def _stops(self) -> list[Callable[[float], None]]:
        """Return what ends the threads, in the order in which images pass through them."""
        stops: list[Callable[[float], None]] = []
        if self._poses is not None:
            stops.append(self._poses.stop)
        if self._sorter is not None:
            sorter = self._sorter
            stops.append(lambda timeout_s: sorter.clear())
        stops.append(self._depth.stop)
        if self._rig is not None:
            stops.append(self._rig.stop)
        return stops

    def _take_image(self, camera: str, message: Image | CompressedImage) -> None:
        """Latch an image."""
        self._statistics.add_frame(camera)
        self._submit(camera, self._pairings[camera].add_image(message, time.monotonic_ns()))

    def _take_info(self, camera: str, message: CameraInfo) -> None:
        """Latch a camera_info."""
        self._submit(camera, self._pairings[camera].add_info(message, time.monotonic_ns()))

    def _submit(self, camera: str, frame: Frame | None) -> None:
        """Hand a frame to the thread that it comes to first."""
        if frame is None:
            return
        if self._poses is not None and camera == self._tracked:
            self._poses.submit(frame)
        else:
            self._hand_on(camera, frame)

    def _hand_on(self, camera: str, frame: Frame | TrackedFrame) -> None:
        """Hand a frame to depth: by itself, or with those of the other cameras; any thread."""
        if self._sorter is None:
            self._depth.submit(Moment.of(camera, frame))
        else:
            self._sorter.submit(camera, frame)

    def _take_reset(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Let the next image begin a new map, path and window."""
        (self._poses or self._depth).reset()
        response.success = True
        response.message = 'The next image begins a new map, path and window.'
        return response
