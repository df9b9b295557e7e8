"""The card that travels with a set of weights: what they are, and where their files lie."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
import hashlib
import json
from pathlib import Path
import re
from typing import Any

from moe3d_engine.backend import NetworkSpec
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError

SHIPPED_FOLDER = Path(__file__).parent
ENCODER, DECODER = 'image_encoder', 'reconstruct'
GRAPHS = (ENCODER, DECODER)  # of every network
CAMERAS = 'cameras'  # one more, of a network that sweeps
FILE_ROLES = ('weights', *GRAPHS)
_BLOCK_BYTES = 1 << 20
_CONFIG_NUMBERS = ('agree_tau', 'confidence_tau', 'gate_temperature')
_CONFIG_KEYS = ('likelihood', *_CONFIG_NUMBERS)
_KIND_NAMES = {bool: 'true or false', str: 'a text', Mapping: 'an object'}
_KINDS = {
    'metric': bool,
    'licence': str,
    'config': Mapping,
    'files': Mapping,
    'training': Mapping,
}
_NAME = re.compile(r'[A-Za-z0-9][\w.+-]{0,99}', re.ASCII)
_SHA256 = re.compile('[0-9a-f]{64}')
_NO_CARD = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """
    One file of a set of weights.

    Parameters
    ----------
    name : file name, in the folder of the card.
    sha256 : hash of its content, as hexadecimal digits.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class WeightsCard:
    """
    What is known of a set of weights without opening them.

    Parameters
    ----------
    name : name of the weights, such as `moe3d-small`; also of their folder in the cache.
    input_hw : (H, W) of the network's input and of its depth, in pixels.
    max_views : most views that one call may hold.
    metric : whether depth and translations are in metres.
    config : every field of the network's ModelConfig, with the likelihood, both tolerances and
        the temperature of the gate.
    files : the file of each role: `weights` (safetensors, 16 bit), and the ONNX graphs
        `image_encoder`, `reconstruct` and, if the network sweeps, `cameras`. Further precisions of
        a graph have roles such as `reconstruct.fp16`; weights beside a graph of more than 2 GB,
        `reconstruct.data`; what the network computes for a small window, `reference`.
    training : how the weights came about: command, seed, data, held-out figures.
    licence : SPDX identifier of the weights' licence.
    folder : where the files lie; not part of the JSON.

    Raises
    ------
    CheckpointError
        If a role has no file, or `config` lacks what decides the meaning of the outputs.
    """

    name: str
    input_hw: tuple[int, int]
    max_views: int
    metric: bool
    config: Mapping[str, Any]
    files: Mapping[str, WeightsFile]
    training: Mapping[str, Any]
    licence: str
    folder: Path

    def __post_init__(self) -> None:
        """Check that nothing is missing."""
        roles = dict.fromkeys((*FILE_ROLES, *self.graphs))
        missing = [f'files.{role}' for role in roles if role not in self.files]
        missing += [f'config.{key}' for key in _CONFIG_KEYS if key not in self.config]
        if missing:
            raise CheckpointError(
                f'The card of {self.name} lacks {", ".join(missing)}. Export the weights again '
                'with `moe3d export`.'
            )

    @property
    def graphs(self) -> tuple[str, ...]:
        """Return the roles of the graphs, in the order in which they first run."""
        return (ENCODER, CAMERAS, DECODER) if self.config.get('sweep', False) else GRAPHS

    @property
    def spec(self) -> NetworkSpec:
        """Return what a caller of a backend must know."""
        return NetworkSpec(
            name=self.name,
            input_hw=self.input_hw,
            max_views=self.max_views,
            metric=self.metric,
            confidence_tau=float(self.config['confidence_tau']),
            sweeps=bool(self.config.get('sweep', False)),
        )

    def verified_file(self, role: str) -> Path:
        """
        Return the path of the file of `role` after checking its hash.

        Raises
        ------
        CheckpointError
            If the file is missing or differs from the one that was exported.
        """
        expected = self.files[role]
        path = self.folder / expected.name
        if not path.is_file():
            raise CheckpointError(
                f'The weights {self.name} lack the file {path}. Reinstall the package, or copy '
                'the whole folder that `moe3d export` wrote.'
            )
        found = sha256_of(path)
        if found != expected.sha256:
            raise CheckpointError(
                f'{path} is corrupt or belongs to other weights: its sha256 is {found[:12]}..., '
                f'its card says {expected.sha256[:12]}.... Reinstall the package, or export the '
                'weights again with `moe3d export`.'
            )
        if f'{role}.data' in self.files:  # weights that lie beside a large graph
            self.verified_file(f'{role}.data')
        return path

    def write(self) -> Path:
        """Write the card as `<name>.json` beside its files and return its path."""
        content = asdict(self)
        del content['folder']
        path = self.folder / f'{self.name}.json'
        path.write_text(json.dumps(content, indent=2) + '\n')
        return path


def check_name(name: str) -> None:
    """
    Check a name for weights, which also names files and a folder.

    Raises
    ------
    ConfigError
        If it has other characters than a file name needs.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f'A name of weights has letters, digits and . _ + -, a letter or digit first, and at '
            f'most 100 of them; got {name!r}.'
        )


def _check_fields(card: Mapping[str, Any]) -> None:
    """Raise ValueError with what cannot be right in a card; JSON may hold anything."""
    for wrong in _wrong_fields(card):
        raise ValueError(wrong)


def _wrong_fields(card: Mapping[str, Any]) -> Iterator[str]:
    """Say which fields of a card cannot be right."""
    if not (isinstance(card['name'], str) and _NAME.fullmatch(card['name'])):
        yield 'name has letters, digits and . _ + -, a letter or digit first'
    if not (len(card['input_hw']) == 2 and all(map(_is_count, card['input_hw']))):
        yield f'input_hw is height and width in pixels; got {card["input_hw"]!r:.80}'
    if not _is_count(card['max_views']):
        yield f'max_views is a number from 1 on; got {card["max_views"]!r:.80}'
    for field, kind in _KINDS.items():
        if not isinstance(card[field], kind):
            yield f'{field} is {_KIND_NAMES[kind]}; got {card[field]!r:.80}'
            return
    if type(card['config'].get('sweep', False)) is not bool:
        yield f'config.sweep is true or false; got {card["config"]["sweep"]!r:.80}'
    for key in _CONFIG_NUMBERS:
        number = card['config'].get(key, 1.0)
        if type(number) not in (int, float) or not 0 < number < 1e9:
            yield f'config.{key} is a number above 0; got {number!r:.80}'
    for role, file in card['files'].items():
        if not (isinstance(file.name, str) and _is_file_name(file.name)):
            yield f'files.{role} lies in the folder of the card; got {file.name!r:.120}'
        if not (isinstance(file.sha256, str) and _SHA256.fullmatch(file.sha256)):
            yield f'the sha256 of files.{role} has 64 hexadecimal digits; got {file.sha256!r:.80}'


def _is_count(value: object) -> bool:
    """Return whether a value is a whole number from 1 on."""
    return type(value) is int and value >= 1


def _is_file_name(name: str) -> bool:
    """Return whether a name stays in its folder."""
    return name not in ('', '.', '..') and not {'/', '\\', '\0'} & set(name)


def sha256_of(*paths: Path) -> str:
    """Return the sha256 of files, one behind the other, as hexadecimal digits; read in blocks."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open('rb') as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def read_card(path: Path) -> WeightsCard:
    """
    Read a card; its files are checked when they are opened.

    Raises
    ------
    CheckpointError
        If the file is missing or is no card: a field is of a wrong type, or a file of the weights
        lies outside of the card's folder.
    """
    if not path.is_file():
        raise CheckpointError(f'There is no card {path}. Write one with `moe3d export`.')
    try:
        content = json.loads(path.read_bytes())
        content['input_hw'] = tuple(content['input_hw'])
        content['files'] = {r: WeightsFile(**file) for r, file in content['files'].items()}
        _check_fields(content)
        return WeightsCard(**content, folder=path.parent)
    except (OSError, *_NO_CARD) as error:
        expected = ', '.join(f.name for f in fields(WeightsCard) if f.name != 'folder')
        raise CheckpointError(
            f'{path} is no card of weights ({error!s:.200}); a card is JSON with {expected}. '
            'Write one with `moe3d export`.'
        ) from error


def find_weights(name_or_path: str) -> WeightsCard:
    """
    Return the card of shipped weights by name, or of any weights by the path of their card.

    Parameters
    ----------
    name_or_path : such as `moe3d-small` or `/data/mine.json`.

    Raises
    ------
    ConfigError
        If no weights of this name are shipped.
    CheckpointError
        If the card cannot be read.
    """
    if name_or_path.endswith('.json'):
        return read_card(Path(name_or_path))
    shipped = sorted(path.stem for path in SHIPPED_FOLDER.glob('*.json'))
    if name_or_path not in shipped:
        raise ConfigError(
            f'There are no weights named {name_or_path!r}; shipped are: '
            f'{", ".join(shipped) or "none"}. Give one of these, or the path of a card (.json).'
        )
    return read_card(SHIPPED_FOLDER / f'{name_or_path}.json')
