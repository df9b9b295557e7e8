"""Compiled graphs are kept on disk, and a damaged or impossible cache does no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.backends.open import open_float32
from moe3d_engine.backends.openvino_backend import open_openvino
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.types import Float32Array
import numpy as np
import openvino
import pytest

pytestmark = pytest.mark.instruction_sets

RTOL = {'f32': 1e-5, 'bf16': 5e-2}  # of depth, the same graph compiled twice
FirstDepth = Callable[..., Float32Array]


@pytest.fixture
def first_depth(tiny: WeightsCard) -> FirstDepth:
    """Return a function that opens (compiles, or takes from the cache) and runs once."""

    def run(precision: str = 'f32', threads: int = 1) -> Float32Array:
        backend = open_openvino(tiny, threads=threads, precision=precision)
        try:
            images = textured_images(1, backend.spec.input_hw)
            return backend.reconstruct(backend.encode(images), [0]).depth
        finally:
            backend.close()

    return run


def executed_precision(card: WeightsCard, precision: str) -> str:
    """Ask the runtime what it makes of a setting: bf16 is f32 where the CPU has no bf16."""
    settings = {'INFERENCE_PRECISION_HINT': precision}
    compiled = openvino.Core().compile_model(card.verified_file('reconstruct'), 'CPU', settings)
    executed = compiled.get_property('INFERENCE_PRECISION_HINT')
    return 'bf16' if executed == openvino.Type.bf16 else 'f32'


def test_graphs_are_compiled_once_and_a_truncated_cache_is_not_believed(
    first_depth: FirstDepth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))
    depth = first_depth()
    blobs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.blob')}
    assert len(blobs) == 4  # two graphs, for any window and for that of a stream
    np.testing.assert_allclose(first_depth(), depth, rtol=RTOL['f32'])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.blob')} == blobs
    for path in blobs:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    np.testing.assert_allclose(first_depth(), depth, rtol=RTOL['f32'])


def test_graph_kept_for_other_settings_is_not_used(
    first_depth: FirstDepth,
    tiny: WeightsCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))
    first = {}
    for count, settings in enumerate([('f32', 1), ('bf16', 1), ('f32', 2)], start=1):
        first[settings] = first_depth(*settings)
        assert len(list(tmp_path.rglob('*.blob'))) == 4 * count  # its own ones
        assert np.isfinite(first[settings]).all()

    blobs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.blob')}
    executed = {name: executed_precision(tiny, name) for name in RTOL}
    for settings, depth in first.items():
        rtol = RTOL[executed[settings[0]]]
        np.testing.assert_allclose(first_depth(*settings), depth, rtol=rtol)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.blob')} == blobs
    same = np.allclose(first['bf16', 1], first['f32', 1], rtol=RTOL['f32'], atol=0)
    assert same == (executed['bf16'] == executed['f32'])


def test_cache_that_cannot_be_made_is_said_and_does_not_stop_anything(
    first_depth: FirstDepth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / 'file').write_text('in the way')
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path / 'file'))
    assert np.isfinite(first_depth()).all()
    assert 'compiled at each start' in caplog.text


def hole_at(share: float) -> Callable[[Path], None]:
    """Return what zeroes a page of a blob, as a disk does that lost a write."""

    def damage(blob: Path) -> None:
        with blob.open('r+b') as file:
            file.seek(int(share * blob.stat().st_size))
            file.write(bytes(4096))

    return damage


def truncate(blob: Path) -> None:
    blob.write_bytes(blob.read_bytes()[:-4096])


def take_other_hash(blob: Path) -> None:
    blob.with_suffix('.sha256').write_text(f'{"0" * 64}\n')


def lose_hash(blob: Path) -> None:
    blob.with_suffix('.sha256').unlink()


@pytest.mark.parametrize(
    'damage',
    [hole_at(0.2), hole_at(0.5), hole_at(0.9), truncate, take_other_hash, lose_hash],
    ids=['hole-20', 'hole-50', 'hole-90', 'truncated', 'foreign-hash', 'no-hash'],
)
def test_kept_graph_that_differs_from_its_hash_is_compiled_anew_and_named(
    damage: Callable[[Path], None],
    first_depth: FirstDepth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))
    depth = first_depth()
    blob = max(tmp_path.rglob('*.blob'), key=lambda path: path.stat().st_size)
    assert 'compiled anew' not in caplog.text
    blob.chmod(0o600)
    damage(blob)

    np.testing.assert_allclose(first_depth(), depth, rtol=RTOL['f32'])

    assert caplog.text.count('compiled anew') == 1
    assert str(blob) in caplog.text
    assert blob.with_suffix('.sha256').read_text().strip() == sha256_of(blob)
    caplog.clear()
    np.testing.assert_allclose(first_depth(), depth, rtol=RTOL['f32'])
    assert 'compiled anew' not in caplog.text


def test_user_without_a_home_is_told_and_served(
    first_depth: FirstDepth, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ('MOE3D_CACHE', 'XDG_CACHE_HOME', 'HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('os.getuid', lambda: 2**31 - 7)  # in no list of users

    assert np.isfinite(first_depth()).all()

    assert 'MOE3D_CACHE' in caplog.text


def test_reference_is_computed_without_what_was_kept(
    tiny: WeightsCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))

    open_float32(tiny).close()

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('machine', 'capabilities', 'precision'),
    [
        ('x86_64', ['FP32', 'BF16'], 'bf16'),
        ('x86_64', ['FP32'], 'f32'),
        ('aarch64', ['FP32', 'FP16', 'BF16'], 'f32'),
    ],
)
def test_bf16_is_chosen_where_it_was_checked(
    machine: str, capabilities: list[str], precision: str
) -> None:
    from moe3d_engine.backends.openvino_backend import best_precision

    assert best_precision(machine, capabilities) == precision


@pytest.mark.parametrize(
    ('max_isa', 'precision'),
    [('AVX2', 'f32'), ('AVX512_CORE_VNNI', 'f32'), ('AVX512_CORE_AMX', 'bf16'), ('ALL', 'bf16')],
)
def test_bf16_is_not_chosen_where_kernels_are_held_below_it(max_isa: str, precision: str) -> None:
    from moe3d_engine.backends.openvino_backend import best_precision

    assert best_precision('x86_64', ['FP32', 'BF16'], max_isa) == precision
