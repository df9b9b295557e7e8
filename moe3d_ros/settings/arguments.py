"""What ROS is given by command line and environment: nothing is ignored, errors are one line."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from difflib import get_close_matches
import os
from pathlib import Path
import re

from moe3d_engine.errors import ConfigError
from moe3d_ros.settings.file import read_sections
from moe3d_ros.settings.file import Section
from moe3d_ros.settings.parameters import undeclared_overrides
from rclpy.exceptions import NameValidationException
from rclpy.exceptions import ParameterException
from rclpy.node import Node

MAX_DOMAIN_ID = 232  # beyond it DDS has no ports


@contextmanager
def ros_errors_in_one_line() -> Iterator[None]:
    """
    Turn what rclpy raises about its arguments and its environment into an error for a person.

    Raises
    ------
    ConfigError
        If ROS_DOMAIN_ID is none, an argument or a file of parameters cannot be parsed, the log
        cannot be written, or a name of a topic or node is not valid.
    """
    domain = os.environ.get('ROS_DOMAIN_ID') or '0'
    if not re.fullmatch('[0-9]{1,3}', domain) or int(domain) > MAX_DOMAIN_ID:
        raise ConfigError(
            f'ROS_DOMAIN_ID is a number from 0 to {MAX_DOMAIN_ID}; got {domain[:40]!r}.'
        )
    try:
        yield
    except (NameValidationException, ParameterException) as error:
        raise ConfigError(' '.join(str(error).split())) from error
    except RuntimeError as error:
        if not type(error).__module__.startswith('rclpy.'):
            raise
        text = re.sub(r',? at [^ ]+\.[ch]p*:\d+', '', str(error))  # places in the sources of ROS
        advice = ' Set ROS_LOG_DIR to a folder that can be written.' if 'logging' in text else ''
        raise ConfigError(f'ROS says: {" ".join(text.split())}.{advice}') from error


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
    sections = list(_sections(args))
    ours = [section for section in sections if section.is_for(node_name)]
    declared = list(node._parameters)
    wrong = [_describe(name, ours, declared) for name in undeclared_overrides(node)]
    for source in dict.fromkeys(section.source for section in sections):
        of_source = [section for section in sections if section.source == source]
        if not any(section.is_for(node_name) for section in of_source):
            names = ', '.join(section.pattern for section in of_source)
            wrong.append(f'{source} has parameters for {names}, and this node is {node_name}')
    if wrong:
        raise ConfigError(f'{"; ".join(wrong)}.')


def _describe(name: str, sections: Sequence[Section], declared: Sequence[str]) -> str:
    """Say where an unknown parameter comes from and what may have been meant."""
    sources = [section.source for section in sections if name in section.values]
    near = get_close_matches(name, declared, n=1)
    where = f' (in {sources[-1]})' if sources else ''
    meant = f', did you mean {near[0]}?' if near else ''
    return f'there is no parameter {name}{where}{meant}'


def _sections(args: Sequence[str]) -> Iterator[Section]:
    """Yield the parameters that a command line has, and those of the files that it names."""
    is_ros = False
    option = ''
    for word in args:
        if word in ('--ros-args', '--'):
            is_ros = word == '--ros-args'
        elif is_ros and option == '--params-file':
            yield from read_sections(Path(word))
        elif is_ros and option in ('-p', '--param'):
            target, _, value = word.partition(':=')
            pattern, _, name = target.rpartition(':')
            yield Section(f'-p {word}', pattern or '**', {name: value})
        option = word
