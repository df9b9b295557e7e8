"""`moe3d evaluate --view-poses` and `--rig`: poses by matches, and metres of rigs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
import json

from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.reports.facts import heading_of
from moe3d_engine.lab.reports.markdown import markdown_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what asks for poses or rigs; data, sets and views are those of posed views."""
    parser.add_argument(
        '--view-poses', action='store_true',
        help='judge the poses of posed views: those of `moe3d reconstruct`, and the network\'s; '
        'rendered sets are made at --image-hw',
    )  # fmt: skip
    parser.add_argument(
        '--rig', choices=('stereo', 'three'), nargs='+',
        help='judge rendered rigs that stand still, --sets scenes each: two cameras 12 cm apart, '
        'or three, the outer ones 15 cm beside and turned out by 20 degrees',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Place the views of each set and print a table per network."""
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.lab.commands.train import render_missing
    from moe3d_engine.lab.datasets import open_dataset
    from moe3d_engine.lab.reports.record import without_nan
    from moe3d_engine.lab.runs.poses.pose_run import evaluate_poses
    from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
    from moe3d_engine.network import Engine
    from moe3d_engine.session import Session
    from tqdm import tqdm

    image_hw = tuple(args.image_hw)
    seeds = range(HELD_OUT_SEED_START, HELD_OUT_SEED_START + args.sets)
    render_missing(args.data, seeds, image_hw)
    sets = open_dataset(args.data, image_hw, args.views)
    count = min(args.sets, len(sets))
    figures = {}
    for weights in args.weights:
        shown = tqdm((sets[i] for i in range(count)), total=count, desc=weights, leave=False)
        session = Session(Engine(open_backend('auto', weights)))
        try:
            figures[weights] = evaluate_poses(session, shown, args.views)
        finally:
            session.engine.close()
    if args.json:
        settings = {'data': args.data, 'sets': count, 'views': args.views}
        print(json.dumps(without_nan({'settings': settings, 'figures': figures})))
        return 0
    for weights, methods in figures.items():
        print(f'### {weights}\n' + _table(methods))
    return 0


def execute_rig(args: argparse.Namespace) -> int:
    """Render each rig, let it stand and print a row per kind."""
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.lab.runs.poses.rig_run import judge_rig
    from moe3d_engine.lab.runs.poses.rig_run import summarize
    from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
    from moe3d_engine.lab.synthetic.rigs import render_rig
    from moe3d_engine.lab.synthetic.rigs import rig_from_cameras
    from moe3d_engine.network import Engine
    from moe3d_engine.rig.extrinsics import Rig
    from tqdm import tqdm

    if len(args.weights) > 1:
        raise ConfigError(
            f'--rig judges one network; got {", ".join(args.weights)}. Run it once for each.'
        )
    figures = {}
    engine = Engine(open_backend('auto', args.weights[0]))
    try:
        for kind in args.rig:
            rig = Rig({f'camera{k}': place for k, place in enumerate(rig_from_cameras(kind))})
            # Every scene is shared by two seeds.
            seeds = range(HELD_OUT_SEED_START, HELD_OUT_SEED_START + 2 * args.sets, 2)
            shown = tqdm(seeds, desc=kind, leave=False)
            figures[kind] = summarize(
                [judge_rig(engine, render_rig(kind, seed), rig) for seed in shown]
            )
    finally:
        engine.close()
    if args.json:
        print(json.dumps({'settings': {'sets': args.sets}, 'figures': figures}))
        return 0
    print(_table(figures))
    return 0


def _table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return a row of figures for each name."""
    columns = list(next(iter(figures.values())))
    rows = [[name, *(f'{row[key]:.3f}' for key in columns)] for name, row in figures.items()]
    return markdown_table(['', *map(heading_of, columns)], rows)
