"""The card says what the weights are, without opening them."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import FILE_ROLES
from moe3d_engine.assets.card import WeightsFile
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
import pytest


def make_card(folder: Path, **changes: object) -> WeightsCard:
    """Return a card whose files do not exist."""
    values: dict[str, Any] = {
        'name': 'mine',
        'input_hw': (144, 192),
        'max_views': 4,
        'metric': True,
        'config': {
            'likelihood': 'laplace',
            'agree_tau': 0.05,
            'confidence_tau': 0.03,
            'gate_temperature': 1.0,
        },
        'files': {role: WeightsFile(f'mine.{role}', '0' * 64) for role in FILE_ROLES},
        'training': {'command': 'moe3d train', 'seed': 0},
        'licence': 'Apache-2.0',
        'folder': folder,
    }
    return WeightsCard(**values | changes)


def test_card_written_then_found_is_the_same(tmp_path: Path) -> None:
    card = make_card(tmp_path)

    assert find_weights(str(card.write())) == card


def test_spec_carries_the_tolerance_of_the_confidence(tmp_path: Path) -> None:
    assert make_card(tmp_path).spec.confidence_tau == 0.03


def test_card_without_a_file_or_tolerance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'files\.weights.*config\.agree_tau'):
        make_card(tmp_path, files={}, config={})


def test_json_does_not_name_folders(tmp_path: Path) -> None:
    assert str(tmp_path) not in make_card(tmp_path).write().read_text()


@pytest.mark.parametrize('content', ['', '[]', '{}', '{"name": "mine"}', '\x00'])
def test_file_that_is_no_card_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / 'mine.json'
    path.write_text(content)

    with pytest.raises(CheckpointError, match='is no card'):
        find_weights(str(path))


def test_unknown_field_is_refused(tmp_path: Path) -> None:
    path = make_card(tmp_path).write()
    path.write_text(json.dumps(json.loads(path.read_text()) | {'colour': 'red'}))

    with pytest.raises(CheckpointError, match='colour'):
        find_weights(str(path))


def test_missing_card_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='moe3d export'):
        find_weights(str(tmp_path / 'none.json'))


def test_unknown_name_lists_the_shipped_weights() -> None:
    with pytest.raises(ConfigError, match=r"named 'moe3d-huge'; shipped are: "):
        find_weights('moe3d-huge')


def test_reading_a_card_loads_no_runtime(tmp_path: Path) -> None:
    path = make_card(tmp_path).write()
    code = (
        'import sys; from moe3d_engine.assets import find_weights; '
        f'find_weights({str(path)!r}); '
        "assert not {'torch', 'openvino', 'onnx', 'safetensors'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, '-c', code], check=True)
