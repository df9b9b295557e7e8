"""
What commands leave behind: printed results, and files that nobody's work is lost to.

One rule for all commands. What exists is not written over without `--force`, and what is written
is there whole or not at all. Only what is known to be the result of an earlier run, by a mark in
it, is replaced by the next one to the same `--out`, and the log says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Mapping
import json
import logging
from pathlib import Path

from moe3d_engine.assets.whole import written_into
from moe3d_engine.assets.whole import written_whole
from moe3d_engine.errors import ConfigError

__all__ = [
    'add_force',
    'check_free',
    'claim_report',
    'print_summary',
    'written_into',
    'written_whole',
]

REPORT_MARK = '.moe3d-report'
_MARK_TEXT = 'The files beside this one are a report of moe3d. The next one replaces them.\n'
_LOGGER = logging.getLogger(__name__)


def add_force(parser: argparse._ActionsContainer) -> None:
    """Add the option that allows to write over what exists."""
    parser.add_argument(
        '--force', action='store_true', help='write over what exists at --out already'
    )


def check_free(
    path: Path, force: bool, is_ours: Callable[[Path], bool] = lambda path: False
) -> None:
    """
    Refuse an output that exists already; to be called before the work begins.

    Parameters
    ----------
    path : of a file or folder to be written. An empty folder is free.
    force : allow what exists to be replaced.
    is_ours : whether a file is the result of an earlier run, which may be replaced.

    Raises
    ------
    ConfigError
        If there is something and `force` is not given.
    """
    is_free = not any(path.iterdir()) if path.is_dir() else not path.is_symlink()
    if force or (is_free and not path.is_file()):
        return
    if path.is_file() and is_ours(path):
        _LOGGER.info('The result in %s is replaced.', path)
        return
    raise ConfigError(
        f'{path} exists already and would be replaced. Name another output, or add --force.'
    )


def claim_report(folder: Path, force: bool) -> None:
    """
    Make a folder the place of a report, unless it holds something that is not ours.

    Parameters
    ----------
    folder : is made where it is missing, and marked. One that an earlier report has marked may be
        taken again, which is logged.
    force : take any folder; what is in it stays, except for files of the report's own names.

    Raises
    ------
    ConfigError
        If it holds other things and `force` is not given.
    """
    mark = folder / REPORT_MARK
    if mark.is_file():
        _LOGGER.info('The report in %s is replaced.', folder)
        return
    check_free(folder, force)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(_MARK_TEXT)


def print_summary(summary: Mapping[str, object], as_json: bool) -> None:
    """Print a result as one JSON object, or as aligned lines."""
    if as_json:
        print(json.dumps(dict(summary)))
        return
    width = max(len(key) for key in summary)
    for key, value in summary.items():
        print(f'{key:<{width}}  {value}')
