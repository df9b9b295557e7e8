"""The node `moe3d`: camera images in; depth, clouds and poses out. Start here."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_backend as open_engine_backend
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import Moe3dError
from moe3d_ros.active import ActiveNode
from moe3d_ros.logs import logged_transition
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.resources import Resources
from moe3d_ros.settings.parameters import check_change
from moe3d_ros.settings.parameters import declare_parameters
from moe3d_ros.settings.parameters import node_config
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.settings.parameters import read_parameters
from moe3d_ros.topics import NODE_NAME
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

TICK_S = 1.0


class Moe3dNode(LifecycleNode):
    """
    Moves network, publishers and subscriptions through the lifecycle, and checks parameters.

    Configured: `Resources` exist. Active: an `ActiveNode` exists, too.

    Parameters
    ----------
    open_backend : as `moe3d_engine.open_backend`.
    options : as those of LifecycleNode.
    """

    def __init__(
        self, open_backend: Callable[..., Backend] = open_engine_backend, **options: object
    ) -> None:
        super().__init__(NODE_NAME, **options)
        self._open_backend = open_backend
        self._resources: Resources | None = None
        self._active: ActiveNode | None = None
        self.statistics = Statistics()
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        if hasattr(self, 'add_post_set_parameters_callback'):  # not in ROS 2 Humble
            self.add_post_set_parameters_callback(self._apply_parameters)
        # Not the node's clock: with use_sim_time that one stands still until /clock comes.
        self.create_timer(TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # Transitions

    @logged_transition
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open and warm up the network, create the publishers."""
        startup_ms, self.statistics = self.statistics.startup_ms, Statistics()
        self.statistics.startup_ms = startup_ms
        try:
            config = node_config(read_parameters(self))
            self._resources = Resources(self, config, self._open_backend, self.statistics)
        except Moe3dError as error:
            self.get_logger().error(f'Cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    @logged_transition
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the threads and subscribe."""
        assert self._resources is not None
        try:
            self._active = ActiveNode(self, self._resources, self.statistics)
        except ConfigError as error:
            self.get_logger().error(f'Cannot activate: {error}')
            return TransitionCallbackReturn.FAILURE
        outcome = super().on_activate(state)
        self.get_logger().info(f'Waiting for images. {self._active.describe()}')
        if self.statistics.note_startup():
            startup_s = 1e-3 * self.statistics.startup_ms
            self.get_logger().info(f'Active {startup_s:.2f} s after the process was started.')
        return outcome

    @logged_transition
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop the threads; the running inference is still published."""
        if not self._stop():
            return TransitionCallbackReturn.ERROR
        self._report()
        return super().on_deactivate(state)

    @logged_transition
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        return self._release()

    @logged_transition
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from whichever state."""
        return self._release()

    @logged_transition
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, so that the node can be configured again."""
        return self._release()

    def destroy_node(self) -> None:
        """Release everything and destroy the node."""
        self._release()
        super().destroy_node()

    def _stop(self) -> bool:
        """End what is active; return False, and give up the engine, if its thread does not end."""
        active, self._active = self._active, None
        if active is None or active.stop():
            return True
        if self._resources is not None:
            self._resources.close(engine=False)
            self._resources = None
        return False

    def _release(self) -> TransitionCallbackReturn:
        """Give back all that was acquired; a second call does nothing."""
        self._stop()
        if self._resources is not None:
            self._resources.close()
            self._resources = None
        return TransitionCallbackReturn.SUCCESS

    # Once a second

    def _tick(self) -> None:
        """Look after the inputs and publish diagnostics."""
        if self._active is not None:
            self._active.tick()
        self._report()

    def _report(self) -> None:
        """Publish diagnostics, where the node is configured."""
        if self._resources is not None:
            active = self._active
            if active is None:
                self._resources.health.publish('inactive', silent=())
            else:
                self._resources.health.publish(
                    'active', active.silent_cameras(), active.scale, active.counts()
                )

    # Parameters

    def _check_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        """Say whether new values make sense together, and may change now."""
        proposed = {parameter.name: parameter.value for parameter in parameters}
        try:
            present = read_parameters(self)
            check_change(present, proposed, configured=self._resources is not None)
            config = node_config({**present, **proposed})
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not hasattr(self, 'add_post_set_parameters_callback'):
            self._use(config)
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: Sequence[Parameter]) -> None:
        """Use new thresholds from the next window on."""
        self._use(node_config(read_parameters(self)))

    def _use(self, config: NodeConfig) -> None:
        """Give what exists its thresholds; the rest is read when the node is configured."""
        if self._resources is not None:
            self._resources.configure(config)
        if self._active is not None:
            self._active.configure(config.session)
