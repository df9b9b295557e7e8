"""Compare two evaluations of the same data, figure by figure, with intervals."""

from __future__ import annotations

import argparse
from dataclasses import asdict
import json
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moe3d_engine.evaluation.compare import Comparison


MAX_NAMED = 10  # frames in one run only, on the screen; compare.json names all


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
    from moe3d_engine.evaluation.compare import compare_records
    from moe3d_engine.evaluation.compare import unmatched_frames
    from moe3d_engine.evaluation.record import read_record

    a, b = (read_record(path) for path in args.compare)
    rows = compare_records(a, b)
    unmatched = unmatched_frames(a, b)
    report = {'figures': [asdict(row) for row in rows], **unmatched}
    text = format_table(rows)
    for run, keys in zip('AB', unmatched.values(), strict=True):
        if keys:
            text += f'\nPublished by {run} alone and left out: {name_frames(keys)}'
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / 'compare.json').write_text(json.dumps(report, indent=1) + '\n')
        (args.out / 'compare.md').write_text(text + '\n')
    print(json.dumps(report) if args.json else text)
    return 0


def name_frames(keys: Sequence[str]) -> str:
    """Return the first of these frames by name, and how many more there are."""
    more = f' and {len(keys) - MAX_NAMED} more' if len(keys) > MAX_NAMED else ''
    return ', '.join(keys[:MAX_NAMED]) + more


def format_table(rows: Sequence[Comparison]) -> str:
    """Return the comparison as a table in Markdown."""
    cells = [
        [
            row.name, f'{row.a:.4f}', f'{row.b:.4f}',
            f'{row.b - row.a:+.4f} [{row.low:+.4f}, {row.high:+.4f}]',
            row.verdict, str(row.frames),
        ]
        for row in rows
    ]  # fmt: skip
    head = ['figure', 'A', 'B', 'B - A, 95 % interval', 'B is', 'frames']
    return markdown_table(head, cells)
