"""Tables of a protocol: our rows under the published ones, as text, CSV, JSON and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import csv
import json
import math
from pathlib import Path
from typing import NamedTuple

from moe3d_engine.lab.protocols.catalogue import Protocol
from moe3d_engine.lab.protocols.catalogue import PublishedRow
from moe3d_engine.lab.reports.facts import heading_of
from moe3d_engine.lab.reports.markdown import markdown_table

OURS = 'this run'
TEX_SPECIAL = str.maketrans({c: f'\\{c}' for c in '&%$#_{}'} | {'<': '$<$', '^': r'\^{}'})


class Row(NamedTuple):
    """One row of a table."""

    method: str
    figures: Mapping[str, float]
    protocol: str
    source: str
    cautions: tuple[str, ...] = ()


def table_rows(
    protocol: Protocol, ours: Mapping[str, Mapping[str, float]], elsewhere: Sequence[PublishedRow]
) -> list[Row]:
    """
    Return the published rows of a protocol, ours, then those that do not compare.

    Parameters
    ----------
    protocol : the protocol that was run.
    ours : figures by the name of our row.
    elsewhere : published rows under other or unknown protocols; those of the data set are kept.
    """
    rows = [_published(row) for row in protocol.published]
    rows += [Row(name, figures, protocol.name, OURS) for name, figures in ours.items()]
    return rows + [_published(row) for row in elsewhere if row.dataset == protocol.dataset]


def write_tables(folder: Path, protocol: Protocol, rows: Sequence[Row]) -> None:
    """Write table.csv, table.json and table.tex; a figure that is not there stays empty."""
    with (folder / 'table.csv').open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['method', *protocol.metrics, 'protocol', 'source', 'cautions'])
        for row in rows:
            figures = [f'{x:.6g}' if x is not None else '' for x in _cells(row, protocol)]
            cautions = '; '.join(row.cautions)
            writer.writerow([row.method, *figures, row.protocol, row.source, cautions])
    content = {
        'dataset': protocol.dataset, 'protocol': protocol.name, 'reference': protocol.reference,
        'cautions': protocol.cautions,
        'rows': [
            {
                **row._asdict(),
                'figures': dict(zip(protocol.metrics, _cells(row, protocol), strict=True)),
            }
            for row in rows
        ],
    }  # fmt: skip
    (folder / 'table.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    (folder / 'table.tex').write_text(_tex(protocol, rows), encoding='utf-8')


def format_table(protocol: Protocol, rows: Sequence[Row]) -> str:
    """Return the table in Markdown with sources and cautions below it."""
    headings = [heading_of(name) for name in protocol.metrics]
    cells = []
    notes = list(dict.fromkeys((row.source, row.cautions) for row in rows if row.source != OURS))
    for row in rows:
        source = OURS if row.source == OURS else f'[{notes.index((row.source, row.cautions)) + 1}]'
        if row.protocol != protocol.name:
            source += f' NOT COMPARABLE: {row.protocol}'
        figures = ('' if x is None else f'{x:.3f}' for x in _cells(row, protocol))
        cells.append([row.method, *figures, source])
    lines = [
        f'### {protocol.dataset} {protocol.name} ({protocol.reference})',
        markdown_table(['method', *headings, 'source'], cells),
    ]
    for number, (source, cautions) in enumerate(notes, 1):
        lines.append(f'[{number}] ' + '; '.join((source, *cautions)))
    return '\n'.join([*lines, *(f'Note: {caution}.' for caution in protocol.cautions)])


def _tex(protocol: Protocol, rows: Sequence[Row]) -> str:
    """Return a LaTeX tabular; rows that do not compare come as comments."""
    headings = [heading_of(name).translate(TEX_SPECIAL) for name in protocol.metrics]
    lines = [
        f'% {protocol.dataset} {protocol.name}: {protocol.reference}',
        r'\begin{tabular}{l' + 'r' * len(headings) + '}',
        ' & '.join(['method', *headings]) + r' \\ \hline',
    ]
    for row in rows:
        cells = ['--' if x is None else f'{x:.3f}' for x in _cells(row, protocol)]
        comparable = row.protocol == protocol.name
        line = ' & '.join([row.method.translate(TEX_SPECIAL), *cells])
        end = rf' \\ % {row.source}' if comparable else rf' \\ % NOT COMPARABLE: {row.protocol}'
        lines.append(('' if comparable else '% ') + line + end)
    return '\n'.join([*lines, r'\end{tabular}', ''])


def _cells(row: Row, protocol: Protocol) -> list[float | None]:
    """Return the figures of a row in the order of the protocol, None where there is none."""
    values = [row.figures.get(name, math.nan) for name in protocol.metrics]
    return [value if math.isfinite(value) else None for value in values]


def _published(row: PublishedRow) -> Row:
    """Return a row of another's."""
    return Row(row.method, row.figures, row.protocol, row.source, row.cautions)
