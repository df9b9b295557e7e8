"""`moe3d replay`: play a bag into the ROS graph."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from moe3d_engine.cli.camera_topics import add_camera_topics
from moe3d_engine.cli.output import print_summary

NAME = 'replay'
HELP = 'play a bag: serialized messages, recorded QoS and pace'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bag and how it is played."""
    parser.add_argument('bag', type=Path, help='rosbag2 folder, or an .mcap or .db3 file')
    parser.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast')
    parser.add_argument('--clock', action='store_true', help='publish the log time on /clock')
    parser.add_argument('--loop', action='store_true', help='start again at the end')
    parser.add_argument('--topics', nargs='+', metavar='TOPIC', help='play only these')
    add_camera_topics(parser)
    parser.add_argument(
        '--wait-for-subscribers', type=int, default=1, metavar='N',
        help='of images and camera_info, before the first message (default 1; 0 = none)',
    )  # fmt: skip
    parser.add_argument(
        '--timeout', type=float, default=30.0, metavar='S', help='give up waiting (default 30)'
    )
    parser.add_argument('--frames', type=int, metavar='N', help='play the first N images only')


def execute(args: argparse.Namespace) -> int:
    """Play the bag and report what was sent."""
    from moe3d_ros.fastdds_profile import use_shipped_profile
    from moe3d_ros.tools.bags.replay import replay
    from moe3d_ros.tools.bags.replay import ReplayOptions
    from tqdm import tqdm

    options = ReplayOptions(
        rate=args.rate,
        clock=args.clock,
        loop=args.loop,
        topics=args.topics,
        image_topic=args.image_topic,
        camera_info_topic=args.camera_info_topic,
        subscribers=args.wait_for_subscribers,
        timeout_s=args.timeout,
        frames=args.frames,
    )
    use_shipped_profile()
    with tqdm(unit='msg', disable=None) as progress:
        summary = replay(args.bag, options, progress.update)
    print_summary(asdict(summary), args.json)
    return 0
