"""The card says what the weights are, without opening them."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import check_name
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


def write_changed(folder: Path, path: str, value: object) -> Path:
    """Write a card in which one value, named by keys with / between, is another one."""
    card = make_card(folder).write()
    content = json.loads(card.read_text())
    *above, key = path.split('/')
    place = content
    for name in above:
        place = place[name]
    place[key] = value
    card.write_text(json.dumps(content))
    return card


NUMBERS = [None, True, -1, 0, 1e400, float('nan'), 10**400, '1', [], {}]
OBJECTS = [None, True, 1.5, 'x', [], [1]]
WRONG = {
    'name': [None, True, 1, '', [], {}],
    'input_hw': [
        None,
        True,
        1,
        'xy',
        [],
        [14],
        [14, 28, 42],
        [14, 0],
        [14, 2.5],
        [True, True],
        {},
    ],
    'max_views': [None, True, 0, -1, 1.5, '4', [], {}],
    'metric': [None, 0, 1, 'true', [], {}],
    'config': [*OBJECTS, {}],
    'config/agree_tau': NUMBERS,
    'config/confidence_tau': NUMBERS,
    'config/gate_temperature': NUMBERS,
    'files': [*OBJECTS, {}, {'weights': {}}],
    'files/weights': [*OBJECTS, {}, {'name': 'x'}],
    'files/weights/name': [None, True, 1, '', [], {}],
    'files/weights/sha256': [None, True, 1, '', 'x' * 64, 'A' * 64, [], {}],
    'training': OBJECTS,
    'licence': [None, 1, [], {}],
}


@pytest.mark.parametrize(
    ('path', 'value'), [(path, value) for path, values in WRONG.items() for value in values]
)
def test_wrong_type_anywhere_in_a_card_is_one_sentence(
    path: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as caught:
        find_weights(str(write_changed(tmp_path, path, value)))

    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize('name', ['../x.onnx', '/etc/passwd', 'a/b', '..', '.', 'a\\b', 'a\0b'])
def test_file_outside_the_folder_of_the_card_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'files\.reconstruct lies in the folder'):
        find_weights(str(write_changed(tmp_path, 'files/reconstruct/name', name)))


@pytest.mark.parametrize('name', ['../../home', '/tmp/x', '..', '.hidden', 'a b', 'a' * 101, 'ä'])
def test_name_that_could_lead_out_of_the_cache_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='name has letters'):
        find_weights(str(write_changed(tmp_path, 'name', name)))
    with pytest.raises(ConfigError, match='name of weights'):
        check_name(name)


@pytest.mark.parametrize('content', ['[' * 100_000, '{"a":' * 100_000, '9' * 10_000])
def test_json_that_no_parser_takes_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / 'mine.json').write_text(content)

    with pytest.raises(CheckpointError, match='is no card'):
        find_weights(str(tmp_path / 'mine.json'))
