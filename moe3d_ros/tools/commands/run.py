"""`moe3d run`: the node, configured and activated, without launch."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = 'run'
HELP = 'start, configure and activate the node (without launch)'
HAS_RESULT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add parameters and whatever ROS takes."""
    parser.add_argument('--params-file', type=Path, metavar='F', help='parameters of the node')
    parser.add_argument(
        '--ros-args', nargs=argparse.REMAINDER, default=[], metavar='ARG',
        help='all that follows goes to ROS: -p name:=value, -r from:=to, --log-level debug',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Run the node until it is interrupted."""
    from moe3d_engine.errors import ConfigError

    ros_args = list(args.ros_args)
    if args.params_file is not None:
        if not args.params_file.is_file():
            raise ConfigError(f'There is no parameter file {args.params_file}.')
        ros_args = ['--params-file', str(args.params_file), *ros_args]
    from moe3d_ros.run import run_node

    return run_node(['--ros-args', *ros_args] if ros_args else [])
