"""The classes of installed message types; only packages that ROS has generated are imported."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
import re
from typing import Any
from typing import TypeAlias

from moe3d_engine.errors import InputError

MessageClass: TypeAlias = type[Any]

_TYPE = re.compile(r'([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)')
_WORD = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])')


def message_class(type_name: str) -> MessageClass:
    """
    Return the class of a message type such as `sensor_msgs/msg/Image`.

    The name may come from a bag, so it is not trusted: a package is imported only if it lies there
    as the generators of ROS write it.

    Raises
    ------
    InputError
        If the name is no message type, or its package is not installed.
    """
    form = _TYPE.fullmatch(type_name)
    if form is None:
        raise InputError(
            f'{type_name!r} is no message type; expected is package/msg/Name as in '
            f'sensor_msgs/msg/Image.'
        )
    package, name = form.groups()
    if not _is_generated(package, name):
        raise InputError(
            f'The message type {type_name} is not installed: there is no package {package} of '
            f'ROS 2 messages with it. Install it, and source its setup file.'
        )
    try:
        found: MessageClass = getattr(import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f'The message type {type_name} is not installed: {error}.') from error
    if not hasattr(found, 'get_fields_and_field_types'):
        raise InputError(f'{type_name} is no message type of ROS 2, though it has such a name.')
    return found


def _is_generated(package: str, name: str) -> bool:
    """Return whether a package has the module of a message; nothing of it is imported."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    folders = spec.submodule_search_locations if spec is not None else None
    module = f'_{_WORD.sub("_", name).lower()}.py'
    return any((Path(folder) / 'msg' / module).is_file() for folder in folders or ())
