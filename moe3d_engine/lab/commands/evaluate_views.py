"""Judge networks, and ways to take their flying points away, on posed views with known depth."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from collections.abc import Sequence
import json
from pathlib import Path
from typing import NamedTuple
from typing import TYPE_CHECKING

from moe3d_engine.assets.card import sha256_of
from moe3d_engine.cli.output import claim_report
from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.reports.facts import heading_of
from moe3d_engine.lab.reports.markdown import markdown_table

if TYPE_CHECKING:
    from moe3d_engine.lab.datasets import ViewSet
    from moe3d_engine.lab.runs.held_out import Predict
    from moe3d_engine.lab.runs.views_run import ViewsRun

# What the table shows; the report has all.
COLUMNS = (
    'flying_pred', 'flying_gt', 'collapsed', 'boundary_f1', 'abs_rel', 'abs_rel_median', 'delta1',
    'ece', 'retained', 'retained_boundary', 'edge_chamfer_m', 'near_surface', 'off_surface',
)  # fmt: skip
MORE_COLUMNS = (
    'boundary_f1_moge', 'dbe_accuracy_px', 'dbe_completeness_px', 'free_space_violation',
)  # fmt: skip


class Network(NamedTuple):
    """A network that is judged: what runs it, the tolerance of its confidence, its hashes."""

    predict: Predict
    confidence_tau: float
    backend: str
    sha256: dict[str, str]


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
    group.add_argument(
        '--cameras', choices=['unknown', 'true', 'perturbed'], default='unknown',
        help='what a network that compares views is told of their cameras; perturbed: off by .2 '
        'degrees and 3 %% of the distance (default: unknown)',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Judge each network with each removal, write its report, print a table per network."""
    from moe3d_engine.lab.commands.train import render_missing
    from moe3d_engine.lab.datasets import open_dataset
    from moe3d_engine.lab.reports.record import without_nan
    from moe3d_engine.lab.reports.report import write_report
    from moe3d_engine.lab.runs.views_run import evaluate_views
    from moe3d_engine.lab.runs.views_run import ViewsOptions
    from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
    from tqdm import tqdm

    folders = [] if args.out is None else report_folders(args.out, args.weights)
    image_hw = tuple(args.image_hw)
    networks = {weights: open_network(weights, args.decode) for weights in args.weights}
    for folder in folders:
        claim_report(folder, args.force)
    seeds = range(HELD_OUT_SEED_START, HELD_OUT_SEED_START + args.sets)
    render_missing(args.data, seeds, image_hw)
    sets = open_dataset(args.data, image_hw, args.views)
    numbers = range(min(args.sets, len(sets)))
    runs: dict[str, ViewsRun] = {}
    for weights, network in networks.items():
        shown = tqdm((sets[i] for i in numbers), total=len(numbers), desc=weights, leave=False)
        options = ViewsOptions(
            network.confidence_tau, args.retained, args.views, args.all_metrics, args.cameras
        )
        configuration = describe(weights, network, args)
        runs[weights] = evaluate_views(network.predict, shown, options, configuration)
    figures = {weights: run.figures for weights, run in runs.items()}
    reports: dict[str, str] = {}
    for folder, (weights, run) in zip(folders, runs.items(), strict=False):
        reports[weights] = str(write_report(folder, run.record, run.pictures, run.cloud))
        if weights.endswith('.safetensors'):
            draw_deciding_experts(folder, Path(weights), sets[0])
    if args.json:
        settings = {'data': args.data, 'sets': len(numbers), 'views': args.views}
        settings |= {'retained': args.retained, 'decode': args.decode, 'cameras': args.cameras}
        report = {'settings': settings, 'figures': figures, 'reports': reports}
        print(json.dumps(without_nan(report)))
    else:
        print('\n\n'.join([format_tables(figures), *(f'  {path}' for path in reports.values())]))
    return 0


def describe(weights: str, network: Network, args: argparse.Namespace) -> dict[str, object]:
    """Return what the record says of a network and its data."""
    return {
        'data': Path(args.data.rpartition(':')[2]).name,
        'weights': short_name(weights),
        'weights_sha256': network.sha256,
        'backend': network.backend,
        'decode': args.decode,
    }


def open_network(weights: str, decode: str) -> Network:
    """Open a checkpoint or exported weights."""
    if weights.endswith('.safetensors'):
        from moe3d_engine.lab.training.predict import predict_with_network
        from moe3d_engine.model.checkpoint import load_weights

        network = load_weights(Path(weights)).eval()
        predict = predict_with_network(network, decode)
        hashes = {'weights': sha256_of(Path(weights))}
        return Network(predict, network.config.confidence_tau, 'torch', hashes)
    from moe3d_engine.assets import find_weights
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.lab.runs.held_out import predict_with

    if decode != 'agree':
        raise ConfigError(
            f'{weights} is exported with decode agree. Judge its checkpoint for {decode}.'
        )
    backend = open_backend('auto', weights)
    hashes = {role: file.sha256 for role, file in find_weights(weights).files.items()}
    return Network(predict_with(backend), backend.spec.confidence_tau, backend.name, hashes)


def draw_deciding_experts(folder: Path, checkpoint: Path, example: ViewSet) -> None:
    """Draw which expert of a checkpoint decides each pixel."""
    from moe3d_engine.geometry.fit import to_network
    from moe3d_engine.lab.reports.pictures import draw_experts
    from moe3d_engine.lab.training.predict import run_network
    from moe3d_engine.model.checkpoint import load_weights

    outputs = run_network(load_weights(checkpoint).eval(), to_network(example.rgb))
    assert outputs.gate_weights is not None
    maps = (outputs.depth, outputs.gate_weights, outputs.boundary_confidence)
    draw_experts(folder / 'experts.png', example.rgb, *(x.float().numpy() for x in maps))


def report_folders(out: Path, weights: Sequence[str]) -> list[Path]:
    """Return where each network's report goes: `out` itself for one, a folder in it for each."""
    if len(weights) == 1:
        return [out]
    names = [short_name(name) for name in weights]
    if len(set(names)) < len(names):
        raise ConfigError(
            f'--out has a folder for each network, but some have one name: {", ".join(names)}. '
            'Judge them one by one.'
        )
    return [out / name for name in names]


def short_name(weights: str) -> str:
    """Return the run folder's name of a checkpoint, else the weights' own."""
    path = Path(weights)
    return path.parent.name if path.suffix == '.safetensors' else path.stem


def format_tables(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return one table in Markdown per network, one row per method."""
    found = {name for methods in figures.values() for row in methods.values() for name in row}
    columns = [*COLUMNS, *(name for name in MORE_COLUMNS if name in found)]
    tables = []
    for weights, methods in figures.items():
        rows = [
            [method, *(f'{row[key]:.3f}' if key in row else '' for key in columns)]
            for method, row in methods.items()
        ]
        tables.append(f'### {weights}\n' + markdown_table(['', *map(heading_of, columns)], rows))
    return '\n\n'.join(tables)
