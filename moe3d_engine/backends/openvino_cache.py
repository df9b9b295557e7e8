"""
Compiled graphs that OpenVINO keeps between runs, and only those that are whole.

OpenVINO loads a blob with a zeroed page without a word, and depth is then wrong in places. So a
hash is written beside each blob once it is compiled, and one that differs is compiled anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging
from pathlib import Path

from moe3d_engine.assets.cache import cache_folder
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.whole import written_whole
from moe3d_engine.errors import ConfigError

_LOGGER = logging.getLogger(__name__)


@contextmanager
def kept_graph(key: str | None) -> Iterator[dict[str, str]]:
    """
    Yield the setting with which OpenVINO keeps the graph that the block compiles, or loads it.

    Parameters
    ----------
    key : of the graph and everything that it is compiled for: the name of a folder in `openvino/`
        of `assets.cache.cache_folder`. Where there can be no folder the setting is empty, which
        is logged; with None it is empty, too.
    """
    if key is None:
        yield {}
        return
    try:
        folder = cache_folder() / 'openvino' / key
        folder.mkdir(parents=True, exist_ok=True)
        _remove_damaged(folder)
    except (OSError, ConfigError) as error:
        _LOGGER.warning('Graphs are compiled at each start: no folder to keep them (%s).', error)
        yield {}
        return
    before = _versions(folder)
    yield {'CACHE_DIR': str(folder)}
    try:
        for blob, version in _versions(folder).items():
            if version != before.get(blob):
                _write_hash(blob)
    except OSError as error:
        _LOGGER.warning('A compiled graph cannot be kept: no hash beside it (%s).', error)


def _remove_damaged(folder: Path) -> None:
    """Remove each blob that differs from its hash or has none; OpenVINO would load it."""
    for blob in folder.glob('*.blob'):
        if not _is_whole(blob):
            _LOGGER.warning('%s is damaged, or was never whole: it is compiled anew.', blob)
            blob.unlink()


def _is_whole(blob: Path) -> bool:
    """Return whether a blob has the hash that was written beside it."""
    try:
        expected = _hash_file(blob).read_bytes().strip()
    except FileNotFoundError:
        return False
    return expected == sha256_of(blob).encode()


def _write_hash(blob: Path) -> None:
    """Write the hash of a new blob beside it."""
    with written_whole(_hash_file(blob)) as path:
        path.write_text(f'{sha256_of(blob)}\n')


def _hash_file(blob: Path) -> Path:
    """Return where the hash of a blob is kept."""
    return blob.with_suffix('.sha256')


def _versions(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what tells a blob that OpenVINO has just written from one that it has loaded."""
    stats = {blob: blob.stat() for blob in folder.glob('*.blob')}
    return {blob: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for blob, stat in stats.items()}
