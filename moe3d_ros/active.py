"""What exists while the node is active: subscriptions, pairing, the two threads, the session."""

from __future__ import annotations

import time

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import Scale
from moe3d_ros.camera import CameraInputs
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.resources import Resources
from moe3d_ros.side_inputs import SideInputs
from moe3d_ros.sync import Frame
from moe3d_ros.sync import StampPairing
from moe3d_ros.threads.accounts import Accounts
from moe3d_ros.threads.depth import DepthThread
from moe3d_ros.threads.poses import PoseThread
from moe3d_ros.topics import RESET_SERVICE
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

WORKER_TIMEOUT_S = 30.0  # for the running inference to end


class ActiveNode:
    """
    Takes a camera's messages and publishes poses and reconstructions, until it is stopped.

    The executor's thread runs the callbacks, which only latch messages and pair them. The thread
    of poses tracks every image, and the thread of depth reconstructs the newest one of these;
    where poses are the network's, images go to depth at once.

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
        self._inputs = CameraInputs(node, config, self._take_image, self._take_info)
        camera = CameraIntake(
            compressed=config.transport == 'compressed',
            camera=config.camera,
            rectified=self._inputs.is_rectified(),
            mono16_bits=config.mono16_bits,
            warn=self._log.warning,
        )
        self._session = Session(
            resources.engine, config.session, self._accounts.restart, threaded=True
        )
        self._depth = DepthThread(
            self._session, camera, resources, self._accounts, node.get_clock()
        )
        self._poses: PoseThread | None = None
        if self._session.tracking is not None and resources.motion is not None:
            self._poses = PoseThread(
                self._session.tracking,
                camera,
                self._side_inputs,
                resources,
                resources.motion,
                self._accounts,
                self._depth.submit,
            )
        self._first = self._poses or self._depth  # the thread that images come to
        self._pairing = StampPairing(
            config.camera_info_timeout_s,
            self._accounts.drop if self._poses is None else self._accounts.drop_untracked,
            latched=config.camera_info_latched,
            camera=config.camera,
        )
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
        return f'{self._inputs.describe()}{"; " if beside else ""}{beside}'

    def side_counts(self) -> dict[str, int]:
        """Return what came in beside the images."""
        return self._side_inputs.counts()

    def is_silent(self) -> bool:
        """Return whether images are missing."""
        return self._inputs.is_silent()

    def tick(self) -> None:
        """Look after the inputs, once a second."""
        self._inputs.check()
        self._side_inputs.check()
        self._pairing.expire(time.monotonic_ns())

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
        self._inputs.destroy()
        self._node.destroy_service(self._reset)
        self._pairing.clear()
        try:
            for thread in (self._poses, self._depth):
                if thread is not None:
                    thread.stop(WORKER_TIMEOUT_S)
        except TimeoutError as error:
            self._accounts.closed = True
            self._log.error(f'{error} The backend is left open: it is still in use.')
            return False
        finally:
            self._side_inputs.destroy()
        self._session.close()
        self._log.info(f'Stopped: {self._statistics.summary()}')
        return True

    def _take_image(self, message: Image | CompressedImage) -> None:
        """Latch an image."""
        self._statistics.add_frame()
        self._submit(self._pairing.add_image(message, time.monotonic_ns()))

    def _take_info(self, message: CameraInfo) -> None:
        """Latch a camera_info."""
        self._submit(self._pairing.add_info(message, time.monotonic_ns()))

    def _submit(self, frame: Frame | None) -> None:
        """Hand a frame to the thread that it comes to first."""
        if frame is not None:
            self._first.submit(frame)

    def _take_reset(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Let the next image begin a new map, path and window."""
        self._first.reset()
        response.success = True
        response.message = 'The next image begins a new map, path and window.'
        return response
