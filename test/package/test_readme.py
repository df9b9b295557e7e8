"""README repeats facts of the code; this keeps them equal."""

from __future__ import annotations

from pathlib import Path

from moe3d_ros.settings.table import parameters_table

README = Path(__file__).resolve().parents[2] / 'README.md'


def test_parameter_table_is_that_of_the_code() -> None:
    text = README.read_text()
    _, _, rest = text.partition('<!-- parameters:begin -->')
    table, end, _ = rest.partition('<!-- parameters:end -->')

    assert end, 'README.md lacks the marks around its table of parameters'
    assert table.strip() == parameters_table().strip()
