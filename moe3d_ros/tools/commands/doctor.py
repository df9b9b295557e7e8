"""`moe3d doctor`: the engine's checks, then ROS and topics; or the rules that a bag must keep."""

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
    parser.add_argument(
        '--bag', type=Path, metavar='BAG',
        help='check only what a node has published: the conventions of ROS (REP 103, 104, 105, '
        '117, 118) and what robot_localization, rtabmap, nvblox and Nav2 read',
    )  # fmt: skip
    parser.add_argument(
        '--node', default='/moe3d', help='whose outputs in the bag (default: /moe3d)'
    )


def execute(args: argparse.Namespace) -> int:
    """Run all checks and report them; 1 where something is wrong."""
    if args.bag is not None:
        from moe3d_engine.cli.conformance import report_bag

        return report_bag(args.bag, args.node, args.json)
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
