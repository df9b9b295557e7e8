"""`moe3d evaluate`: the engine's ways to judge, and bags through the running node."""

from __future__ import annotations

import argparse
import json

from moe3d_engine.lab.commands import evaluate
from moe3d_engine.lab.commands.evaluate_bag import describe_counts
from moe3d_engine.lab.commands.evaluate_bag import OUT

NAME = evaluate.NAME
HELP = evaluate.HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the engine's arguments, and how a bag is played into the node."""
    evaluate.add_arguments(parser)
    group = parser.add_argument_group(
        'a bag live', 'with --bag: through the running node over the middleware'
    )
    group.add_argument(
        '--live', action='store_true', help='latency, throughput, drops, CPU and memory'
    )
    group.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast')
    group.add_argument('--repeats', type=int, default=3, metavar='N', help='runs (default: 3)')
    group.add_argument(
        '--saturation', action='store_true',
        help='also search for the highest rate at which nothing is dropped (up to 8 short runs)',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Judge a bag live where that is asked for; all else is the engine's."""
    if not args.live:
        return evaluate.execute(args)
    from moe3d_engine.errors import ConfigError

    if args.bag is None:
        raise ConfigError('--live plays a bag into the node: name one with --bag.')
    if args.all_metrics:
        raise ConfigError('--all-metrics judges depth; --live measures time. Leave one out.')
    told = args.simulated_odometry is not None or args.reference_depth
    if told or args.runs != 1 or args.poses != 'tracking':
        raise ConfigError(
            '--poses, --runs, --simulated-odometry and --reference-depth judge tracked poses; '
            '--live measures time, --repeats times. Leave --live out.'
        )
    return execute_live(args)


def execute_live(args: argparse.Namespace) -> int:
    """Play the bag into the node, write the report, print the figures."""
    from moe3d_engine.cli.output import claim_report
    from moe3d_engine.lab.commands.evaluate_bag import read_options
    from moe3d_engine.lab.reports.report import write_report
    from moe3d_ros.tools.live_evaluation import evaluate_live
    from moe3d_ros.tools.live_evaluation import LiveOptions
    from tqdm import tqdm

    args.weights = args.weights or ['moe3d-small']
    offline = read_options(args)
    session = offline.session
    folder = args.out or OUT
    claim_report(folder, args.force)
    options = LiveOptions(
        bag=args.bag,
        out=folder,
        weights=offline.weights,
        image_topic=args.image_topic,
        camera_info_topic=args.camera_info_topic,
        rate=args.rate,
        repeats=args.repeats,
        frames=args.frames,
        saturation=args.saturation,
        parameters={
            'engine.backend': offline.backend,
            'engine.threads': offline.threads or 0,
            'window.max_views': session.window.max_views,
            'window.keyframe_interval_s': session.window.keyframe_interval_s,
            'rejection.min_agreement': session.thresholds.min_agreement,
            'rejection.min_confidence': session.thresholds.min_confidence,
            'scale.source': session.scale.source,
            'scale.factor': session.scale.factor,
        },
    )
    with tqdm(unit='run', total=None if args.saturation else args.repeats, disable=None) as shown:
        record = evaluate_live(options, shown.update)
    report = write_report(folder, record, [], None)
    timings = {k: v for k, v in record.timings.items() if k not in ('latencies_ms', 'usage')}
    if args.json:
        print(json.dumps({'counts': record.counts(), **timings, 'report': str(report)}))
    else:
        print(f'{format_timings(timings)}\n{describe_counts(record)}\n\n  {report}')
    return 0


def format_timings(timings: dict[str, object]) -> str:
    """Return the figures of all runs, and a line for each run."""
    from moe3d_engine.lab.reports.html import cell
    from moe3d_engine.lab.reports.html import flatten

    repeats = timings['repeats']
    assert isinstance(repeats, dict)
    others = {k: v for k, v in timings.items() if k not in ('repeats', 'machine')}
    lines = [f'{name:<22}  {cell(value)}' for name, value in flatten(others).items()]
    for number, figures in repeats.items():
        parts = ', '.join(f'{name} {cell(value)}' for name, value in flatten(figures).items())
        lines.append(f'run {number}: {parts}')
    return '\n'.join(lines)
