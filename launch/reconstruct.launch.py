"""Start the node moe3d, bring it to active, and show its outputs in RViz on request."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import EmitEvent
from launch.actions import LogInfo
from launch.actions import OpaqueFunction
from launch.actions import RegisterEventHandler
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.actions import Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.utilities import make_namespace_absolute
from launch_ros.utilities import prefix_namespace
from lifecycle_msgs.msg import Transition
from moe3d_ros.fastdds_profile import fast_dds_environment
from moe3d_ros.settings.file import read_params_file

CONFIG = Path(__file__).resolve().parent.parent / 'config'

# Parameter -> the argument that replaces it, where it is given.
REPLACED = {
    'camera.name': 'camera',
    'input.transport': 'transport',
    'use_sim_time': 'use_sim_time',
}

# Topics that config/reconstruct.rviz shows, below ~/camera of the node /moe3d.
RVIZ_TOPICS = (
    'points',
    'points_clearing',
    'color/image_rect',
    'depth/image_rect',
    'boundary_confidence',
)
RVIZ_POSE_TOPICS = ('path', 'odometry')  # of the node itself

ARGUMENTS = (
    DeclareLaunchArgument(
        'params_file',
        default_value=str(CONFIG / 'reconstruct.yaml'),
        description='Parameters of the node. An argument camera, transport or use_sim_time that '
        'is given replaces what the file says, and the log says so.',
    ),
    DeclareLaunchArgument(
        'camera',
        default_value='',
        description='Name of the only camera; part of the topics. Empty: as in params_file.',
    ),
    DeclareLaunchArgument(
        'image_topic',
        default_value='',
        description='Base topic of the images, without /compressed (as image_transport has it). '
        'Empty: <camera>/image_raw.',
    ),
    DeclareLaunchArgument(
        'camera_info_topic',
        default_value='',
        description='Topic of the camera_info that belongs to the images. Empty: '
        '<camera>/camera_info.',
    ),
    DeclareLaunchArgument(
        'transport',
        default_value='',
        choices=['', 'raw', 'compressed'],
        description='raw: sensor_msgs/Image; compressed: sensor_msgs/CompressedImage on '
        '<image_topic>/compressed. Empty: as in params_file.',
    ),
    DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node.'),
    DeclareLaunchArgument(
        'log_level', default_value='info', description='debug, info, warn, error or fatal.'
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='',
        choices=['', 'true', 'false'],
        description='Take the time from /clock (a bag that is played with --clock). Empty: as in '
        'params_file.',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='true',
        choices=['true', 'false'],
        description='Configure and activate the node.',
    ),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=['true', 'false'], description='Start RViz.'
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node, the events that activate it, and RViz."""
    value = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in ARGUMENTS
    }
    in_file = read_params_file(Path(value['params_file']), node_name(context, value['namespace']))
    overrides = {name: value[name_of] for name, name_of in REPLACED.items() if value[name_of]}
    if 'use_sim_time' in overrides:
        overrides['use_sim_time'] = overrides['use_sim_time'] == 'true'
    camera = overrides.get('camera.name') or in_file.get('camera.name', 'camera')
    cameras = [name for name in in_file.get('camera.names', []) if name]
    if cameras and value['camera']:
        overrides['camera.names'] = ['']  # the argument names the only one
    elif cameras:
        camera = cameras[0]
        check_no_topics(cameras, value)
    image_topic = value['image_topic'] or f'{camera}/image_raw'
    environment = fast_dds_environment(context.environment)
    node = LifecycleNode(
        package='moe3d_ros',
        executable='moe3d_node',
        name='moe3d',
        namespace=value['namespace'],
        parameters=[value['params_file'], overrides] if overrides else [value['params_file']],
        remappings=[
            (f'{camera}/image_raw', image_topic),
            (f'{camera}/image_raw/compressed', f'{image_topic}/compressed'),
            (f'{camera}/camera_info', value['camera_info_topic'] or f'{camera}/camera_info'),
        ],
        arguments=['--ros-args', '--log-level', value['log_level']],
        additional_env=environment,
        output='screen',
    )
    sim_time = {'use_sim_time': bool({**in_file, **overrides}.get('use_sim_time', False))}
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', str(CONFIG / 'reconstruct.rviz')],
        parameters=[sim_time],
        namespace=value['namespace'],
        remappings=[
            *((f'/moe3d/camera/{topic}', f'moe3d/{camera}/{topic}') for topic in RVIZ_TOPICS),
            *((f'/moe3d/{topic}', f'moe3d/{topic}') for topic in RVIZ_POSE_TOPICS),
        ],
        additional_env=environment,
        condition=IfCondition(value['rviz']),
    )
    replaced = [
        LogInfo(msg=f'{name} is {given}: the argument replaces {in_file[name]} of params_file.')
        for name, given in overrides.items()
        if name in in_file and in_file[name] != given
    ]
    start_node = autostart(node) if value['autostart'] == 'true' else []
    return [*replaced, *start_node, node, rviz]


def check_no_topics(cameras: list[str], value: dict[str, str]) -> None:
    """Refuse topics of one camera where params_file names several."""
    given = [name for name in ('image_topic', 'camera_info_topic') if value[name]]
    if given:
        raise ValueError(
            f'{" and ".join(given)} stand for one camera, but camera.names of params_file has '
            f'{", ".join(cameras)}. Leave them out: the topics are NAME/image_raw and '
            f'NAME/camera_info, and a name may be a path such as robot1/front.'
        )


def node_name(context: LaunchContext, namespace: str) -> str:
    """Return the node's name in the graph, below the namespace of the group that it is in."""
    group = context.launch_configurations.get('ros_namespace')
    return f'{make_namespace_absolute(prefix_namespace(group, namespace)).rstrip("/")}/moe3d'


def autostart(node: LifecycleNode) -> list[LaunchDescriptionEntity]:
    """Return the events that configure the node and, once that has succeeded, activate it."""
    matcher = matches_action(node)

    def request(transition_id: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matcher, transition_id=transition_id)
        )

    activate_when_configured = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state='configuring',
            goal_state='inactive',
            entities=[request(Transition.TRANSITION_ACTIVATE)],
        )
    )
    return [activate_when_configured, request(Transition.TRANSITION_CONFIGURE)]
