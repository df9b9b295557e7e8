"""`moe3d export`: a training checkpoint to weights that every backend opens."""

from __future__ import annotations

import argparse
from dataclasses import fields
import json
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from moe3d_engine.assets.card import check_name
from moe3d_engine.cli.output import add_force
from moe3d_engine.cli.output import check_free
from moe3d_engine.cli.output import print_summary
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError

if TYPE_CHECKING:
    from moe3d_engine.model import Moe3dNet
    from moe3d_engine.types import Float32Array

NAME = 'export'
HELP = 'turn a checkpoint into 16-bit weights, ONNX graphs and their card'
MAX_CALIBRATION = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the checkpoint, the output and what only a person knows of the weights."""
    parser.add_argument(
        'checkpoint', nargs='?', type=Path, metavar='CHECKPOINT',
        help='weights.safetensors of a training run',
    )  # fmt: skip
    parser.add_argument(
        '--out', required=True, type=Path, metavar='FOLDER',
        help='is made; weights of another name in it stay',
    )  # fmt: skip
    add_force(parser)
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
        '--precision', nargs='+', default=['fp32'], metavar='P',
        help='of the graphs: fp32, which is always written, fp16, bf16, int8, fp8 (default: fp32)',
    )  # fmt: skip
    parser.add_argument(
        '--calibration', type=Path, metavar='FOLDER',
        help=f'images like those of the camera, for int8 and fp8; the first {MAX_CALIBRATION} are '
        'used',
    )  # fmt: skip
    parser.add_argument(
        '--relative', action='store_true', help='the depth is not in metres, as with VGGT weights'
    )
    parser.add_argument('--data', default='', help='a sentence on the training data, for the card')
    parser.add_argument('--licence', default='Apache-2.0', help='SPDX identifier of the licence')
    parser.add_argument(
        '--random-weights', metavar='PRESET',
        help='instead of a checkpoint: random weights of a preset, such as vggt-1b, to try an '
        'export or a build of its size',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Export, compare every precision with torch, print the errors."""
    if (args.checkpoint is None) == (args.random_weights is None):
        raise ConfigError('Give either a CHECKPOINT or --random-weights PRESET.')
    check_weights_free(args.out, args.name, args.force)
    training: dict[str, Any] = {'data': args.data}
    if args.checkpoint is not None:
        training = read_training(args.checkpoint.parent) | training
    input_hw = tuple(args.input_hw)
    calibration = None
    if args.calibration is not None:
        calibration = read_calibration(args.calibration, input_hw)

    from moe3d_engine.graphs.export import export_weights
    from moe3d_engine.graphs.parity import RELATIVE
    from moe3d_engine.lab.parity_scene import parity_window

    images, cameras = parity_window(args.max_views, (input_hw[0], input_hw[1]))
    card, parity = export_weights(
        open_network(args.checkpoint, args.random_weights),
        args.out,
        name=args.name,
        input_hw=input_hw,
        max_views=args.max_views,
        metric=not args.relative,
        training=training,
        licence=args.licence,
        precisions=args.precision,
        images=images,
        cameras=cameras,
        calibration=calibration,
    )
    summary: dict[str, object] = {'card': str(card.folder / f'{card.name}.json')}
    total_mb = 0.0
    for role, file in card.files.items():
        size_mb = (card.folder / file.name).stat().st_size / 1e6
        summary[role] = f'{file.name}, {size_mb:.1f} MB'
        total_mb += size_mb
    summary['all files'] = f'{total_mb:.1f} MB'
    for precision, errors in parity.items():
        for name, error in errors.items():
            kind = 'relative' if name in RELATIVE else 'absolute'
            summary[f'{precision} parity of {name}'] = (
                f'{kind} error: mean {error.mean:.1e}, max {error.max:.1e}'
            )
    print_summary(summary, args.json)
    return 0


def check_weights_free(folder: Path, name: str, force: bool) -> None:
    """
    Refuse to write over weights of this name.

    Raises
    ------
    ConfigError
        If a file of theirs, or a name that is none, is there.
    """
    check_name(name)
    for path in sorted(folder.glob(f'{name}.*')):
        check_free(path, force)


def open_network(checkpoint: Path | None, random_preset: str | None) -> Moe3dNet:
    """Return the network of a checkpoint, or a random one of a preset."""
    from moe3d_engine.graphs.export import random_network
    from moe3d_engine.model.checkpoint import load_weights

    return random_network(random_preset or '') if checkpoint is None else load_weights(checkpoint)


def read_calibration(folder: Path, input_hw: tuple[int, ...]) -> Float32Array:
    """
    Return images of a folder as the network sees them, (N, 3, H, W) in [0, 1].

    Raises
    ------
    InputError
        If there is no such folder, or it holds no images.
    """
    from moe3d_engine.geometry.fit import fit_view
    from moe3d_engine.geometry.fit import to_network
    from moe3d_engine.intake.files import list_images
    from moe3d_engine.intake.files import read_image_view
    import numpy as np

    if not folder.is_dir():
        raise InputError(f'{folder} is no folder; --calibration takes a folder of images.')
    hw = (input_hw[0], input_hw[1])
    paths = list_images(folder)[:MAX_CALIBRATION]
    return to_network(np.stack([fit_view(read_image_view(path), hw).image for path in paths]))


def read_training(run: Path) -> dict[str, Any]:
    """
    Return command, seed and held-out figures of a run folder; nothing where it is none.

    Raises
    ------
    CheckpointError
        If a file of the run cannot be read.
    """
    from moe3d_engine.lab.training.config import TrainConfig

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
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
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
