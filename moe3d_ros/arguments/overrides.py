"""Parameters that the process was given and the node would ignore: refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_ros.arguments.params_file import is_meant
from moe3d_ros.arguments.params_file import read_sections
from moe3d_ros.parameters import undeclared_overrides
from rclpy.node import Node


class _Given(NamedTuple):
    """Names of parameters from one source, for nodes whose names match a pattern."""

    source: str
    pattern: str
    names: frozenset[str]


def check_overrides(node: Node, args: Sequence[str]) -> None:
    """
    Refuse parameters that would be ignored: unknown ones, and those for another node.

    Parameters
    ----------
    node : has declared its parameters.
    args : command line of the process.

    Raises
    ------
    ConfigError
        Names each parameter, where it comes from, and the nearest one that exists.
    """
    node_name = node.get_fully_qualified_name()
    given = list(_given(args))
    ours = [one for one in given if is_meant(one.pattern, node_name)]
    declared = list(node._parameters)
    wrong = [_describe(name, ours, declared) for name in undeclared_overrides(node)]
    used = {one.source for one in ours}
    for source in dict.fromkeys(one.source for one in given if one.source not in used):
        patterns = ', '.join(one.pattern for one in given if one.source == source)
        wrong.append(f'{source} has parameters for {patterns}, and this node is {node_name}')
    if wrong:
        raise ConfigError(f'{"; ".join(wrong)}.')


def _describe(name: str, ours: Sequence[_Given], declared: Sequence[str]) -> str:
    """Say where an unknown parameter comes from and what may have been meant."""
    sources = [one.source for one in ours if name in one.names]
    near = get_close_matches(name, declared, n=1)
    where = f' (in {sources[-1]})' if sources else ''
    meant = f', did you mean {near[0]}?' if near else ''
    return f'there is no parameter {name}{where}{meant}'


def _given(args: Sequence[str]) -> Iterator[_Given]:
    """Yield the parameters that a command line has, and those of the files that it names."""
    is_ros = False
    option = ''
    for word in args:
        if word in ('--ros-args', '--'):
            is_ros = word == '--ros-args'
        elif is_ros and option == '--params-file':
            for pattern, values in read_sections(Path(word)):
                yield _Given(word, pattern, frozenset(values))
        elif is_ros and option in ('-p', '--param'):
            pattern, _, name = word.partition(':=')[0].rpartition(':')
            yield _Given(f'-p {word}', pattern or '**', frozenset([name]))
        option = word
