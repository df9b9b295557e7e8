"""`moe3d export`: a training checkpoint to weights that every backend opens."""

from __future__ import annotations

import argparse
from dataclasses import fields
import json
from pathlib import Path
from typing import Any

from moe3d_engine.cli.output import print_summary
from moe3d_engine.errors import CheckpointError

NAME = 'export'
HELP = 'turn a checkpoint into 16-bit weights, two ONNX graphs and their card'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the checkpoint, the output and what only a person knows of the weights."""
    parser.add_argument(
        'checkpoint', type=Path, metavar='CHECKPOINT', help='weights.safetensors of a training run'
    )
    parser.add_argument('--out', required=True, type=Path, metavar='FOLDER', help='is made')
    parser.add_argument('--name', default='moe3d-small', help='of the weights and their files')
    parser.add_argument(
        '--input-hw', type=int, nargs=2, default=[144, 192], metavar=('H', 'W'),
        help='size of the images that the network sees, in pixels (default: 144 192, the size of '
        'the training images)',
    )  # fmt: skip
    parser.add_argument(
        '--max-views', type=int, default=4, help='most views of one window (default: 4)'
    )
    parser.add_argument(
        '--relative', action='store_true', help='the depth is not in metres, as with VGGT weights'
    )
    parser.add_argument('--data', default='', help='a sentence on the training data, for the card')
    parser.add_argument('--licence', default='Apache-2.0', help='SPDX identifier of the licence')


def execute(args: argparse.Namespace) -> int:
    """Export, compare OpenVINO with torch, print the errors."""
    training = read_training(args.checkpoint.parent) | {'data': args.data}

    from moe3d_engine.build.export import export_weights
    from moe3d_engine.build.parity import RELATIVE
    from moe3d_engine.model.checkpoint import load_weights

    card, parity = export_weights(
        load_weights(args.checkpoint),
        args.out,
        name=args.name,
        input_hw=tuple(args.input_hw),
        max_views=args.max_views,
        metric=not args.relative,
        training=training,
        licence=args.licence,
    )
    summary: dict[str, object] = {'card': str(card.folder / f'{card.name}.json')}
    for role, file in card.files.items():
        size_mb = (card.folder / file.name).stat().st_size / 1e6
        summary[role] = f'{file.name}, {size_mb:.1f} MB'
    for name, error in parity.items():
        kind = 'relative' if name in RELATIVE else 'absolute'
        summary[f'parity of {name}'] = f'{kind} error: mean {error.mean:.1e}, max {error.max:.1e}'
    print_summary(summary, args.json)
    return 0


def read_training(run: Path) -> dict[str, Any]:
    """
    Return command, seed and held-out figures of a run folder; nothing where it is none.

    Raises
    ------
    CheckpointError
        If a file of the run cannot be read.
    """
    from moe3d_engine.training.config import TrainConfig

    if not (run / 'config.json').is_file():
        return {}
    try:
        values = json.loads((run / 'config.json').read_text())
        lines = (run / 'metrics.jsonl').read_text().splitlines()
        evaluations = [json.loads(line) for line in lines]
        last = evaluations[-1]
        changed = [
            (field.name, values[field.name])
            for field in fields(TrainConfig)
            if field.name not in {'data', 'held_out', 'run'}
            and values[field.name] != json.loads(json.dumps(field.default))
        ]
        seed = values['seed']
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f'Cannot read how {run} was trained ({error!r}): it should hold config.json and '
            'metrics.jsonl of `moe3d train`. Move the checkpoint elsewhere to export without.'
        ) from error
    return {'command': train_command(changed), 'seed': seed, 'figures': last}


def train_command(changed: list[tuple[str, Any]]) -> str:
    """Return the command line that sets these fields of TrainConfig."""
    words = ['moe3d train']
    for name, value in changed:
        option = name.replace('_', '-')
        if isinstance(value, bool):
            words.append(f'--{option}' if value else f'--no-{option}')
            continue
        values = value if isinstance(value, list) else [value]
        words += [f'--{option}', *map(str, values)]
    return ' '.join(words)
