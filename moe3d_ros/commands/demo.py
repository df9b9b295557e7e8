"""`moe3d demo`: a bag through the real node, with figures and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = 'demo'
HELP = 'play a bag through the real node; write figures, a picture and a cloud'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bag, the weights and where the results go."""
    parser.add_argument('--bag', type=Path, help='any bag with images and camera_info')
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder of the results')
    parser.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast')
    parser.add_argument('--frames', type=int, metavar='N', help='frames to render or to play')
    parser.add_argument('--image-topic', metavar='TOPIC', help='of a bag with several cameras')
    parser.add_argument('--camera-info-topic', metavar='TOPIC', help='where it is not beside it')
    parser.add_argument('--depth-topic', metavar='TOPIC', help='ground truth on the image pixels')
    parser.add_argument(
        '--weights', default='moe3d-small', help='shipped weights, or the path of a card (.json)'
    )


def execute(args: argparse.Namespace) -> int:
    """Run the demo and print its table."""
    raise NotImplementedError
