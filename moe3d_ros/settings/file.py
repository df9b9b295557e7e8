"""What a ROS parameter file says of the node."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
import re
from typing import NamedTuple

from moe3d_engine.errors import ConfigError
import yaml


class Section(NamedTuple):
    """What a file or a command line sets for the nodes whose names match a pattern."""

    source: str
    pattern: str  # such as `/**` or `/rig/moe3d`
    values: Mapping[str, object]  # by full names, with dots between

    def is_for(self, node: str) -> bool:
        """Return whether a node's name in the graph matches; `*` is a token, `**` are any."""
        parts = {'*': r'/\w+', '**': r'(/\w+)*'}
        tokens = self.pattern.strip('/').split('/')
        regex = ''.join(parts.get(token, f'/{re.escape(token)}') for token in tokens)
        return re.fullmatch(regex, node) is not None


def read_sections(path: Path) -> list[Section]:
    """
    Return the sections of a parameter file, in its order.

    Raises
    ------
    ConfigError
        If there is no such file, or it is no parameter file.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
        if isinstance(content, Mapping):
            return list(_sections(str(path), '', content))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())  # PyYAML's has several lines
        raise ConfigError(f'The parameter file {path} cannot be read: {reason}') from error
    except RecursionError as error:
        raise ConfigError(
            f'The parameter file {path} cannot be read: it is nested too deep, or contains itself '
            f'by an alias.'
        ) from error
    raise ConfigError(
        f'{path} is no parameter file: expected is `/**: ros__parameters:` with parameters '
        f'below, as in config/reconstruct.yaml.'
    )


def read_params_file(path: Path, node: str) -> dict[str, object]:
    """
    Return the parameters that a file sets for a node, by their full names.

    Parameters
    ----------
    path : YAML file of nodes with `ros__parameters`.
    node : the node's name in the graph, such as `/rig/moe3d`.

    Raises
    ------
    ConfigError
        See read_sections.
    """
    values: dict[str, object] = {}
    for section in read_sections(path):
        if section.is_for(node):
            values |= section.values
    return values


def _sections(source: str, prefix: str, content: Mapping[str, object]) -> Iterator[Section]:
    """Yield what is under `ros__parameters`, at any depth of namespaces."""
    for key, value in content.items():
        if not isinstance(value, Mapping):
            continue
        if key == 'ros__parameters':
            yield Section(source, prefix or '/', dict(_flat('', value)))
        else:
            yield from _sections(source, f'{prefix}/{str(key).strip("/")}', value)


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield parameters by their full names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f'{prefix}{key}.', value)
        else:
            yield f'{prefix}{key}', value
