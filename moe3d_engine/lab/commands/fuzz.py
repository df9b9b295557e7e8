"""`moe3d fuzz`: what comes from outside, spoilt in every way, against what must always hold."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from typing import TYPE_CHECKING

from moe3d_engine.cli.output import print_summary
from moe3d_engine.errors import ConfigError

if TYPE_CHECKING:
    from moe3d_engine.lab.fuzz.run import Report

NAME = 'fuzz'
HELP = 'feed spoilt messages, pictures, camera_infos and bags; only declared refusals may come'
KINDS = ('messages', 'compressed', 'camera_info', 'bags')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how long, with which seed, and what."""
    parser.add_argument(
        '--seconds', type=float, default=20.0, metavar='N', help='how long (default: 20)'
    )
    parser.add_argument('--seed', type=int, default=0, metavar='S', help='of all cases')
    parser.add_argument('--only', choices=KINDS, help='one kind of input (default: all in turn)')
    parser.add_argument('--case', type=int, metavar='N', help='one case of --only again')


def execute(args: argparse.Namespace) -> int:
    """Run, print what became of the inputs; 1 if an invariant broke."""
    if args.case is not None and args.only is None:
        raise ConfigError('--case is the number of a case of one kind; name the kind with --only.')
    from moe3d_engine.lab.fuzz.run import fuzz
    from moe3d_engine.lab.fuzz.run import replay

    if args.case is not None:
        report = replay(args.only, args.seed, args.case)
    else:
        report = fuzz((args.only,) if args.only else KINDS, args.seed, args.seconds)
    print_summary(_summary(report), args.json)
    for failure in report.failures:
        again = '' if failure.case < 0 else report.how_to_repeat(failure.kind, failure.case)
        print(f'{failure.kind}: {failure.text}  {again}', file=sys.stderr)
    return 1 if report.failures else 0


def _summary(report: Report) -> dict[str, Any]:
    """Return the figures of a run."""
    total = report.total
    summary: dict[str, Any] = {
        'seed': report.seed,
        'seconds': round(report.seconds, 1),
        'cases': dict(report.cases),
        'inputs': {kind: tally.inputs for kind, tally in report.tallies.items()},
        'frames published': total.published,
        'frames dropped': dict(total.dropped),
        'files read': total.read,
        'files refused': total.refused,
        'worst input s': round(total.worst_s, 3),
    }
    if report.slowest is not None:
        summary['slowest'] = report.how_to_repeat(*report.slowest)
    if report.before is not None and report.after is not None:
        summary['memory MB'] = [report.before.rss_mb, report.after.rss_mb]
    return summary | {'failures': [failure._asdict() for failure in report.failures]}
