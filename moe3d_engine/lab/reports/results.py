"""
Measured figures as records, and the tables that pages show of them.

A record is `docs/results/NAME.json`: what was measured, with which command, on what, and a row of
figures per case. The page of a table has the part `results:NAME`; `moe3d tables --write` fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
import json
from pathlib import Path
from typing import Any

from moe3d_engine.errors import InputError
from moe3d_engine.lab.reports.facts import heading_of
from moe3d_engine.lab.reports.markdown import markdown_table

FORMAT = 'moe3d-results-1'
DIGITS = 3  # after the point, where a column does not say otherwise
HASH_DIGITS = 12

Cell = float | str | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    How the figures of a record were measured; all of it stands below the table.

    Parameters
    ----------
    command : that prints them.
    data : what they are of.
    machine : CPU and cores.
    backend : runtime of the network, such as `openvino`.
    precision : that the runtime computed in.
    weights : name of the network.
    weights_sha256 : of its safetensors file; None = the file was not kept or there is none.
    date : of the measurement, ISO 8601.
    """

    command: str
    data: str
    machine: str
    backend: str
    precision: str
    weights: str
    weights_sha256: str | None
    date: str


@dataclass(frozen=True, slots=True)
class ResultTable:
    """
    A record.

    Parameters
    ----------
    name : of the file and of the part of its page.
    columns : names of figures (see `facts`), or headings.
    digits : digits after the point by column, where they are not three.
    rows : cells by the name of the row; a number, words, or None for a figure that does not exist.
    measured : how.
    """

    name: str
    columns: tuple[str, ...]
    digits: Mapping[str, int]
    rows: Mapping[str, tuple[Cell, ...]]
    measured: Measurement


def read_results(folder: Path) -> list[ResultTable]:
    """
    Read all records of a folder, in the order of their names.

    Raises
    ------
    InputError
        If there is none, or one is damaged or incomplete.
    """
    paths = sorted(folder.glob('*.json'))
    if not paths:
        raise InputError(f'{folder} holds no records (*.json). Run it in a checkout, or --root.')
    return [_read(path) for path in paths]


def results_table(record: ResultTable) -> str:
    """Return a record in Markdown: its table, and how it was measured."""
    rows = [
        [name, *map(_text, cells, (record.digits.get(c, DIGITS) for c in record.columns))]
        for name, cells in record.rows.items()
    ]
    head = ['', *(heading_of(column).replace('<', '&lt;') for column in record.columns)]
    return f'{markdown_table(head, rows)}\n\n{_caption(record.measured)}\n'


def _caption(measured: Measurement) -> str:
    """Return how figures were measured, in a line."""
    digest = measured.weights_sha256
    kept = f'weights.safetensors {digest[:HASH_DIGITS]}' if digest else 'weights not kept'
    return (
        f'<sub>`{measured.command}`; {measured.data}; {measured.machine}; {measured.backend} '
        f'{measured.precision}; {measured.weights} ({kept}); {measured.date}.</sub>'
    )


def _read(path: Path) -> ResultTable:
    """Read one record."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        if content['format'] != FORMAT:
            raise InputError(f'{path} has the format {content["format"]!r}; {FORMAT} is read.')
        names = {field.name for field in fields(Measurement)}
        if set(content['measured']) != names:
            raise InputError(f'{path} says under `measured` other things than {sorted(names)}.')
        columns = tuple(content['columns'])
        rows = {name: tuple(cells) for name, cells in content['rows'].items()}
        short = [name for name, cells in rows.items() if len(cells) != len(columns)]
        if short:
            raise InputError(f'{path} has {len(columns)} columns, but not the rows {short}.')
        return ResultTable(
            path.stem, columns, content.get('digits', {}), rows, Measurement(**content['measured'])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{path} is no record of results ({error!r}).') from error


def _text(cell: Cell, digits: int) -> str:
    """Return a cell as text: no zero before the point, a dash for what does not exist."""
    if cell is None:
        return '-'
    if isinstance(cell, str):
        return cell
    text = f'{cell:,.{digits}f}'
    return text.replace('0.', '.', 1) if text.startswith(('0.', '-0.')) else text
