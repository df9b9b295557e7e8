"""Judge networks, and ways to take their flying points away, on posed views with known depth."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.errors import ConfigError
from moe3d_engine.markdown import markdown_table

if TYPE_CHECKING:
    from moe3d_engine.datasets import ViewSet
    from moe3d_engine.evaluation.held_out import Judge
    from moe3d_engine.types import Float32Array
    from moe3d_engine.types import RawOutputs

COLUMNS = {
    'flying_pred': 'flying (own levels)',
    'flying_gt': 'flying (true levels)',
    'collapsed': 'no step',
    'boundary_f1': 'SI-F1',
    'abs_rel': 'AbsRel m',
    'abs_rel_median': 'AbsRel',
    'delta_1': 'd<1.25',
    'ece': 'ECE',
    'retained': 'kept',
    'retained_boundary': 'kept at steps',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add on what weights are judged, and how."""
    group = parser.add_argument_group('posed views with known depth')
    group.add_argument(
        '--data', default='runs/data/test',
        help='folder of rendered sets (made where it is missing), or a reader and a folder: '
        'hypersim:, tartanair:, vkitti2:, rgbd: (default: runs/data/test)',
    )  # fmt: skip
    group.add_argument('--sets', type=int, default=64, help='sets to judge (default: 64)')
    group.add_argument('--views', type=int, default=3, help='views per window (default: 3)')
    group.add_argument(
        '--image-hw', type=int, nargs=2, default=[144, 192], metavar=('H', 'W'),
        help='size at which a reader returns images (default: 144 192)',
    )  # fmt: skip
    group.add_argument(
        '--retained', type=float, default=0.95,
        help='share of the pixels that every rejection keeps (default: 0.95)',
    )  # fmt: skip
    group.add_argument(
        '--decode', choices=['agree', 'dominant', 'soft'], default='agree',
        help='of checkpoints (default: agree, which exported weights have built in)',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Judge each network with each rejection and print a table per network."""
    from moe3d_engine.cli.train import render_missing
    from moe3d_engine.datasets import open_dataset
    from moe3d_engine.evaluation.held_out import compare_rejection
    from moe3d_engine.synthetic import HELD_OUT_SEED_START
    from tqdm import tqdm

    image_hw = tuple(args.image_hw)
    seeds = range(HELD_OUT_SEED_START, HELD_OUT_SEED_START + args.sets)
    render_missing(args.data, seeds, image_hw)
    sets = open_dataset(args.data, image_hw, args.views)
    indices = range(min(args.sets, len(sets)))
    results: dict[str, dict[str, Judge]] = {}
    for weights in args.weights:
        predict, tau = open_network(weights, args.decode)
        shown = tqdm((sets[i] for i in indices), total=len(indices), desc=weights, leave=False)
        results[weights] = compare_rejection(
            predict, shown, confidence_tau=tau, retained=args.retained, num_views=args.views
        )
    figures = {w: {m: j.figures() for m, j in part.items()} for w, part in results.items()}
    settings = {
        'data': args.data, 'sets': len(indices), 'views': args.views, 'retained': args.retained,
        'decode': args.decode,
    }  # fmt: skip
    report: dict[str, object] = {'settings': settings, 'figures': figures}
    if args.out is not None:
        judges = {weights: part['raw'] for weights, part in results.items()}
        write_report(args.out, report, judges, sets[0])
    print(json.dumps(report) if args.json else format_tables(figures))
    return 0


def open_network(weights: str, decode: str) -> tuple[Callable[[Float32Array], RawOutputs], float]:
    """Return a function that reconstructs a window, and the tolerance of its confidence."""
    if weights.endswith('.safetensors'):
        from moe3d_engine.model.checkpoint import load_weights
        from moe3d_engine.training.predict import predict_with_network

        network = load_weights(Path(weights)).eval()
        return predict_with_network(network, decode), network.config.confidence_tau
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.evaluation.held_out import predict_with

    if decode != 'agree':
        raise ConfigError(
            f'{weights} is exported with decode agree. Judge its checkpoint for {decode}.'
        )
    backend = open_backend('auto', weights)
    return predict_with(backend), backend.spec.confidence_tau


def write_report(
    folder: Path, report: dict[str, object], judges: dict[str, Judge], example: ViewSet
) -> None:
    """Write figures, reliability diagrams and, of checkpoints, who decides each pixel."""
    from moe3d_engine.evaluation.pictures import draw_experts
    from moe3d_engine.evaluation.pictures import draw_reliability
    from moe3d_engine.preprocess import to_network

    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'evaluation.json').write_text(json.dumps(report, indent=2) + '\n')
    diagrams = {short_name(weights): judge.reliability() for weights, judge in judges.items()}
    draw_reliability(folder / 'reliability.png', diagrams)
    for weights in judges:
        if weights.endswith('.safetensors'):
            from moe3d_engine.model.checkpoint import load_weights
            from moe3d_engine.training.predict import run_network

            outputs = run_network(load_weights(Path(weights)).eval(), to_network(example.rgb))
            assert outputs.gate_weights is not None
            maps = (outputs.depth, outputs.gate_weights, outputs.boundary_confidence)
            draw_experts(
                folder / f'experts-{short_name(weights)}.png',
                example.rgb,
                *(x.float().numpy() for x in maps),
            )


def short_name(weights: str) -> str:
    """Return the run folder's name of a checkpoint, else the weights' own."""
    path = Path(weights)
    return path.parent.name if path.suffix == '.safetensors' else path.stem


def format_tables(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return one table in Markdown per network, one row per method."""
    tables = []
    for weights, methods in figures.items():
        rows = [
            [method, *(f'{row[key]:.3f}' if key in row else '' for key in COLUMNS)]
            for method, row in methods.items()
        ]
        tables.append(f'### {weights}\n' + markdown_table(['', *COLUMNS.values()], rows))
    return '\n\n'.join(tables)
