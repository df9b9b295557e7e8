"""Judge a bag offline: every frame, no ROS graph, the same figures twice."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moe3d_engine.evaluation.record import EvaluationRecord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bag and its topics."""
    group = parser.add_argument_group('a bag')
    group.add_argument('--bag', type=Path, help='rosbag2 folder, or an .mcap or .db3 file')
    group.add_argument('--image-topic', metavar='TOPIC', help='of a bag with several cameras')
    group.add_argument('--camera-info-topic', metavar='TOPIC', help='where it is not beside it')
    group.add_argument(
        '--depth-topic', metavar='TOPIC', help='true depth (found where it is clear)'
    )
    group.add_argument('--frames', type=int, metavar='N', help='the first N images only')


def execute(args: argparse.Namespace) -> int:
    """Evaluate, write the report, print the table."""
    from moe3d_engine.errors import ConfigError
    from moe3d_engine.evaluation.bag_run import BagRunOptions
    from moe3d_engine.evaluation.bag_run import evaluate_bag
    from moe3d_engine.evaluation.report import write_report
    from tqdm import tqdm

    if len(args.weights) != 1:
        raise ConfigError(
            f'A bag is judged with one set of weights at a time; got {", ".join(args.weights)}. '
            'Evaluate each into a folder of its own and use --compare.'
        )
    options = BagRunOptions(
        bag=args.bag,
        weights=args.weights[0],
        image_topic=args.image_topic,
        camera_info_topic=args.camera_info_topic,
        depth_topic=args.depth_topic,
        frames=args.frames,
    )
    with tqdm(unit='frame', disable=None) as progress:
        run = evaluate_bag(options, progress.update)
    report = write_report(args.out or Path('out/evaluation'), run.record, run.pictures, run.cloud)
    if args.json:
        print(json.dumps({'report': str(report), 'counts': run.record.counts()}))
    else:
        print(f'{format_table(run.record)}\n\n  {report}')
    return 0


def format_table(record: EvaluationRecord) -> str:
    """Return the figures by method as a table in Markdown, and what became of the frames."""
    summary = record.summary()
    names = list(dict.fromkeys(name for figures in summary.values() for name in figures))
    lines = ['| | ' + ' | '.join(names) + ' |', '|---' * (len(names) + 1) + '|']
    for method, figures in summary.items():
        cells = [f'{figures[name]:.3f}' if name in figures else '' for name in names]
        lines.append(f'| {method} | ' + ' | '.join(cells) + ' |')
    counts = record.counts()
    dropped = ', '.join(f'{count} {reason}' for reason, count in counts['dropped'].items())
    published = f'{counts["in"]} frames in, {counts["published"]} published'
    return '\n'.join([*lines, f'{published}, dropped: {dropped or "none"}'])
