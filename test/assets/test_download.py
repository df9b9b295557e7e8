"""A server is not trusted: neither where it sends us, nor what it says of the length."""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
import threading
from urllib.error import URLError
from urllib.request import Request

from moe3d_engine.assets.download import _CarefulRedirects
from moe3d_engine.assets.download import download
from moe3d_engine.errors import CheckpointError
import pytest

CONTENT = b'weights'
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Sends `/to/X` on to X, and `/length/X` says that the file has X bytes."""

    def do_GET(self) -> None:
        way, _, word = self.path[1:].partition('/')
        self.send_response(302 if way == 'to' else 200)
        if way == 'to':
            self.send_header('Location', word)
        self.send_header('Content-Length', word if way == 'length' else str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def address() -> Iterator[str]:
    """Serve on a free port of this machine."""
    with ThreadingHTTPServer(('127.0.0.1', 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join()


@pytest.mark.parametrize('length', ['abc', '-1', '1e3', '7,7', '9' * 5000])
def test_length_that_is_no_number_is_one_sentence(
    length: str, address: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match='length of the file') as caught:
        download(f'{address}/length/{length}', tmp_path / 'x', SHA256)

    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('target', ['ftp://127.0.0.1/x', 'file:///etc/passwd'])
def test_redirect_to_another_scheme_is_not_followed(
    target: str, address: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError):
        download(f'{address}/to/{target}', tmp_path / 'x', SHA256)

    assert not list(tmp_path.iterdir())


def test_redirect_from_https_to_http_is_not_followed() -> None:
    request = Request('https://a.invalid/x')

    with pytest.raises(URLError, match='not https'):
        _CarefulRedirects().redirect_request(
            request, None, 302, '', {}, 'http://a.invalid/y'  # type: ignore[arg-type]
        )  # fmt: skip


def test_redirect_of_the_same_scheme_is_followed(address: str, tmp_path: Path) -> None:
    download(f'{address}/to/{address}/y', tmp_path / 'x', SHA256)

    assert (tmp_path / 'x').read_bytes() == CONTENT
