"""The options with which every command names a camera of a bag."""

from __future__ import annotations

import argparse


def add_camera_topics(parser: argparse._ActionsContainer) -> None:
    """Add the topics of the images and of their camera_info."""
    parser.add_argument('--image-topic', metavar='TOPIC', help='of a bag with several cameras')
    parser.add_argument('--camera-info-topic', metavar='TOPIC', help='where it is not beside it')
