"""What README and docs say is what the code says and what was measured, and it is said once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import re

from moe3d_engine.cli.main import run
from moe3d_engine.errors import InputError
from moe3d_engine.lab.reports.pages import blocks_of
from moe3d_engine.lab.reports.pages import fill_blocks
from moe3d_engine.lab.reports.pages import without_blocks
from moe3d_engine.lab.reports.results import read_results
from moe3d_engine.lab.reports.results import results_table
from moe3d_ros.cli import installed_commands
from moe3d_ros.tools.commands import tables
from moe3d_ros.topics import drops_topic
from moe3d_ros.topics import MERGED_POINTS
from moe3d_ros.topics import motion_topics
from moe3d_ros.topics import output_topics
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in tables.pages(ROOT)}
README = PAGES['README.md']
CONTENTS = tables.generated_parts(ROOT)
MAX_WORDS = 1000
FIGURE = re.compile(r'(?<![\w.])-?\d*\.\d{2,}(?![\w.])')  # two digits after the point at least
EXPLAINED = '\n'.join([*PAGES.values(), *(p.read_text() for p in (ROOT / 'test').rglob('*.py'))])
SAME = 4  # figures that two rows have in common by no accident

Row = tuple[str, frozenset[str]]


@pytest.mark.parametrize('page', PAGES)
def test_page_is_that_of_code_and_records(page: str) -> None:
    assert fill_blocks(PAGES[page], CONTENTS) == PAGES[page], 'moe3d tables --write mends this'


def test_every_generated_part_stands_on_one_page() -> None:
    shown = sorted(name for text in PAGES.values() for name in blocks_of(text))

    assert shown == sorted(CONTENTS)


def rows_of(text: str) -> Iterator[Row]:
    """Yield each row of the tables with its figures."""
    for line in text.splitlines():
        if line.startswith('|'):
            yield line, frozenset(FIGURE.findall(line))


def repeated(pages: dict[str, str]) -> list[tuple[str, str]]:
    """Return the pairs of rows that say the same figures on two pages."""
    rows = [(page, *row) for page, text in pages.items() for row in rows_of(text)]
    return [
        (first, second)
        for n, (page, first, figures) in enumerate(rows)
        for other, second, others in rows[:n]
        if page != other and len(figures & others) >= SAME
    ]


def test_no_row_of_figures_stands_on_two_pages() -> None:
    assert not repeated(PAGES)


def test_row_on_two_pages_would_be_found() -> None:
    row = '| twin | .455 | .355 | .529 | .111 |'

    assert repeated({'a': row, 'b': row + ' more |'})
    assert not repeated({'a': f'{row}\n{row}', 'b': '| twin | .455 | .355 | .529 | .112 |'})


def test_readme_is_short() -> None:
    text = re.sub(r'^```.*?^```', '', without_blocks(README), flags=re.S | re.M)
    words = ' '.join(line for line in text.splitlines() if not line.startswith('|')).split()

    assert len(words) <= MAX_WORDS


def test_readme_lists_every_command() -> None:
    table = README.partition('## The command `moe3d`')[2].partition('## ')[0]

    assert set(re.findall(r'`moe3d (\w+)', table)) == {item.NAME for item in installed_commands()}


def test_readme_lists_every_topic_that_goes_out() -> None:
    topics = {drops_topic(), MERGED_POINTS, *motion_topics('<camera>')}
    for metric in (True, False):
        topics |= set(output_topics('<camera>', metric=metric))
    topics.remove('~/<camera>/relative_depth/camera_info')  # named by its last part
    listed = {line.split('`')[1] for line in README.splitlines() if line.startswith('| out ')}

    assert listed == topics | {'/diagnostics'}


def test_example_of_the_readme_uses_names_that_exist() -> None:
    import moe3d_engine

    example = README.partition('```python\n')[2].partition('```')[0]
    imported = [
        alias.name
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]

    assert imported
    assert all(hasattr(moe3d_engine, name) for name in imported)
    assert hasattr(moe3d_engine.Session, 'reconstruct')


def anchors_of(text: str) -> set[str]:
    """Return the anchors that a page's headings give."""
    headings = re.findall(r'^#+ (.*)$', text, flags=re.M)
    kept = (re.sub(r'[^\w\- ]', '', heading.lower()) for heading in headings)
    return {heading.replace(' ', '-') for heading in kept}


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for target in re.findall(r'\]\((?!https?:)([^)\s]+)\)', PAGES[page]):
        path, _, anchor = target.partition('#')
        goal = (folder / path).resolve() if path else ROOT / page
        assert goal.exists(), target
        if anchor:
            assert anchor in anchors_of(goal.read_text()), target


def test_functions_and_golden_files_that_the_page_of_metrics_names_exist() -> None:
    pytest.importorskip('scipy')
    from importlib import import_module

    from moe3d_engine.lab import metrics

    table = PAGES['docs/metrics.md'].partition('| function |')[2].partition('\n\n')[0]
    for line in table.splitlines()[2:]:
        functions, golden = (line.split('|')[column] for column in (1, 4))
        for name in re.findall(r'`([\w.]+)`', functions):
            module, _, function = name.rpartition('.')
            place = import_module(f'{metrics.__name__}.{module}') if module else metrics
            if name == 'filters':
                import_module(f'{metrics.__name__}.filters')
            else:
                assert callable(getattr(place, function or name)), name
        for name in re.findall(r'`(\w+)`', golden):
            assert (ROOT / 'test/golden' / f'{name}.npz').is_file(), name


def options() -> list[tuple[str, str]]:
    """Return each command's options; those of `train` are the fields of TrainConfig."""
    import argparse

    from moe3d_engine.cli.main import build_parser

    parser = build_parser(installed_commands())
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return [
        (name, option)
        for name, command in commands.choices.items()
        if name != 'train'
        for action in command._actions
        for option in action.option_strings
        if option.startswith('--') and option != '--help'
    ]


@pytest.mark.parametrize(('command', 'option'), options())
def test_every_option_is_named_in_a_page_or_a_test(command: str, option: str) -> None:
    """What nobody explains and nothing tries has no user."""
    assert re.search(rf'{option}(?![\w-])', EXPLAINED)


def test_part_without_end_unknown_part_and_part_that_stands_twice_are_refused() -> None:
    part = '<!-- a begin -->\nx\n<!-- a end -->\n'

    assert fill_blocks(part, {'a': 'y\n', 'b': ''}) == part.replace('x', 'y')
    for page in ('<!-- a begin -->\n', part.replace('a end', 'b end'), part + part):
        with pytest.raises(InputError, match='part'):
            fill_blocks(page, {'a': ''})
    with pytest.raises(InputError, match='Nothing generates the parts a'):
        fill_blocks(part, {'b': ''})


def checkout(root: Path, cells: str = '[0.5, null, "words"]') -> Path:
    """Make a checkout of one record and one page."""
    (root / 'docs/results').mkdir(parents=True)
    measured = ', '.join(
        f'"{name}": "{name}"'
        for name in ('command', 'data', 'machine', 'backend', 'precision', 'weights', 'date')
    )
    (root / 'docs/results/made_up.json').write_text(
        '{"format": "moe3d-results-1", "columns": ["abs_rel", "ate_rmse_m", "how"], '
        f'"rows": {{"ours": {cells}}}, "measured": {{{measured}, "weights_sha256": null}}}}'
    )
    part = '<!-- results:made_up begin -->\n<!-- results:made_up end -->\n'
    (root / 'README.md').write_text(part)
    (root / 'CONTRIBUTING.md').write_text('')
    return root


def test_command_names_the_page_that_differs_and_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = checkout(tmp_path)
    commands = ['tables', '--root', str(root)]

    assert run(commands, [tables]) == 1
    assert 'README.md' in capsys.readouterr().out
    assert run([*commands, '--write'], [tables]) == 0
    assert run(commands, [tables]) == 0
    text = (root / 'README.md').read_text()
    assert '|  | AbsRel m | ATE [m] | how |' in text
    assert '| ours | .500 | - | words |' in text
    assert 'weights not kept' in text


@pytest.mark.parametrize(
    ('cells', 'reason'), [('[0.5]', 'columns'), ('3', 'no record'), ('[1, 2, 3', 'no record')]
)
def test_damaged_record_is_refused(cells: str, reason: str, tmp_path: Path) -> None:
    root = checkout(tmp_path, cells)

    with pytest.raises(InputError, match=reason):
        read_results(root / 'docs/results')


def test_record_that_hides_how_it_was_measured_is_refused(tmp_path: Path) -> None:
    path = checkout(tmp_path) / 'docs/results/made_up.json'
    path.write_text(path.read_text().replace('"machine": "machine", ', ''))

    with pytest.raises(InputError, match='measured'):
        read_results(path.parent)


def test_records_that_name_shipped_weights_name_the_file_that_is_shipped() -> None:
    """A figure of other weights than those that ship must not pass for theirs."""
    from moe3d_engine.assets import find_weights

    shipped = find_weights('moe3d-small').files['weights'].sha256
    for record in read_results(ROOT / 'docs/results'):
        if record.measured.weights == 'moe3d-small':
            assert record.measured.weights_sha256 == shipped, record.name
            assert shipped[:12] in results_table(record)
