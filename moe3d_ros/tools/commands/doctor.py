"""`moe3d doctor`: engine, ROS and topics; or the rules of a bag; or what mappers take."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = 'doctor'
HELP = (
    'check which parts of the installation work, why a topic is silent, or whether recorded '
    'outputs keep the rules of their consumers'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the topics or the bag to look at."""
    parser.add_argument(
        '--image-topic', metavar='TOPIC', help='are images there, of which QoS and rate'
    )
    parser.add_argument(
        '--camera-info-topic', metavar='TOPIC', help='do its stamps match the images'
    )
    parser.add_argument(
        '--seconds', type=float, default=5.0, help='how long to listen (default 5)'
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        '--bag', type=Path, metavar='BAG',
        help='check only what a node has published: the conventions of ROS (REP 103, 104, 105, '
        '117, 118) and what robot_localization, rtabmap, nvblox and Nav2 read',
    )  # fmt: skip
    only.add_argument(
        '--live', action='store_true',
        help='look only at the running graph: why do mappers not get, or drop, what a node '
        'publishes (QoS, clocks, TF, the parameters of Nav2, nvblox, octomap_server, '
        'robot_localization and rtabmap)',
    )  # fmt: skip
    parser.add_argument(
        '--node', default='/moe3d', help='whose outputs, for --bag and --live (default: /moe3d)'
    )


def execute(args: argparse.Namespace) -> int:
    """Run all checks and report them; 1 where something is wrong."""
    if args.bag is not None:
        from moe3d_engine.cli.conformance import report_bag

        return report_bag(args.bag, args.node, args.json)
    if args.live:
        return _report_live(args)
    from moe3d_engine.cli.doctor import engine_checks
    from moe3d_engine.cli.doctor import report_checks
    from moe3d_ros.fastdds_profile import use_shipped_profile
    from moe3d_ros.tools.ros_doctor import ros_checks
    from moe3d_ros.tools.ros_doctor import topic_checks

    use_shipped_profile()
    checks = [*engine_checks(), *ros_checks()]
    if args.image_topic is not None:
        checks += topic_checks(args.image_topic, args.camera_info_topic, args.seconds)
    return report_checks(checks, args.json)


def _report_live(args: argparse.Namespace) -> int:
    """Report the checks of the running graph."""
    from moe3d_engine.cli.doctor import report_checks
    from moe3d_ros.fastdds_profile import use_shipped_profile
    from moe3d_ros.tools.live.examine import guarded_live_checks

    use_shipped_profile()
    return report_checks(guarded_live_checks(args.node, args.seconds), args.json)
