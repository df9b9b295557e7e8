"""The page of a report: tables, pictures and text, escaped, in one file that loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from html import escape
import math
from pathlib import Path
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #1f2933; background: #fff }
h1 { font-size: 1.6rem; margin-bottom: .2rem }
h2 { font-size: 1.15rem; margin-top: 2.4rem; border-bottom: 2px solid #e4e7eb }
.scroll { overflow-x: auto }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e4e7eb; text-align: right }
th { background: #f5f7fa; font-weight: 600; white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
tbody tr:hover { background: #f5f7fa }
.text td { text-align: left; overflow-wrap: anywhere }
img { max-width: 100%; display: block; margin: .8rem 0 }
.note { color: #616e7c } dl { columns: 2; color: #616e7c; font-size: .9rem }
dl div { break-inside: avoid } dt { display: inline; font-weight: 600 }
dd { display: inline; margin: 0 } dd::before { content: ": " }
"""


def page(title: str, subtitle: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return a page; `sections` are titles as text and contents as HTML, empty ones left out."""
    body = ''.join(f'<h2>{escape(name)}</h2>\n{html}\n' for name, html in sections if html)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f'<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>'
        f'<p class="note">{escape(subtitle)}</p>\n{body}</body></html>\n'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text: bool = False) -> str:
    """Return a table, its cells escaped; columns of figures lean right, those of text left."""
    header = ''.join(f'<th>{escape(cell)}</th>' for cell in head)
    lines = [f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in rows]
    return (
        f'<div class="scroll"><table{" class=text" if text else ""}><thead><tr>{header}</tr>'
        f'</thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def definitions(meanings: Mapping[str, str]) -> str:
    """Return what each name means, in one line each."""
    items = (f'<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>' for k, v in meanings.items())
    return f'<dl>{"".join(items)}</dl>' if meanings else ''


def images(folder: Path, names: Iterable[str]) -> str:
    """Return PNG files as part of the page."""
    return ''.join(
        f'<img alt="{escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode((folder / name).read_bytes()).decode()}">'
        for name in names
    )


def flatten(values: Mapping[str, Any]) -> dict[str, object]:
    """Return nested mappings as one, with names like `outer.inner`."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f'{name}.{inner}': item for inner, item in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def cell(value: object) -> str:
    """Return a setting or a figure as text: four digits, empty where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ''
    if isinstance(value, float):
        return f'{value:.4g}'
    if isinstance(value, (list, tuple)):
        return ', '.join(cell(item) for item in value)
    return str(value)
