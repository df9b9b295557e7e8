"""`moe3d train`: train the network on rendered sets."""

from __future__ import annotations

import argparse
from dataclasses import fields
import os
from pathlib import Path

from moe3d_engine.cli.output import add_force
from moe3d_engine.cli.output import check_free
from moe3d_engine.cli.output import print_summary

NAME = 'train'
HELP = 'train the network on synthetic scenes (renders them first where they are missing)'

DEFAULTS = {'data': 'runs/data/train', 'held_out': 'runs/data/validation'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one option per field of TrainConfig, and what surrounds a run."""
    from moe3d_engine.lab.training.config import TrainConfig

    for field in fields(TrainConfig):
        option = '--' + field.name.replace('_', '-')
        if field.name == 'run':  # `torchrun` takes --run for an option of its own
            parser.add_argument('--out', dest='run', default='runs/moe3d-small')
        elif field.name in DEFAULTS:
            parser.add_argument(option, default=DEFAULTS[field.name])
        elif isinstance(field.default, bool):
            parser.add_argument(
                option, action=argparse.BooleanOptionalAction, default=field.default
            )
        elif isinstance(field.default, tuple):
            parser.add_argument(option, type=int, nargs='+', default=field.default)
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    parser.add_argument(
        '--sets', type=int, default=6000,
        help='training sets to render where --data is no reader (default: 6000)',
    )  # fmt: skip
    add_force(parser)
    parser.add_argument('--resume', action='store_true', help='continue from last.pt of the run')


def execute(args: argparse.Namespace) -> int:
    """Render what is missing, train, print the last held-out metrics."""
    from accelerate import PartialState
    from moe3d_engine.lab.synthetic import VALIDATION_SEED_START
    from moe3d_engine.lab.training.config import TrainConfig
    from moe3d_engine.lab.training.train import on_cpu
    from moe3d_engine.lab.training.train import train

    if not args.resume:
        for name in ('last.pt', 'weights.safetensors'):
            check_free(Path(args.run) / name, args.force)
    values = {field.name: getattr(args, field.name) for field in fields(TrainConfig)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    config = TrainConfig(**values)
    with PartialState(cpu=on_cpu()).main_process_first():
        walks = config.sweeps
        render_missing(config.data, range(args.sets), config.image_hw, config.workers, walks=walks)
        held_out = range(VALIDATION_SEED_START, VALIDATION_SEED_START + args.held_out_sets)
        render_missing(config.held_out, held_out, config.image_hw, config.workers, walks=walks)
    metrics = train(config, resume=args.resume)
    if metrics:
        print_summary({k: v if args.json else f'{v:.3f}' for k, v in metrics.items()}, args.json)
    return 0


def render_missing(
    data: str,
    seeds: range,
    image_hw: tuple[int, int],
    workers: int = 0,
    *,
    walks: bool = False,
) -> None:
    """
    Render the sets of `seeds` that a folder lacks; nothing where a reader is named.

    With `walks` the views of a set are keyframes of a robot's way; see `write_dataset`.
    """
    from moe3d_engine.lab.synthetic.dataset import write_dataset

    if ':' not in data:
        processes = workers or len(os.sched_getaffinity(0))
        write_dataset(data, seeds, image_hw=image_hw, processes=processes, walks=walks)
