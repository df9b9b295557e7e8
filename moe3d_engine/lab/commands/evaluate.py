"""`moe3d evaluate`: judge weights on posed views, public data sets or bags; compare two runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from moe3d_engine.cli.output import add_force
from moe3d_engine.lab.commands import evaluate_bag
from moe3d_engine.lab.commands import evaluate_compare
from moe3d_engine.lab.commands import evaluate_dataset
from moe3d_engine.lab.commands import evaluate_poses
from moe3d_engine.lab.commands import evaluate_views

NAME = 'evaluate'
HELP = 'judge weights on a bag, a public data set or posed views with known depth; compare runs'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all ways have in common, then a group for each way."""
    parser.add_argument(
        'weights', nargs='*', metavar='WEIGHTS',
        help='names or cards of exported weights (default: moe3d-small); on posed views also '
        'checkpoints of training runs (.safetensors)',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path,
        help='folder for the report and its data; replaces an earlier report, but nothing else',
    )  # fmt: skip
    add_force(parser)
    parser.add_argument(
        '--all-metrics', action='store_true',
        help='on posed views and offline bags also boundary figures of MoGe-2 and iBims-1, and '
        'points in free space (twice the time)',
    )  # fmt: skip
    for way in (evaluate_bag, evaluate_dataset, evaluate_views, evaluate_poses, evaluate_compare):
        way.add_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Run the way that was asked for; posed views where none was named."""
    if not args.weights:
        args.weights = ['moe3d-small']
    if args.compare is not None:
        return evaluate_compare.execute(args)
    if args.bag is not None:
        return evaluate_bag.execute(args)
    if args.dataset is not None or args.list_protocols:
        return evaluate_dataset.execute(args)
    if args.view_poses:
        return evaluate_poses.execute(args)
    if args.rig:
        return evaluate_poses.execute_rig(args)
    return evaluate_views.execute(args)
