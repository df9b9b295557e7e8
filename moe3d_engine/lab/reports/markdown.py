"""Tables for people, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a line per row."""
    lines = ['| ' + ' | '.join(head) + ' |', '|---' * len(head) + '|']
    return '\n'.join([*lines, *('| ' + ' | '.join(row) + ' |' for row in rows)])
