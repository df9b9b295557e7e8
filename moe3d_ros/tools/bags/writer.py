"""Write new MCAP bags."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import Message
from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

_FOREVER = QosTime(9223372036, 854775807)


class BagWriter:
    """
    Writes a new MCAP bag.

    Parameters
    ----------
    path : folder of the bag; it must not exist, its parents may.

    Raises
    ------
    InputError
        If the folder exists.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise InputError(f'The bag {path} exists already. Remove it or name another.')
        self._typestore = _typestore()
        self._writer: Writer | None = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Connection] = {}

    def knows_type(self, type_name: str) -> bool:
        """Return whether messages of this type can be written."""
        return type_name in self._typestore.fielddefs

    def add_topic(self, name: str, type_name: str, qos: OfferedQos) -> None:
        """Announce a topic and the QoS that its publishers offer."""
        assert self._writer is not None
        self._connections[name] = self._writer.add_connection(
            name, type_name, typestore=self._typestore, offered_qos_profiles=[_to_bag_qos(qos)]
        )

    def write(self, topic: str, log_ns: int, data: bytes) -> None:
        """Append a serialized message of an announced topic."""
        assert self._writer is not None
        self._writer.write(self._connections[topic], log_ns, data)

    def serialize(self, message: Message, type_name: str) -> bytes:
        """Serialize a message object made of `self.types`."""
        return bytes(self._typestore.serialize_cdr(message, type_name))

    @property
    def types(self) -> Mapping[str, Message]:
        """The message classes by type name."""
        types: Mapping[str, Message] = self._typestore.types
        return types

    def close(self) -> None:
        """Finish the bag; a second call does nothing."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


@lru_cache(maxsize=1)
def _typestore() -> Typestore:
    """Return the types of ROS 2; a store compiles a serializer for each type that it has met."""
    return get_typestore(Stores.LATEST)


def _to_bag_qos(qos: OfferedQos) -> Qos:
    """Return the profile that the bag's metadata hold."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=qos.depth,
        reliability=QosReliability.RELIABLE if qos.reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL
        if qos.transient_local
        else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )
