"""`moe3d demo`: a bag through the real node, with figures and a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from moe3d_engine.cli.camera_topics import add_camera_topics
from moe3d_engine.cli.output import add_force
from moe3d_engine.cli.output import claim_report

NAME = 'demo'
HELP = 'play a bag through the real node; write figures, a picture and a cloud'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bag, the weights and where the results go."""
    parser.add_argument('--bag', type=Path, help='any bag with images and camera_info')
    parser.add_argument(
        '--out', type=Path, default=Path('out/demo'),
        help='folder of the results; replaces those of an earlier demo, but nothing else '
        '(default: out/demo)',
    )  # fmt: skip
    add_force(parser)
    parser.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast')
    parser.add_argument('--frames', type=int, metavar='N', help='frames to render or to play')
    add_camera_topics(parser)
    parser.add_argument('--depth-topic', metavar='TOPIC', help='ground truth on the image pixels')
    parser.add_argument(
        '--weights', default='moe3d-small', help='shipped weights, or the path of a card (.json)'
    )


def execute(args: argparse.Namespace) -> int:
    """Run the demo and print its figures."""
    from moe3d_ros.tools.demo.demo import DemoOptions
    from moe3d_ros.tools.demo.demo import run_demo
    from moe3d_ros.tools.demo.report import table

    claim_report(args.out, args.force)
    options = DemoOptions(
        out=args.out,
        bag=args.bag,
        rate=args.rate,
        frames=args.frames,
        image_topic=args.image_topic,
        camera_info_topic=args.camera_info_topic,
        depth_topic=args.depth_topic,
        weights=args.weights,
    )
    summary = run_demo(options)
    if args.json:
        print(json.dumps(summary))
        return 0
    print(f'\n{table(summary)}\n')
    for finding in summary['conformance'][:-1]:
        print(f'  {finding}')
    for name in ('contact_sheet.png', 'cloud.ply', 'summary.json', 'output'):
        print(f'  {args.out / name}')
    return 0
