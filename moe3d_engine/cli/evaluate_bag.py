"""Not written yet."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing yet."""
    parser.set_defaults(bag=None, list_protocols=False)


def execute(args: argparse.Namespace) -> int:
    """Not reached."""
    raise NotImplementedError
