"""`moe3d train`: train the network on rendered sets."""

from __future__ import annotations

import argparse
from dataclasses import fields
import json

NAME = 'train'
HELP = 'train the network on synthetic scenes (renders them first where they are missing)'

NUM_HELD_OUT = 64
_TUPLES = {'view_counts'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one option per field of TrainConfig, and what surrounds a run."""
    from moe3d_engine.training.config import TrainConfig

    for field in fields(TrainConfig):
        option = '--' + field.name.replace('_', '-')
        if field.name in _TUPLES:
            parser.add_argument(option, type=int, nargs='+', default=field.default)
        elif field.name in {'data', 'held_out', 'run'}:
            default = {'data': 'runs/data/train', 'held_out': 'runs/data/held_out'}
            parser.add_argument(option, default=default.get(field.name, 'runs/moe3d-small'))
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    parser.add_argument('--sets', type=int, default=2250, help='training sets to render')
    parser.add_argument('--resume', action='store_true', help='continue from last.pt of the run')


def execute(args: argparse.Namespace) -> int:
    """Render what is missing, train, print the last held-out metrics."""
    from moe3d_engine.synthetic import HELD_OUT_SEED_START
    from moe3d_engine.synthetic.dataset import write_dataset
    from moe3d_engine.training.config import TrainConfig
    from moe3d_engine.training.train import train

    values = {field.name: getattr(args, field.name) for field in fields(TrainConfig)}
    values = {k: tuple(v) if k in _TUPLES else v for k, v in values.items()}
    config = TrainConfig(**values)
    write_dataset(config.data, range(args.sets))
    held_out = range(HELD_OUT_SEED_START, HELD_OUT_SEED_START + NUM_HELD_OUT)
    write_dataset(config.held_out, held_out, sets_per_shard=32)
    metrics = train(config, resume=args.resume)
    print(json.dumps(metrics, indent=None if args.json else 2))
    return 0
