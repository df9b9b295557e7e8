"""
From serialized messages to objects.

Messages are read by the definitions of ROS 2 itself, which all distributions share for what the
engine reads; a definition in a bag is not needed, and not trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import Message
from rosbags.serde import SerdeError
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

Decoder: TypeAlias = Callable[[bytes], Message]


@lru_cache(maxsize=128)
def decoder_of(type_name: str) -> Decoder:
    """
    Return what makes objects of the serialized messages of a type; it raises InputError.

    Parameters
    ----------
    type_name : such as `sensor_msgs/msg/Image`.

    Raises
    ------
    InputError
        If the type is none of the latest ROS 2.
    """
    store = get_typestore(Stores.LATEST)
    if type_name not in store.fielddefs:
        raise InputError(f'Messages of the type {type_name} cannot be read: it is not known.')

    def decode(data: bytes) -> Message:
        try:
            return store.deserialize_cdr(data, type_name)
        except (SerdeError, LookupError, TypeError, OverflowError, MemoryError) as error:
            raise InputError(f'its {len(data)} bytes are no whole {type_name}') from error

    return decode
