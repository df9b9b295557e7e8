"""`moe3d doctor --live` over the middleware: what consumers drop is what it names."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
import json
import os
from pathlib import Path
import subprocess
import sys
import threading

from moe3d_engine.cli.doctor import Check
import pytest

pytest.importorskip('rclpy')

from moe3d_ros.settings.file import read_params_file
from moe3d_ros.tools.live.examine import live_checks
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters
from rcl_interfaces.srv import ListParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos import QoSProfile

from .doubles import Costmap
from .doubles import DoubleNode
from .doubles import Moe3d
from .doubles import Octomap
from .doubles import Rtabmap
from .doubles import Transforms

CONFIG = Path(__file__).resolve().parents[3] / 'config' / 'consumers'
pytestmark = [
    # A service that answers before it has met the client says so; it is asked again.
    pytest.mark.filterwarnings('ignore:failed to send response:RuntimeWarning'),
    # What rclpy itself calls when profiles do not match.
    pytest.mark.filterwarnings('ignore:Deprecated in favor of:DeprecationWarning'),
]
SECONDS = 3.0
POINTS, CLEARING = '/moe3d/camera/points', '/moe3d/camera/points_clearing'
WHEELS = '/wheels/odometry'
COSTMAP, SCANS = '/local_costmap/local_costmap', '/global_costmap/global_costmap'


@contextmanager
def spinning(*nodes: Node) -> Iterator[None]:
    """Spin nodes in a thread, and destroy them at the end."""
    executors = []
    for node in nodes:
        executors.append(SingleThreadedExecutor(context=node.context))
        executors[-1].add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            for executor in executors:
                executor.spin_once(timeout_sec=0.01)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for executor, node in zip(executors, nodes, strict=True):
            executor.shutdown()
            node.destroy_node()


@pytest.fixture(scope='module')
def own_context() -> Iterator[Callable[[], Context]]:
    """Return a function that makes contexts: one holds a single type on each topic."""
    made: list[Context] = []

    def make() -> Context:
        made.append(Context())
        made[-1].init()
        return made[-1]

    yield make
    for context in made:
        context.try_shutdown()


def failures(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if not check.ok and check.required}


class Wheels(DoubleNode):
    """Sends odometry that nobody has to receive."""

    def __init__(self, context: Context) -> None:
        super().__init__('wheels', context, {})
        sender = self.create_publisher(Odometry, WHEELS, qos_profile_sensor_data)

        def send() -> None:
            message = Odometry()
            message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), 'odom'
            message.pose.covariance[0] = message.twist.covariance[0] = 0.01
            sender.publish(message)

        self.create_timer(0.1, send)


class Strict(Node):
    """An octomap_server of rclcpp, which tells nothing if one of the names has no value."""

    def __init__(self, context: Context) -> None:
        super().__init__('strict', context=context, start_parameter_services=False)
        self.create_service(ListParameters, '~/list_parameters', self._list)
        self.create_service(GetParameters, '~/get_parameters', self._get)

    def _list(
        self, _: ListParameters.Request, answer: ListParameters.Response
    ) -> ListParameters.Response:
        answer.result.names = ['sensor_model.max_range', 'without_value']
        return answer

    def _get(
        self, request: GetParameters.Request, answer: GetParameters.Response
    ) -> GetParameters.Response:
        if 'without_value' not in request.names:
            answer.values = [
                ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=-1.0)
            ]
        return answer


class Graph:
    """What consumers took, and what was said of them."""

    def __init__(self, costmap: Costmap, octomap: Octomap, rtabmap: Rtabmap) -> None:
        self.costmap, self.octomap, self.rtabmap = costmap, octomap, rtabmap
        self.checks: list[Check] = []

    @property
    def failures(self) -> dict[str, str]:
        return failures(self.checks)


Run = Callable[[dict[str, object], dict[str, object], QoSProfile], Graph]


@pytest.fixture(scope='module')
def run_graph(ros_context: Context, own_context: Callable[[], Context]) -> Run:
    """Return a function that lets doubles run and examines the graph."""

    def run(costmap: dict[str, object], octomap: dict[str, object], profile: QoSProfile) -> Graph:
        graph = Graph(
            Costmap(ros_context, costmap),
            Octomap(ros_context, octomap, POINTS),
            Rtabmap(ros_context, WHEELS, profile),
        )
        others: list[Node] = [Moe3d(ros_context), Wheels(ros_context)]
        if find_spec('tf2_msgs'):
            others.append(Transforms(ros_context))
        if not octomap:
            others.append(Costmap(own_context(), SCAN_COSTMAP, 'global_costmap'))
        with spinning(graph.costmap, graph.octomap, graph.rtabmap, *others):
            graph.checks = live_checks('/moe3d', SECONDS)
        return graph

    return run


FRAMES = {'plugins': ['layer'], 'global_frame': 'odom', 'robot_base_frame': 'base_link'}
SCAN_COSTMAP = FRAMES | {'layer.observation_sources': 'scan', 'layer.scan.topic': POINTS}


@pytest.fixture(scope='module')
def by_default(run_graph: Run) -> Graph:
    """Return consumers that were told hardly more than topics, one of them misspelled."""
    costmap = FRAMES | {
        'layer.observation_sources': 'cloud typo',
        'layer.cloud.topic': POINTS,
        'layer.cloud.data_type': 'PointCloud2',
        'layer.typo.topic': '/moe3d/camera/point',
        'layer.typo.data_type': 'PointCloud2',
    }
    return run_graph(costmap, {}, QoSProfile(depth=10))


@pytest.fixture(scope='module')
def as_shipped(run_graph: Run) -> Graph:
    """Return consumers with the parameter files that are shipped."""
    costmap = read_params_file(CONFIG / 'nav2_costmap.yaml', COSTMAP)
    octomap = read_params_file(CONFIG / 'octomap_server.yaml', '/octomap_server')
    return run_graph(costmap, octomap, qos_profile_sensor_data)


def test_costmap_with_defaults_marks_nothing_and_each_reason_is_named(by_default: Graph) -> None:
    named = by_default.failures

    assert by_default.costmap.marked == 0
    assert 'LaserScan' in named[f'{SCANS} layer.scan.data_type']
    assert 'above 0 m is discarded' in named[f'{COSTMAP} layer.cloud.max_obstacle_height']
    assert 'stays an obstacle' in named[f'{COSTMAP} layer.cloud.clearing']
    assert CLEARING in named[f'{COSTMAP} layer.observation_sources']
    assert f'Did you mean {POINTS}?' in named[f'{COSTMAP} layer.typo.topic']


def test_types_of_both_ends_of_a_connection_are_named(by_default: Graph) -> None:
    assert 'sensor_msgs/msg/LaserScan is expected' in by_default.failures[f'connections {POINTS}']


def test_costmap_as_shipped_marks_the_table_clears_to_its_range_and_is_not_named(
    as_shipped: Graph,
) -> None:
    assert as_shipped.costmap.marked > 0
    assert as_shipped.costmap.cleared_m == pytest.approx(5.0)
    assert not [name for name in as_shipped.failures if name.startswith(COSTMAP)]


def test_octomap_with_defaults_is_named_and_takes_the_far_wall_for_as_sure_as_the_table(
    by_default: Graph, as_shipped: Graph
) -> None:
    assert len(by_default.octomap.occupied_m) == 2
    assert len(as_shipped.octomap.occupied_m) == 1
    assert '-1.0' in by_default.failures['/octomap_server sensor_model.max_range']
    assert not [name for name in as_shipped.failures if name.startswith('/octomap_server')]


def test_reliable_subscriber_of_a_best_effort_topic_hears_nothing_and_is_named(
    by_default: Graph, as_shipped: Graph
) -> None:
    detail = by_default.failures[f'connections {WHEELS}']

    assert by_default.rtabmap.count == 0
    assert 'from /wheels to /rtabmap' in detail
    assert 'Let /rtabmap ask for best_effort' in detail
    assert as_shipped.rtabmap.count > 0
    assert not [name for name in as_shipped.failures if name.startswith('connections')]


def test_healthy_node_is_reported_with_rates_and_without_failures(as_shipped: Graph) -> None:
    checks = {check.name: check for check in as_shipped.checks}

    assert checks['/moe3d'].ok
    assert '/camera/points' in checks['/moe3d'].detail
    assert checks['streams'].ok, checks
    assert checks['clock'].ok
    assert not as_shipped.failures


@pytest.mark.skipif(find_spec('tf2_msgs') is not None, reason='TF can be heard here')
def test_tf_that_cannot_be_heard_is_said_with_the_frames_it_has_to_join(as_shipped: Graph) -> None:
    (check,) = (check for check in as_shipped.checks if check.name == 'TF')

    assert not check.ok
    assert not check.required
    assert 'tf2_msgs is not installed' in check.detail
    assert 'camera_optical -> odom (/octomap_server frame_id)' in check.detail


def test_nodes_that_wait_for_a_clock_never_answer_or_answer_strictly_are_survived(
    ros_context: Context,
) -> None:
    waiting = DoubleNode('waiting', ros_context, {'use_sim_time': True})
    deaf = Node('deaf', context=ros_context, start_parameter_services=False)
    deaf.create_service(ListParameters, '~/list_parameters', lambda _, answer: answer)
    strict = Strict(ros_context)
    try:
        with spinning(waiting, strict):
            named = failures(live_checks('/moe3d', 0.5))
    finally:
        deaf.destroy_node()

    assert 'nobody publishes /clock: the time of /waiting' in named['clock use_sim_time']
    assert 'nothing is published below this name' in named['/moe3d']
    assert 'every point is an obstacle' in named['/strict sensor_model.max_range']


def test_empty_graph_is_reported_in_json_without_hanging(tmp_path: Path) -> None:
    silent = {'ROS_DOMAIN_ID': str(int(os.environ['ROS_DOMAIN_ID']) + 1)}
    result = subprocess.run(
        [sys.executable, '-m', 'moe3d_ros.cli', 'doctor', '--live', '--seconds', '0.5', '--json'],
        env={**os.environ, **silent},
        capture_output=True,
        text=True,
        check=False,
    )

    checks = {check['name']: check for check in json.loads(result.stdout)['checks']}
    assert result.returncode == 1
    assert 'ROS_DOMAIN_ID' in checks['/moe3d']['detail']
    assert 'none of those that are known' in checks['consumers']['detail']
    assert checks['consumers']['ok']
