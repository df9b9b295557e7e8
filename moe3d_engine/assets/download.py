"""A large file from an address that the user gave: continued where it broke off, then verified."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException
from http.client import HTTPMessage
import logging
import os
from pathlib import Path
import re
import shutil
from typing import BinaryIO
from typing import IO
from urllib.error import HTTPError
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import build_opener
from urllib.request import HTTPRedirectHandler
from urllib.request import Request
from urllib.response import addinfourl

from moe3d_engine.assets.card import sha256_of
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError

logger = logging.getLogger(__name__)

SCHEMES = ('https', 'http', 'file')
TIMEOUT_S = 60.0
_BLOCK_BYTES = 1 << 20
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416

Report = Callable[[int, int], None]


def download(url: str, path: Path, sha256: str, report: Report | None = None) -> None:
    """
    Fetch `path` unless it is there already; it gets its name when its hash is right.

    What has come so far lies in `<path>.part`. A second call continues it where the server can
    (HTTP Range), and starts anew where it cannot.

    Parameters
    ----------
    url : http, https or file. A server may send this on to another address of the same scheme, or
        from http to https.
    path : of the new file; its folder exists.
    sha256 : of the whole file, hexadecimal.
    report : is called with the bytes that are there and the bytes of the whole, which is 0 where
        the server does not say.

    Raises
    ------
    ConfigError
        If address or hash are none.
    CheckpointError
        If the file cannot be fetched whole, the disk is full, or the hash is another one.
    """
    sha256 = sha256.lower()
    if not re.fullmatch('[0-9a-f]{64}', sha256):
        raise ConfigError(f'A sha256 has 64 hexadecimal digits; got {sha256!r}.')
    if urlsplit(url).scheme not in SCHEMES:
        raise ConfigError(f'An address starts with {", ".join(SCHEMES)}; got {url!r}.')
    if path.exists():
        _verify(path, sha256, 'Move it away to fetch it again.')
        return
    partial = path.with_name(path.name + '.part')
    try:
        _fetch(url, partial, report or _ignore)
    except HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE or not partial.exists():
            raise CheckpointError(f'{url} answers {error.code} {error.reason}.') from error
        logger.info('%s seems complete already.', partial)  # the hash decides
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise CheckpointError(
            f'Cannot fetch {url}: {error}. Run the same command again; it continues.'
        ) from error
    except OSError as error:
        raise CheckpointError(
            f'Cannot write {partial}: {error}. Mend that and run the same command again; it '
            'continues.'
        ) from error
    try:
        _verify(partial, sha256, 'It was deleted; check the address and the hash.')
    except CheckpointError:
        partial.unlink()
        raise
    os.replace(partial, path)


def _fetch(url: str, partial: Path, report: Report) -> None:
    """Append what `partial` lacks of the file, or write all of it."""
    start = partial.stat().st_size if partial.exists() else 0
    request = Request(url, headers={'Range': f'bytes={start}-'} if start else {})
    with build_opener(_CarefulRedirects).open(request, timeout=TIMEOUT_S) as response:
        if start and not _continues(response, start):
            logger.info('The server cannot continue a download; it starts anew.')
            start = 0
        length = _content_length(response)
        total = start + length if length else 0
        _check_room(partial.parent, length)
        with partial.open('ab' if start else 'wb') as file:
            done = _copy(response, file, start, total, report)
            file.flush()
            os.fsync(file.fileno())
    if done < total:
        raise ConnectionError(f'the connection ended after {done} of {total} bytes')


class _CarefulRedirects(HTTPRedirectHandler):
    """Follows a server to where it was asked to look, and nowhere less safe."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """Return the next request; refuse another scheme, and http where it was https."""
        scheme = urlsplit(newurl).scheme
        if scheme not in (req.type, 'https'):
            raise URLError(f'the server sends this on to {newurl!r}, which is not {req.type}')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _content_length(response: addinfourl) -> int:
    """Return how many bytes are to come; 0 where the server does not say."""
    text = response.headers.get('Content-Length') or '0'
    if not re.fullmatch('[0-9]{1,20}', text):
        raise ConnectionError(f'the server says {text[:40]!r} for the length of the file')
    return int(text)


def _continues(response: addinfourl, start: int) -> bool:
    """Return whether a response begins at byte `start` of the file."""
    content_range = response.headers.get('Content-Range') or ''
    return response.status == _PARTIAL_CONTENT and content_range.startswith(f'bytes {start}-')


def _copy(response: BinaryIO, file: BinaryIO, done: int, total: int, report: Report) -> int:
    """Copy to the end and return the size of the file."""
    report(done, total)
    while block := response.read(_BLOCK_BYTES):
        file.write(block)
        done += len(block)
        report(done, total)
    return done


def _check_room(folder: Path, needed: int) -> None:
    """Raise OSError if the disk cannot hold as many bytes more."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f'{needed} bytes are to come, the disk has {free} left')


def _verify(path: Path, sha256: str, advice: str) -> None:
    """Raise CheckpointError unless a file has the right hash."""
    found = sha256_of(path)
    if found != sha256:
        raise CheckpointError(f'{path} has the sha256 {found}; expected was {sha256}. {advice}')


def _ignore(done: int, total: int) -> None:
    """Report nothing."""
