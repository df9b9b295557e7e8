"""Judge a bag offline: every frame, no ROS graph, the same figures twice."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
import json
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.cli.camera_topics import add_camera_topics
from moe3d_engine.errors import InputError
from moe3d_engine.lab.commands import evaluate_maps
from moe3d_engine.lab.reports.markdown import markdown_table
from moe3d_engine.window import KEYFRAME_INTERVAL_S
from moe3d_engine.window import MAX_VIEWS

if TYPE_CHECKING:
    from moe3d_engine.lab.reports.record import EvaluationRecord
    from moe3d_engine.lab.reports.rerun_log import RerunLog
    from moe3d_engine.lab.runs.bag_run import BagRunOptions
    from moe3d_engine.lab.runs.bag_run import FrameOutcome

OUT = Path('out/evaluation')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bag, its topics and the settings of the node."""
    group = parser.add_argument_group(
        'a bag', 'every frame offline, without ROS; writes a report (default: out/evaluation)'
    )
    group.add_argument('--bag', type=Path, help='rosbag2 folder, or an .mcap or .db3 file')
    add_camera_topics(group)
    group.add_argument(
        '--depth-topic', metavar='TOPIC', help='true depth (found where it is clear)'
    )
    group.add_argument(
        '--pose-topic', metavar='TOPIC',
        help="PoseStamped of the camera's optical frame in the world (default: pose beside the "
        'images)',
    )  # fmt: skip
    group.add_argument('--frames', type=int, metavar='N', help='the first N images only')
    group.add_argument('--backend', default='auto', help='runtime of the network (default: auto)')
    group.add_argument('--threads', type=int, metavar='N', help='CPU threads of the network')
    group.add_argument(
        '--max-views', type=int, default=MAX_VIEWS, metavar='N',
        help=f'views of a window, the newest included (default: {MAX_VIEWS})',
    )  # fmt: skip
    group.add_argument(
        '--keyframe-interval', type=float, default=KEYFRAME_INTERVAL_S, metavar='S',
        help=f'least seconds between its earlier views (default: {KEYFRAME_INTERVAL_S})',
    )  # fmt: skip
    group.add_argument('--min-agreement', type=float, metavar='P', help='as the parameter')
    group.add_argument('--min-confidence', type=float, metavar='P', help='as the parameter')
    group.add_argument(
        '--scale-factor', type=float, metavar='M',
        help='metres per unit of the network, as scale.source fixed',
    )  # fmt: skip
    group.add_argument(
        '--rerun', type=Path, metavar='FILE',
        help='also write images, depth, clouds and both paths by stamp for the viewer of Rerun '
        '(.rrd; pip install rerun-sdk)',
    )  # fmt: skip
    poses = parser.add_argument_group(
        'tracked poses', 'with --bag: judged wherever the bag has true poses'
    )
    poses.add_argument(
        '--poses', choices=('tracking', 'odometry', 'network'), default='tracking',
        help="where poses come from, as poses.source; the network's are not tracked ones "
        '(default: tracking)',
    )  # fmt: skip
    poses.add_argument(
        '--runs', type=int, default=1, metavar='N',
        help='further runs see noise of one grey level and other odometry (default: 1)',
    )  # fmt: skip
    poses.add_argument(
        '--simulated-odometry', metavar='ERRORS', nargs='?', const='',
        help='give odometry made from the true poses, such as noise=.01,rotation_deg=.1 (the '
        'default), bias=.03,slip=.05: shares of each step',
    )  # fmt: skip
    poses.add_argument(
        '--reference-depth', action='store_true', help="give the bag's depth as source of metres"
    )
    evaluate_maps.add_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Evaluate, write the report, print the table."""
    from moe3d_engine.cli.output import claim_report
    from moe3d_engine.lab.reports.report import write_report
    from moe3d_engine.lab.runs.bag_run import evaluate_bag
    from moe3d_engine.lab.runs.poses.tracking_run import write_tracks
    from moe3d_engine.types import Reconstruction
    from tqdm import tqdm

    options = read_options(args)
    folder = args.out or OUT
    maps = evaluate_maps.open_maps(args, options)
    with open_recording(args) as recording:
        claim_report(folder, args.force)
        with tqdm(unit='frame', total=args.frames, disable=None) as progress:

            def follow(outcome: FrameOutcome) -> None:
                if maps is not None:
                    maps.add(outcome)
                if recording is not None and isinstance(outcome.result, Reconstruction):
                    recording.add(outcome.result, outcome.true_pose)
                progress.update()

            run = evaluate_bag(options, follow)
    record, without_map = run.record, None
    if maps is not None:
        try:
            record = evaluate_maps.with_maps(record, maps)
        except InputError as error:  # hours of work are written first
            without_map = error
    track = run.tracks[0] if run.tracks else None
    report = write_report(folder, record, run.pictures, run.cloud, track)
    write_tracks(folder, run.tracks)
    if args.json:
        print(json.dumps(summarize(record) | {'report': str(report)}))
    else:
        print(f'{format_table(record)}\n\n  {report}')
    if not record.counts()['published']:
        raise InputError(
            f'No image of {args.bag} could be evaluated. '
            f'{" ".join(record.configuration["notes"][:1])}'
        )
    if without_map is not None:
        raise without_map
    return 0


@contextmanager
def open_recording(args: argparse.Namespace) -> Iterator[RerunLog | None]:
    """Yield what writes --rerun; the file is there when the run has ended without error."""
    if args.rerun is None:
        yield None
        return
    from moe3d_engine.cli.output import check_free
    from moe3d_engine.cli.output import written_whole
    from moe3d_engine.lab.reports.rerun_log import RerunLog

    check_free(args.rerun, args.force)
    with written_whole(args.rerun) as path, closing(RerunLog(path)) as recording:
        yield recording


def read_options(args: argparse.Namespace) -> BagRunOptions:
    """Return what the arguments ask for."""
    from moe3d_engine.errors import ConfigError
    from moe3d_engine.lab.runs.bag_run import BagRunOptions
    from moe3d_engine.lab.runs.poses.simulated_odometry import read_odometry_errors
    from moe3d_engine.lab.runs.poses.tracking_run import TrackingOptions
    from moe3d_engine.policy import DEPTH_MAX_M
    from moe3d_engine.policy import Thresholds
    from moe3d_engine.scale import ScaleConfig
    from moe3d_engine.session import SessionConfig
    from moe3d_engine.window import WindowConfig

    if len(args.weights) != 1:
        raise ConfigError(
            f'A bag is judged with one set of weights at a time; got {", ".join(args.weights)}. '
            'Evaluate each into a folder of its own and use --compare.'
        )
    if args.frames is not None and args.frames < 1:
        raise ConfigError(f'--frames is at least 1; got {args.frames}.')
    thresholds = {
        name: value
        for name in ('min_agreement', 'min_confidence')
        if (value := getattr(args, name)) is not None
    }
    factor, errors = args.scale_factor, args.simulated_odometry
    return BagRunOptions(
        bag=args.bag,
        weights=args.weights[0],
        backend=args.backend,
        threads=args.threads,
        image_topic=args.image_topic,
        camera_info_topic=args.camera_info_topic,
        depth_topic=args.depth_topic,
        pose_topic=args.pose_topic,
        frames=args.frames,
        all_metrics=args.all_metrics,
        tracking=TrackingOptions(
            args.runs,
            None if errors is None else read_odometry_errors(errors),
            args.reference_depth,
        ),
        session=SessionConfig(
            WindowConfig(args.max_views, args.keyframe_interval),
            Thresholds(depth_max_m=DEPTH_MAX_M, **thresholds),
            ScaleConfig() if factor is None else ScaleConfig('fixed', factor),
            args.poses,
        ),
    )


def summarize(record: EvaluationRecord) -> dict[str, object]:
    """Return what `--json` prints; figures that do not exist are null."""
    from moe3d_engine.lab.reports.record import without_nan

    summary: dict[str, object] = without_nan(
        {
            'counts': record.counts(),
            'summary': record.summary(),
            'sequence': record.sequence,
            'tracking': {name: s._asdict() for name, s in record.tracking_spread().items()},
            'maps': record.maps,
        }
    )
    return summary


def format_table(record: EvaluationRecord) -> str:
    """Return the figures by method and of the sequence, and what became of the frames."""
    summary = record.summary()
    names = list(dict.fromkeys(name for figures in summary.values() for name in figures))
    rows = [
        [method, *(f'{figures[name]:.3f}' if name in figures else '' for name in names)]
        for method, figures in summary.items()
    ]
    lines = [markdown_table(['', *names], rows)] if rows else []
    if record.sequence:
        lines.append(', '.join(f'{name} {value:.4g}' for name, value in record.sequence.items()))
    if record.tracking:
        lines.append(f'tracked poses: {", ".join(_tracked(record))}')
    lines += [evaluate_maps.format_maps(mapper, ways) for mapper, ways in record.maps.items()]
    return '\n'.join([*lines, describe_counts(record)])


def _tracked(record: EvaluationRecord) -> Iterator[str]:
    """Yield each figure of the tracked poses; of several runs with the least and the most."""
    for name, spread in record.tracking_spread().items():
        several = len(record.tracking) > 1
        limits = f' ({spread.least:.4g} to {spread.most:.4g})' if several else ''
        yield f'{name} {spread.mean:.4g}{limits}'


def describe_counts(record: EvaluationRecord) -> str:
    """Return what became of the frames."""
    counts = record.counts()
    dropped = ', '.join(f'{count} {reason}' for reason, count in counts['dropped'].items())
    return (
        f'{counts["in"]} frames in, {counts["published"]} published, dropped: {dropped or "none"}'
    )
