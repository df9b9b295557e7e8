"""Compiled graphs are kept on disk, and a damaged or impossible cache does no harm."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.assets import find_weights
from moe3d_engine.backends.openvino_backend import open_openvino
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.types import Float32Array
import numpy as np
import pytest


def first_depth(precision: str = 'f32', threads: int = 1) -> Float32Array:
    backend = open_openvino(find_weights('moe3d-small'), threads=threads, precision=precision)
    try:
        images = textured_images(1, backend.spec.input_hw)
        return backend.reconstruct(backend.encode(images), [0]).depth
    finally:
        backend.close()


def test_graphs_are_compiled_once_and_a_truncated_cache_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))
    depth = first_depth()
    blobs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.blob')}
    assert len(blobs) == 2
    np.testing.assert_array_equal(first_depth(), depth)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.blob')} == blobs
    for path in blobs:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    np.testing.assert_array_equal(first_depth(), depth)


def test_graph_kept_for_other_settings_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))
    first = {settings: first_depth(*settings) for settings in [('f32', 1), ('bf16', 1)]}
    assert len(list(tmp_path.rglob('*.blob'))) == 4
    first_depth('f32', 2)
    assert len(list(tmp_path.rglob('*.blob'))) == 6
    for settings, depth in first.items():
        np.testing.assert_array_equal(first_depth(*settings), depth)
    assert np.isfinite(first['bf16', 1]).all()
    assert not np.array_equal(first['f32', 1], first['bf16', 1])


def test_cache_that_cannot_be_made_is_said_and_does_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / 'file').write_text('in the way')
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path / 'file'))
    assert np.isfinite(first_depth()).all()
    assert 'compiled at each start' in caplog.text


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
