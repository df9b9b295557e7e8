"""Compare two evaluations of the same data, figure by figure, with intervals."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.lab.reports.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moe3d_engine.lab.reports.compare import Comparison
    from moe3d_engine.lab.reports.record import EvaluationRecord


MAX_NAMED = 10  # frames in one run only, on the screen; compare.json names all


@dataclass(frozen=True, slots=True)
class CompareReport:
    """Figures, what to know before reading them, and the keys of frames of one run only."""

    figures: list[Comparison]
    notes: list[str]
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two records."""
    group = parser.add_argument_group('comparison of two runs')
    group.add_argument(
        '--compare', type=Path, nargs=2, metavar=('A', 'B'),
        help='two evaluation.json over the same data: every figure of B minus A with its 95 %% '
        'interval',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Compare, print a table; `--out` writes compare.json and compare.md."""
    from moe3d_engine.cli.output import claim_report
    from moe3d_engine.lab.reports.record import read_record
    from moe3d_engine.lab.reports.record import without_nan

    if args.out is not None:
        claim_report(args.out, args.force)
    report = compare(*(read_record(path) for path in args.compare))
    text = '\n'.join([format_table(report.figures), *report.notes])
    content = without_nan(asdict(report))
    if args.out is not None:
        (args.out / 'compare.json').write_text(json.dumps(content, indent=1) + '\n')
        (args.out / 'compare.md').write_text(text + '\n')
    print(json.dumps(content) if args.json else text)
    return 0


def compare(a: EvaluationRecord, b: EvaluationRecord) -> CompareReport:
    """Compare two records of one kind."""
    from moe3d_engine.errors import InputError
    from moe3d_engine.lab.reports.compare import compare_records
    from moe3d_engine.lab.reports.compare import unmatched_frames
    from moe3d_engine.lab.reports.compare_live import compare_live
    from moe3d_engine.lab.reports.compare_live import LIVE

    if a.kind != b.kind:
        raise InputError(f'A is a record of kind {a.kind} and B of {b.kind}. Compare two alike.')
    if a.kind == LIVE:
        machines = [record.timings.get('machine') for record in (a, b)]
        notes = [] if machines[0] == machines[1] else ['The runs are of different machines.']
        return CompareReport(compare_live(a, b), notes)
    unmatched = unmatched_frames(a, b)
    notes = [
        f'Published by {run} alone and left out: {name_frames(keys)}'
        for run, keys in zip('AB', unmatched.values(), strict=True)
        if keys
    ]
    return CompareReport(compare_records(a, b), notes, **unmatched)


def name_frames(keys: Sequence[str]) -> str:
    """Return the first of these frames by name, and how many more there are."""
    more = f' and {len(keys) - MAX_NAMED} more' if len(keys) > MAX_NAMED else ''
    return ', '.join(keys[:MAX_NAMED]) + more


def format_table(rows: Sequence[Comparison]) -> str:
    """Return the comparison as a table in Markdown."""
    cells = [
        [
            row.name, f'{row.a:.4f}', f'{row.b:.4f}',
            f'{row.b - row.a:+.4f}' + format_interval(row),
            row.verdict, str(row.frames),
        ]
        for row in rows
    ]  # fmt: skip
    head = ['figure', 'A', 'B', 'B - A, 95 % interval', 'B is', 'frames']
    return markdown_table(head, cells)


def format_interval(row: Comparison) -> str:
    """Return the interval of a figure; empty where it has none."""
    return '' if math.isnan(row.low) else f' [{row.low:+.4f}, {row.high:+.4f}]'
