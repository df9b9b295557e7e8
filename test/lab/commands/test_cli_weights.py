"""`moe3d weights`: a file of VGGT's weights checked, converted and, when asked for, fetched."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
import hashlib
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
import json
import os
from pathlib import Path
import subprocess
import sys
import threading

from moe3d_engine import Engine
from moe3d_engine import open_backend
from moe3d_engine import Session
from moe3d_engine import View
from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import read_card
from moe3d_engine.geometry.boundary import snap_to_surfaces
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_ros.cli import main
import numpy as np
import pytest
from safetensors.torch import save_file
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[2] / 'golden'
CONTENT = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HW = (56, 70)
ATOL = 0.02  # of probabilities, in 16 bits where the CPU computes so


def weights(*arguments: object) -> int:
    """Run `moe3d weights`."""
    return main(['weights', *map(str, arguments)])


def tiny_vggt() -> dict[str, Tensor]:
    """Return random weights of a tiny VGGT, with a tensor of each head that we do not have."""
    torch.manual_seed(0)
    network = Moe3dNet(replace(preset('tiny'), num_experts=1))
    with torch.no_grad():
        network.depth_head.scratch.output_conv2[2].weight *= 8  # depth that varies
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    return state | {'point_head.norm.bias': torch.zeros(4), 'track_head.x': torch.zeros(2, 2)}


@pytest.fixture(scope='module')
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny VGGT as safetensors."""
    path = tmp_path_factory.mktemp('vggt') / 'model.safetensors'
    save_file(tiny_vggt(), path)
    return path


@pytest.fixture(scope='module')
def single_card(tiny_file: Path) -> WeightsCard:
    """Convert the tiny VGGT and return its card."""
    folder = tiny_file.parent / 'converted'
    options = ('--out', folder, '--licence', 'LicenseRef-mine', '--input-hw', *HW)
    assert weights(tiny_file, '--network', 'tiny', '--name', 'mine', *options) == 0
    return read_card(folder / 'mine.json')


class Server(BaseHTTPRequestHandler):
    """
    Serves CONTENT; the path says how.

    `/whole` knows no Range, `/cut` ends after half of what it announced, `/huge` announces more
    than any disk holds, `/gone` is not there, all others continue where they are asked to.
    """

    def do_GET(self) -> None:
        asked = self.headers.get('Range')
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        if self.path == '/gone':
            self.send_error(404)
            return
        start = 0
        if asked and self.path != '/whole':
            start = int(asked.removeprefix('bytes=').removesuffix('-'))
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}')
        else:
            self.send_response(200)
        body = CONTENT[start:]
        length = 10**18 if self.path == '/huge' else len(body)
        self.send_header('Content-Length', str(length))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == '/cut' else body)

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Serve on a free port of this machine; `asked` lists the Range of each request."""
    with ThreadingHTTPServer(('127.0.0.1', 0), Server) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server: ThreadingHTTPServer, tmp_path: Path) -> Callable[[str], int]:
    """Return a function that fetches an address of the server to `x.pt`."""

    def fetch(page: str, sha256: str = SHA256) -> int:
        url = f'http://127.0.0.1:{server.server_port}/{page}'
        return weights(tmp_path / 'x.pt', '--url', url, '--sha256', sha256)

    return fetch


def test_all_tensors_of_vggt_1b_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = json.loads((GOLDEN / 'vggt_1b_state_dict.json').read_text())
    one = torch.zeros(())
    path = tmp_path / 'model.pt'
    torch.save({name: one.expand(shape) for name, shape in shapes.items()}, path)

    assert weights(path, '--json') == 0

    summary = json.loads(capsys.readouterr().out)
    assert summary['tensors'].startswith('1797, ')
    assert summary['parameters used'] == 1_157_941_492
    assert summary['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert 'non-commercial' in summary['licence']
    assert "Meta's agreement" in summary['licence']
    assert [file.name for file in tmp_path.iterdir()] == ['model.pt']


def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tiny_vggt()
    del state['aggregator.camera_token']
    state['depth_head.norm.bias'] = torch.zeros(5)
    state['surprise'] = torch.zeros(1)
    save_file(state, tmp_path / 'x.safetensors')

    assert weights(tmp_path / 'x.safetensors', '--network', 'tiny') == 2

    message = capsys.readouterr().err
    for part in ('1 missing (aggregator.camera_token)', '1 unexpected (surprise)', '(5,) instead'):
        assert part in message


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ('touch trapped',)


def test_code_in_a_pickle_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({'x': Trap()}, tmp_path / 'x.pt')

    assert weights('x.pt') == 2

    assert 'Cannot read the checkpoint' in capsys.readouterr().err
    assert not (tmp_path / 'trapped').exists()


def test_truncated_missing_and_other_files_are_refused(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ('.safetensors', '.pt'):
        path = tmp_path / f'x{suffix}'
        path.write_bytes(tiny_file.read_bytes()[:999])
        assert weights(path, '--network', 'tiny') == 2
        assert 'Cannot read the checkpoint' in capsys.readouterr().err

    assert weights(tmp_path / 'nothing.pt') == 2
    assert 'There is no file' in capsys.readouterr().err
    assert weights(tiny_file, '--network', 'tiny', '--sha256', '0' * 64) == 2
    assert 'expected was 000' in capsys.readouterr().err


def test_conversion_wants_the_licence_stated(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert weights(tiny_file, '--network', 'tiny', '--out', tmp_path / 'new') == 2

    assert '--licence' in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()


def test_card_of_converted_weights_says_what_they_are(
    single_card: WeightsCard, tiny_file: Path
) -> None:
    assert single_card.config['num_experts'] == 1
    assert not single_card.metric
    assert single_card.input_hw == HW
    assert single_card.licence == 'LicenseRef-mine'
    assert single_card.training['sha256'] == hashlib.sha256(tiny_file.read_bytes()).hexdigest()


def test_converted_weights_publish_relative_depth_of_one_surface_with_vggts_confidence(
    single_card: WeightsCard,
) -> None:
    backend = open_backend('openvino', str(single_card.folder / 'mine.json'))
    images = np.random.default_rng(7).integers(0, 256, (2, *HW, 3), dtype=np.uint8)
    raw = backend.reconstruct(backend.encode(to_network(images)), range(2))
    session = Session(Engine(backend))

    result = session.reconstruct([View(image) for image in images])

    backend.close()
    assert not result.scale.metric
    scale = 0.2 / raw.depth_confidence
    confidence = 1 - np.exp(-0.05 * raw.depth / scale)
    published = np.isfinite(result.depth)
    assert published.any()
    np.testing.assert_allclose(raw.boundary_confidence, confidence, atol=ATOL)
    expected = np.where(published, raw.boundary_confidence, 0)
    np.testing.assert_allclose(result.boundary_confidence, expected, atol=ATOL)
    snapped = snap_to_surfaces(result.depth_raw)
    assert (snapped != result.depth_raw).any()
    np.testing.assert_array_equal(result.depth[published], snapped[published])


def test_download_gets_its_name_when_its_hash_is_right(
    fetch: Callable[[str], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch('good')  # the file is no checkpoint, which is another matter

    assert (tmp_path / 'x.pt').read_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ['x.pt']
    assert 'Cannot read the checkpoint' in capsys.readouterr().err


def test_file_address_is_fetched_like_any_other(tmp_path: Path) -> None:
    (tmp_path / 'source').write_bytes(CONTENT)
    (tmp_path / 'x.pt.part').write_bytes(b'of another time')

    weights(tmp_path / 'x.pt', '--url', (tmp_path / 'source').as_uri(), '--sha256', SHA256)

    assert (tmp_path / 'x.pt').read_bytes() == CONTENT


def test_broken_download_is_continued(
    fetch: Callable[[str], int],
    server: ThreadingHTTPServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fetch('cut') == 2
    half = len(CONTENT) // 2
    assert f'ended after {half} of {len(CONTENT)} bytes' in capsys.readouterr().err
    assert (tmp_path / 'x.pt.part').stat().st_size == half
    assert not (tmp_path / 'x.pt').exists()

    fetch('good')

    assert server.asked == [None, f'bytes={half}-']  # type: ignore[attr-defined]
    assert (tmp_path / 'x.pt').read_bytes() == CONTENT


@pytest.mark.parametrize('page', ['whole', 'good'])
@pytest.mark.parametrize('there', [1000, len(CONTENT)])
def test_server_decides_whether_it_continues(
    fetch: Callable[[str], int], tmp_path: Path, page: str, there: int
) -> None:
    (tmp_path / 'x.pt.part').write_bytes(CONTENT[:there])

    fetch(page)

    assert (tmp_path / 'x.pt').read_bytes() == CONTENT


def test_file_that_is_there_is_not_fetched_again(
    fetch: Callable[[str], int],
    server: ThreadingHTTPServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'x.pt').write_bytes(CONTENT)
    fetch('good')
    (tmp_path / 'x.pt').write_bytes(b'mine')
    capsys.readouterr()

    assert fetch('good') == 2

    assert 'Move it away' in capsys.readouterr().err
    assert (tmp_path / 'x.pt').read_bytes() == b'mine'
    assert server.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ('page', 'sha256', 'words'),
    [
        ('good', 'f' * 64, 'check the address and the hash'),
        ('good', 'abc', '64 hexadecimal digits'),
        ('gone', SHA256, '404'),
        ('huge', SHA256, 'the disk has'),
    ],
)
def test_download_that_cannot_be_right_leaves_nothing(
    fetch: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    page: str,
    sha256: str,
    words: str,
) -> None:
    assert fetch(page, sha256) == 2

    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('url', 'words'),
    [
        ('ftp://127.0.0.1/x', 'https, http, file'),
        ('http://127.0.0.1:9/x', 'Cannot fetch'),
        ('file:///nothing/here', 'Cannot fetch'),
    ],
)
def test_address_that_does_not_answer_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    assert weights(tmp_path / 'x.pt', '--url', url, '--sha256', SHA256) == 2

    assert words in capsys.readouterr().err


def test_nothing_is_fetched_without_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert weights(tmp_path / 'x.pt', '--url', 'http://127.0.0.1:9/x') == 2

    assert '--url needs --sha256' in capsys.readouterr().err


def test_full_disk_is_said_and_the_beginning_kept(tmp_path: Path) -> None:
    (tmp_path / 'source').write_bytes(CONTENT)
    command = 'ulimit -f 100 && exec "$0" -m moe3d_ros.cli weights "$1" --url "$2" --sha256 "$3"'
    arguments = (tmp_path / 'x.pt', (tmp_path / 'source').as_uri(), SHA256)

    result = subprocess.run(
        ['bash', '-c', command, sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    assert 'Cannot write' in result.stderr
    assert not (tmp_path / 'x.pt').exists()
    assert (tmp_path / 'x.pt.part').stat().st_size == 100 * 1024
