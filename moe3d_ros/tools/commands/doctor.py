"""`moe3d doctor`: the engine's checks, then ROS and the topics that are named."""

from __future__ import annotations

import argparse

NAME = 'doctor'
HELP = 'check which parts of the installation work, and why a topic is silent'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the topics to look at."""
    parser.add_argument(
        '--image-topic', metavar='TOPIC', help='are images there, of which QoS and rate'
    )
    parser.add_argument(
        '--camera-info-topic', metavar='TOPIC', help='do its stamps match the images'
    )
    parser.add_argument(
        '--seconds', type=float, default=5.0, help='how long to listen (default 5)'
    )


def execute(args: argparse.Namespace) -> int:
    """Run all checks and report them."""
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
