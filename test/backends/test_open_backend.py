"""Backends are opened by name, and what cannot be opened says what to do."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path
import shutil
import sys
from typing import Any

from moe3d_engine.backends.open import open_backend
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
import pytest

World = Any  # of tensorrt_double.py, which is loaded by conftest.py
WritePlans = Callable[..., Path]


@pytest.fixture
def copied_card(tiny_card: Path, tmp_path: Path) -> Path:
    """Copy the tiny weights to a folder that a test may damage."""
    shutil.copytree(tiny_card.parent, tmp_path / 'weights')
    return tmp_path / 'weights' / tiny_card.name


def test_auto_prefers_openvino_and_logs_its_choice(
    tiny_card: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip('openvino')
    with caplog.at_level(logging.INFO, logger='moe3d_engine'):
        backend = open_backend('auto', str(tiny_card))
    backend.close()

    assert backend.name == 'openvino'
    assert 'openvino' in caplog.text


def test_auto_takes_torch_where_openvino_is_not_installed(
    tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        'moe3d_engine.backends.open.find_spec', lambda name: name if name == 'torch' else None
    )

    backend = open_backend('auto', str(tiny_card))

    backend.close()
    assert backend.name == 'torch'


def test_auto_without_any_runtime_says_what_to_install(
    tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('moe3d_engine.backends.open.find_spec', lambda name: None)

    with pytest.raises(BackendError, match='pip install openvino'):
        open_backend('auto', str(tiny_card))


@pytest.mark.parametrize('name', ['openvino', 'torch'])
def test_missing_runtime_says_what_to_install(
    name: str, tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # import now fails

    with pytest.raises(BackendError, match=f'pip install {name}'):
        open_backend(name, str(tiny_card))


def test_auto_takes_the_gpu_where_there_are_plans(
    world: World, tiny_card: Path, write_plans: WritePlans, caplog: pytest.LogCaptureFixture
) -> None:
    write_plans()

    with caplog.at_level(logging.INFO, logger='moe3d_engine'):
        backend = open_backend('auto', str(tiny_card))
    backend.close()

    assert backend.name == 'tensorrt'
    assert 'on the backend tensorrt (asked for: auto)' in caplog.text


def test_auto_says_why_a_gpu_is_not_used(
    world: World, tiny_card: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = open_backend('auto', str(tiny_card))
    backend.close()

    assert backend.name == 'openvino'
    (record,) = (record for record in caplog.records if record.levelname == 'WARNING')
    assert 'runs on the CPU, not on the Double: There are no plans' in record.getMessage()
    assert '`moe3d build' in record.getMessage()


def test_auto_does_not_use_plans_that_compute_something_else(
    world: World, tiny_card: Path, write_plans: WritePlans, caplog: pytest.LogCaptureFixture
) -> None:
    write_plans()
    world.distort = lambda plan, outputs: [values.fill(1) for values in outputs.values()]

    backend = open_backend('auto', str(tiny_card))
    backend.close()

    assert backend.name == 'openvino'
    assert 'must not be used' in caplog.text
    assert world.cuda.in_use() == 0


def test_auto_without_a_gpu_says_so(
    world: World,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr('moe3d_engine.backends.open.current_gpu', lambda: None)

    with caplog.at_level(logging.INFO, logger='moe3d_engine'):
        backend = open_backend('auto', str(tiny_card))
    backend.close()

    assert backend.name == 'openvino'
    assert 'no NVIDIA GPU to be seen: tiny runs on the CPU' in caplog.text


def test_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match='auto, openvino, torch, tensorrt'):
        open_backend('onnxruntime')


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match='threads=0'):
        open_backend('auto', threads=0)


def test_unknown_precision_lists_the_known_ones(tiny_card: Path) -> None:
    from moe3d_engine.assets import find_weights
    from moe3d_engine.backends.openvino_backend import open_openvino

    with pytest.raises(ConfigError, match='auto, f32, bf16'):
        open_openvino(find_weights(str(tiny_card)), precision='fp8')


@pytest.mark.parametrize(
    ('name', 'file'), [('openvino', 'tiny.reconstruct.onnx'), ('torch', 'tiny.safetensors')]
)
def test_missing_file_is_named(name: str, file: str, copied_card: Path) -> None:
    (copied_card.parent / file).unlink()

    with pytest.raises(CheckpointError, match=f'lack the file .*{file}'):
        open_backend(name, str(copied_card))


@pytest.mark.parametrize(
    ('name', 'file'), [('openvino', 'tiny.image_encoder.onnx'), ('torch', 'tiny.safetensors')]
)
def test_damaged_file_is_refused(name: str, file: str, copied_card: Path) -> None:
    path = copied_card.parent / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=f'{file} is corrupt'):
        open_backend(name, str(copied_card))


def test_graph_that_openvino_cannot_read_is_an_error_of_the_backend(copied_card: Path) -> None:
    pytest.importorskip('openvino')
    from moe3d_engine.assets.card import sha256_of

    path = copied_card.parent / 'tiny.reconstruct.onnx'
    before = sha256_of(path)
    path.write_bytes(b'no graph')
    copied_card.write_text(copied_card.read_text().replace(before, sha256_of(path)))

    with pytest.raises(BackendError, match='cannot compile'):
        open_backend('openvino', str(copied_card))
