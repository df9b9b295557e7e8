"""From serialized messages to objects, by the definition that a bag holds or the one of ROS 2."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from typing import TypeAlias

from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import quoted
from rosbags.serde import SerdeError
from rosbags.typesys import get_types_from_idl
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

CDR = 'cdr'
MSG, IDL, UNDEFINED = ('ros2msg',), ('ros2idl', 'omgidl'), ('',)  # formats of definitions
_SEPARATOR = '=' * 80 + '\n'

Decoder: TypeAlias = Callable[[bytes], Message]


@lru_cache(maxsize=128)
def decoder_of(type_name: str, definition_format: str, definition: str) -> Decoder:
    """
    Return what makes objects of the serialized messages of a type; it raises InputError.

    Parameters
    ----------
    type_name : such as `sensor_msgs/msg/Image`.
    definition_format, definition : as the bag says; empty = the one of the latest ROS 2.

    Raises
    ------
    InputError
        If the type is not known, or its definition cannot be read.
    """
    if definition_format in UNDEFINED or not definition:
        store = get_typestore(Stores.LATEST)
    else:
        store = get_typestore(Stores.EMPTY)
        try:
            store.register(_types(type_name, definition_format, definition))
        except Exception as error:  # the parser raises errors of all kinds
            why = quoted(str(error))  # it repeats the definition
            raise InputError(f'the definition of {type_name} cannot be read: {why}') from error
    if type_name not in store.fielddefs:
        raise InputError(f'the type {type_name} is not known, and the bag does not define it')

    def decode(data: bytes) -> Message:
        try:
            return store.deserialize_cdr(data, type_name)
        except (SerdeError, LookupError, TypeError, OverflowError, MemoryError) as error:
            raise InputError(f'its {len(data)} bytes are no whole {type_name}') from error

    return decode


def _types(type_name: str, definition_format: str, definition: str) -> dict[str, Any]:
    """Return what rosbags registers for a definition."""
    types: dict[str, Any] = {}
    if definition_format in MSG:
        types.update(get_types_from_msg(definition, type_name))
        return types
    for part in filter(None, definition.split(_SEPARATOR)):  # IDL: <name>, then its text
        head, _, text = part.partition('\n')
        types.update(get_types_from_idl(text if head.startswith('IDL: ') else part))
    return types
