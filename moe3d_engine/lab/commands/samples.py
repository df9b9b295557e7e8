"""`moe3d samples`: look at what the generator of training scenes makes."""

from __future__ import annotations

import argparse
from pathlib import Path
import time

from moe3d_engine.cli.output import add_force
from moe3d_engine.cli.output import check_free
from moe3d_engine.cli.output import print_summary
from moe3d_engine.cli.output import written_whole

NAME = 'samples'
HELP = 'render a sheet of synthetic training scenes, colour beside depth'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the picture, the scenes and how they are rendered."""
    parser.add_argument(
        '--out', type=Path, default=Path('samples.png'), help='PNG (default: samples.png)'
    )
    add_force(parser)
    parser.add_argument('--first-seed', type=int, default=0, help='of the scenes (default: 0)')
    parser.add_argument('--scenes', type=int, default=8, help='rows of the sheet (default: 8)')
    parser.add_argument(
        '--style', choices=['photo', 'fast'], default='photo',
        help='photo: area lights, 2x2 supersampling; fast: plainer shading (default: photo)',
    )  # fmt: skip
    parser.add_argument(
        '--image-hw', type=int, nargs=2, default=[168, 224], metavar=('H', 'W'),
        help='size of a view in pixels (default: 168 224)',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Render, write the sheet, print how long a view took."""
    check_free(args.out, args.force)
    from moe3d_engine.lab.synthetic import render_set
    from moe3d_engine.lab.synthetic.sheet import write_sheet

    started = time.perf_counter()
    seeds = range(args.first_seed, args.first_seed + args.scenes)
    supersample = 2 if args.style == 'photo' else 1
    sets = [render_set(seed, 2, tuple(args.image_hw), supersample, args.style) for seed in seeds]
    seconds = time.perf_counter() - started
    with written_whole(args.out) as sheet:
        write_sheet(sheet, sets)
    print_summary(
        {
            'sheet': str(args.out),
            'scenes': args.scenes,
            'seconds per view': round(seconds / (2 * args.scenes), 2),
        },
        args.json,
    )
    return 0
