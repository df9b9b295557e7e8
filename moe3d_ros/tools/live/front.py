"""The front of a serialized message: header, size and encoding, without decoding what is large."""

from __future__ import annotations

import struct
from typing import NamedTuple

from moe3d_engine.errors import InputError
from moe3d_ros.tools.consumers.facts import CAMERA_INFO
from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import IMAGE

ENCAPSULATION_BYTES = 4


class Front(NamedTuple):
    """Stamp in ns, frame, (width, height) and encoding, as far as a type has them."""

    stamp_ns: int
    frame: str
    size: tuple[int, int] | None
    encoding: str


def read_front(data: bytes, type_name: str) -> Front:
    """
    Read the front of an image, a camera_info or a cloud, or the header of another message.

    Parameters
    ----------
    data : CDR, as the middleware hands it over raw.
    type_name : such as `sensor_msgs/msg/Image`; its first field must be a header.

    Raises
    ------
    InputError
        If the data end too early.
    """
    order = '<' if data[1:2] == b'\1' else '>'
    try:
        sec, nanosec = struct.unpack_from(f'{order}iI', data, ENCAPSULATION_BYTES)
        frame, end = _text(data, ENCAPSULATION_BYTES + 8, order)
        size, encoding = None, ''
        if type_name in (IMAGE, CAMERA_INFO, CLOUD):
            end += -(end - ENCAPSULATION_BYTES) % 4
            height, width = struct.unpack_from(f'{order}II', data, end)
            size = width, height
            if type_name == IMAGE:
                encoding, _ = _text(data, end + 8, order)
    except struct.error as error:
        raise InputError(f'A {type_name} of {len(data)} bytes ends inside its header.') from error
    return Front(sec * 1_000_000_000 + nanosec, frame, size, encoding)


def _text(data: bytes, start: int, order: str) -> tuple[str, int]:
    """Return the text at an aligned place, and where it ends."""
    (length,) = struct.unpack_from(f'{order}I', data, start)
    end = start + 4 + length
    if end > len(data):
        raise struct.error
    return data[start + 4 : end].rstrip(b'\0').decode(errors='replace'), end
