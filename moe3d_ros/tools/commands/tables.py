"""`moe3d tables`: the parts of README and docs that are made of code and stored results."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
import json
from pathlib import Path

NAME = 'tables'
HELP = 'compare the tables of README and docs with code and stored results, or write them'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the checkout and whether to write."""
    parser.add_argument(
        '--root', type=Path, default=Path(), metavar='DIR', help='a checkout (default: here)'
    )
    parser.add_argument(
        '--write', action='store_true', help='bring the pages up to date instead of naming them'
    )


def execute(args: argparse.Namespace) -> int:
    """Name the pages that differ, or write them; 1 where a page differs and is left so."""
    from moe3d_engine.lab.reports.pages import fill_blocks

    contents = generated_parts(args.root)
    texts = {path: path.read_text(encoding='utf-8') for path in pages(args.root)}
    filled = {path: fill_blocks(text, contents) for path, text in texts.items()}
    stale = [path for path, text in texts.items() if filled[path] != text]
    if args.write:
        for path in stale:
            path.write_text(filled[path], encoding='utf-8')
    named = [path.relative_to(args.root).as_posix() for path in stale]
    if args.json:
        print(json.dumps({'differ': named, 'written': args.write}))
    else:
        state = 'written' if args.write else 'differs from code or records: --write'
        print('\n'.join(f'{name}: {state}' for name in named) or 'All pages are up to date.')
    return 1 if stale and not args.write else 0


def generated_parts(root: Path) -> Mapping[str, str]:
    """Return the generated parts of all pages by name."""
    from moe3d_engine.lab.reports.facts import facts_table
    from moe3d_engine.lab.reports.results import read_results
    from moe3d_engine.lab.reports.results import results_table
    from moe3d_ros.settings.table import parameters_table

    records = read_results(root / 'docs' / 'results')
    tables = {f'results:{record.name}': results_table(record) for record in records}
    return {'parameters': parameters_table(), 'facts': facts_table(), **tables}


def pages(root: Path) -> list[Path]:
    """Return the pages of a checkout."""
    return [root / 'README.md', root / 'CONTRIBUTING.md', *sorted((root / 'docs').glob('*.md'))]
