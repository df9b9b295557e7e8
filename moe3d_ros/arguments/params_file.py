"""What a ROS parameter file says of the node, for those who start it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_ros.parameter_table import ParameterValue


def read_params_file(path: Path, node: str) -> dict[str, ParameterValue]:
    """
    Return the parameters that a file sets for a node, by their full names.

    Parameters
    ----------
    path : YAML file of nodes with `ros__parameters`.
    node : the node's name in the graph, such as `/rig/moe3d`.

    Raises
    ------
    ConfigError
        If there is no such file, or it is no parameter file.
    """
    values: dict[str, ParameterValue] = {}
    for pattern, parameters in read_sections(path):
        if is_meant(pattern, node):
            values |= parameters
    return values


def read_sections(path: Path) -> list[tuple[str, dict[str, ParameterValue]]]:
    """
    Return the node names of a file, as it writes them, each with its parameters by full names.

    Raises
    ------
    ConfigError
        If there is no such file, or it is no parameter file.
    """
    import yaml

    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(f'The parameter file {path} cannot be read: {reason}') from error
    if not isinstance(tree, dict):
        raise ConfigError(
            f'{path} is no parameter file: expected is `/**: ros__parameters:` with parameters '
            f'below, as in config/reconstruct.yaml.'
        )
    return [(name, dict(_flat(parameters, ''))) for name, parameters in _nodes(tree, '')]


def is_meant(pattern: str, node: str) -> bool:
    """Return whether a name of a file means the node; `*` is a token, `**` any number of them."""
    wildcards = {'*': '/[^/]+', '**': '(/[^/]+)*'}
    tokens = pattern.strip('/').split('/')
    expression = ''.join(wildcards.get(token, f'/{re.escape(token)}') for token in tokens)
    return re.fullmatch(expression, f'/{node.strip("/")}') is not None


def _nodes(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the node names of a file and what it sets for them; names may be nested."""
    for key, value in tree.items():
        if key == 'ros__parameters' and isinstance(value, dict):
            yield prefix, value
        elif isinstance(value, dict):
            yield from _nodes(value, f'{prefix}/{str(key).strip("/")}')


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, ParameterValue]]:
    """Yield parameters by their full names, with dots between."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
