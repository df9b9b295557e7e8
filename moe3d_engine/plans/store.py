"""
The folder of compiled plans: one subfolder per weights and request, there whole or not at all.

`<cache>/<weights name>/<key>/` holds the plans, their reference and, written last, the manifest.
A build writes to a temporary folder and renames it at the end. One build at a time uses a cache,
since two would disturb each other's timings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import errno
import fcntl
import logging
import os
from pathlib import Path
import shutil
import tempfile
from typing import TextIO

from moe3d_engine.errors import EngineError
from moe3d_engine.plans.manifest import check_manifest
from moe3d_engine.plans.manifest import MANIFEST_NAME
from moe3d_engine.plans.manifest import mismatches
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import PlanRequest
from moe3d_engine.plans.manifest import read_manifest
from moe3d_engine.plans.manifest import verified_plans

_LOGGER = logging.getLogger(__name__)
LOCK_NAME = 'build.lock'
UNFINISHED = '.building-'
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def plan_folder(request: PlanRequest, cache: Path) -> Path:
    """Return the folder that the plans of a request have."""
    return cache / request.weights_name / request.key


def stored_plans(request: PlanRequest, cache: Path) -> PlanManifest | None:
    """Return the manifest of exactly these plans if they are there and whole, else None."""
    folder = plan_folder(request, cache)
    if not (folder / MANIFEST_NAME).is_file():
        return None
    try:
        manifest = read_manifest(folder)
        verified_plans(folder, manifest)
    except EngineError as error:
        _LOGGER.warning('%s They are built anew.', error)
        return None
    return manifest if manifest.key == request.key else None


def find_plans(cache: Path, *expected: PlanRequest) -> tuple[Path, PlanManifest]:
    """
    Return the newest plans that can be used here; `verified_plans` then checks their content.

    Parameters
    ----------
    cache : folder of all plans.
    expected : plans of one set of weights, each of which will do; the first is the one to build.

    Raises
    ------
    EngineError
        If there are none; says why the nearest ones do not fit and which command builds them.
    """
    name = expected[0].weights_name
    found = []
    for path in (cache / name).glob(f'*/{MANIFEST_NAME}'):
        if UNFINISHED in path.parent.name:
            continue
        try:
            manifest, built_at = read_manifest(path.parent), path.stat().st_mtime
        except EngineError as error:
            _LOGGER.warning('%s', error)
            continue
        found += [(path.parent, manifest, request, built_at) for request in expected]
    if not found:
        raise EngineError(
            f'There are no plans of {name} in {cache}. Build them: `{expected[0].command}`.'
        )
    folder, manifest, request, _ = min(
        found, key=lambda one: (len(mismatches(one[1], one[2])), -one[3])
    )
    check_manifest(manifest, request)
    return folder, manifest


@contextmanager
def build_lock(cache: Path) -> Iterator[None]:
    """
    Hold the only right to build into a cache; wait for another process that has it.

    The lock ends with its process, however that ends. What killed builds left is removed.

    Raises
    ------
    EngineError
        If the cache cannot be written.
    """
    with explained(cache):
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / LOCK_NAME).open('a+', encoding='utf-8')
    with file:
        _acquire(file, cache)
        for unfinished in cache.glob(f'*/*{UNFINISHED}*'):
            _LOGGER.info('Removing %s, which a build that was killed has left.', unfinished)
            shutil.rmtree(unfinished, ignore_errors=True)
        file.truncate(0)
        file.write(f'process {os.getpid()}')
        file.flush()
        yield


def _acquire(file: TextIO, cache: Path) -> None:
    """Lock a file, and say whom this waits for."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read() or 'another process'
        _LOGGER.warning('Waiting: %s builds into %s.', holder, cache)
        fcntl.flock(file, fcntl.LOCK_EX)


@contextmanager
def new_plans(request: PlanRequest, cache: Path) -> Iterator[Path]:
    """
    Yield an empty folder that becomes the folder of these plans if all goes well.

    After an error, or Ctrl-C, nothing of it is left. The caller holds `build_lock`.

    Raises
    ------
    EngineError
        If the disk is full or the cache cannot be written.
    """
    final = plan_folder(request, cache)
    with explained(cache):
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f'{final.name}{UNFINISHED}', dir=final.parent))
        try:
            yield partial
            if final.exists():  # stale: whoever opened it has read it already
                final.rename(partial.with_name(f'{partial.name}-old'))
            partial.rename(final)
        finally:
            for leftover in final.parent.glob(f'{partial.name}*'):
                shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def explained(cache: Path) -> Iterator[None]:
    """Turn a full or closed disk into an EngineError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = 'Set MOE3D_CACHE (or --out) to a folder that can be written'
        if error.errno in _FULL:
            raise EngineError(
                f'The disk of {cache} is full; nothing of this build is left on it. Free some '
                f'space there, or: {advice}, on a disk with more room.'
            ) from error
        if error.errno in _REFUSED:
            raise EngineError(f'Cannot write to {cache}: {error}. {advice}.') from error
        raise
