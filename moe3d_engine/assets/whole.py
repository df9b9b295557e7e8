"""Files that are there whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import tempfile

_BESIDE = '.moe3d-'


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """
    Yield where to write a file or folder that gets its place when the block ends without error.

    What was at its place before is replaced. After an error, or Ctrl-C, it is still there, and
    nothing else is left.

    Parameters
    ----------
    path : of the file or folder; missing folders above it are made. What is yielded has the same
        name, in a folder of its own on the same disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=path.parent) as beside:
        new = Path(beside) / path.name
        yield new
        _write_through(new)
        if path.is_dir() and not path.is_symlink():  # a rename does not replace folders
            path.rename(Path(beside) / f'{path.name}.old')
        new.replace(path)
    _sync(path.parent)


@contextmanager
def written_into(folder: Path, last: str) -> Iterator[Path]:
    """
    Yield an empty folder whose files move into `folder` when the block ends without error.

    What `folder` holds otherwise stays; files of the same names are replaced.

    Parameters
    ----------
    folder : is made where it is missing.
    last : name of the file that moves last, because the others are of no use without it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=folder) as beside:
        yield Path(beside)
        _write_through(Path(beside))
        for new in sorted(Path(beside).iterdir(), key=lambda new: (new.name == last, new.name)):
            new.replace(folder / new.name)
    _sync(folder)


def _write_through(path: Path) -> None:
    """Have a file, or all files of a folder, written to the disk itself."""
    for file in [path, *path.rglob('*')] if path.is_dir() else [path]:
        _sync(file)


def _sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, written to the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
