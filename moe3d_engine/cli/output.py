"""How commands print a result, and how they write it: nothing is replaced without a word."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
import json
from pathlib import Path
import tempfile

from moe3d_engine.errors import ConfigError


def add_force(parser: argparse._ActionsContainer) -> None:
    """Add the option that allows to write over what exists."""
    parser.add_argument(
        '--force', action='store_true', help='write over what exists at --out already'
    )


def check_free(path: Path, force: bool) -> None:
    """
    Refuse an output that exists already; to be called before the work begins.

    Raises
    ------
    ConfigError
        If there is something and `force` is not given.
    """
    if path.exists() and not force:
        raise ConfigError(
            f'{path} exists already and would be replaced. Name another output, or add --force.'
        )


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield where to write a file that gets its place when the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.moe3d-', dir=path.parent) as beside:
        yield Path(beside) / path.name
        (Path(beside) / path.name).replace(path)


def print_summary(summary: Mapping[str, object], as_json: bool) -> None:
    """Print a result as one JSON object, or as aligned lines."""
    if as_json:
        print(json.dumps(dict(summary)))
        return
    width = max(len(key) for key in summary)
    for key, value in summary.items():
        print(f'{key:<{width}}  {value}')
