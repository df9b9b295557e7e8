"""What the files of a bag have in common, whatever their format."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from typing import Protocol


class Channel(NamedTuple):
    """A topic as one file declares it; texts that are not there are empty."""

    topic: str
    type: str
    encoding: str  # of its messages; 'cdr' is ROS 2's
    schema: str  # in which its type is defined: 'ros2msg', 'ros2idl'
    qos: str  # YAML, what its publishers offered


class Row(NamedTuple):
    """A message in a file."""

    log_ns: int
    channel: int
    data: bytes


class Storage(Protocol):
    """A file of a bag. What is damaged in it is left out and reported, not raised."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def channels(self) -> Mapping[int, Channel]:
        """The topics by their number in the file."""
        ...

    @property
    def counts(self) -> Mapping[int, int]:
        """How many messages there are by channel."""
        ...

    def rows(self, wanted: Collection[int]) -> Iterator[Row]:
        """Yield the messages of some channels in the order of their log times."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
