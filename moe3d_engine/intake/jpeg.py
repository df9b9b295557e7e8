"""
Whether a JPEG is whole: libjpeg fills what is missing with grey and says so on stderr only.

Whatever lies behind the end marker does not matter. Before it, markers are walked (ITU-T T.81,
annex B), and restart markers are counted. A scan that ends too early behind which an end marker
still comes cannot be told by markers; its picture is grey at the end, or the scan ends with a row
of zeros, or the JPEG is progressive. Then bytes are put behind the scan: only where the picture
lacks some are they read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import re
import struct

from moe3d_engine.errors import InputError
from moe3d_engine.intake.picture_size import SOF_MARKERS
from moe3d_engine.types import UInt8Array
import numpy as np

Decode = Callable[[bytes], UInt8Array | None]

END = b'\xff\xd9'
_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})  # of the markers of a frame header
# Marker of a frame header -> bits that a block takes at least, where it is of Huffman codes: one
# for each of DC and AC; a first scan of a progressive JPEG holds DC only.
_BLOCK_BITS = {0xC0: 2, 0xC1: 2, 0xC2: 1}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_BEHIND_SCAN = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')
_RESTART = re.compile(rb'\xff([\xd0-\xd7])')
_PROBE = b'\xa5' * 64  # neither zeros, which libjpeg puts where bits are missing, nor a marker
_MANY_ZEROS = 8
_BLOCK = 8  # pixels
_GREY = 128  # what libjpeg makes of a block that is not there


@dataclass(slots=True)
class _Frame:
    """What the header says of the picture, and what has come of it."""

    height: int
    width: int
    sampling: list[tuple[int, int]]  # horizontal and vertical, of each component
    marker: int
    missing: dict[int, set[int]]  # component -> coefficients that lack all or some bits

    def add_scan(self, header: bytes) -> None:
        """Note what the scan of this header brings."""
        if len(header) < 6:
            raise InputError('has a broken scan header')
        first, last, bits = header[-3:] if self.marker in _PROGRESSIVE else (0, _BLOCK**2 - 1, 0)
        if not bits & 0x0F:  # no lower bits are left for another scan
            for component in header[3:-3:2]:
                self.missing.get(component, set()).difference_update(range(first, last + 1))

    def is_full(self) -> bool:
        """Return whether all coefficients have come with all their bits."""
        return not any(self.missing.values())

    def num_units(self) -> int:
        """Return how many units (MCUs) a scan of all components has."""
        across = down = _BLOCK
        if len(self.sampling) > 1:
            across *= max(horizontal for horizontal, _ in self.sampling)
            down *= max(vertical for _, vertical in self.sampling)
        return -(-self.width // across) * -(-self.height // down)

    def check_joint_scan(self, scan: bytes) -> None:
        """Raise InputError if a scan of all components is too short for so many pixels."""
        num_blocks = sum(x * y for x, y in self.sampling) if len(self.sampling) > 1 else 1
        least = self.num_units() * num_blocks * _BLOCK_BITS.get(self.marker, 0) // 8
        if len(scan) < least:
            raise InputError(
                f'ends early: {self.width}x{self.height} pixels need {least} bytes at least, and '
                f'{len(scan)} are there'
            )


@dataclass(frozen=True, slots=True)
class Jpeg:
    """
    A JPEG whose markers are in order.

    Parameters
    ----------
    head : all bytes before the last scan's.
    scan : the entropy-coded bytes of the last scan.
    has_end : whether an end marker follows.
    num_scans : more than one where each adds to the picture.
    """

    head: bytes
    scan: bytes
    has_end: bool
    num_scans: int

    def data(self) -> bytes:
        """Return the JPEG without what lies behind it."""
        return self.head + self.scan + END

    def is_whole(self, picture: UInt8Array, decode: Decode) -> bool:
        """Return whether the last scan holds all of the picture that was decoded from it."""
        is_padded = self.scan.endswith(bytes(_MANY_ZEROS))
        is_plain = self.has_end and self.num_scans == 1 and not is_padded
        if is_plain and not _ends_grey(picture):
            return True
        scan = self.scan.rstrip(b'\0') if is_padded else self.scan
        scan += b'\0' if scan.endswith(b'\xff') else b''  # a stuffed byte

        def is_same(changed: bytes) -> bool:
            other = decode(self.head + changed + END)
            return other is not None and np.array_equal(other, picture)

        if is_same(scan + _PROBE):
            return True
        # Zeros may be the code of a flat picture's end; then the last of them are read.
        return (
            is_padded
            and is_same(self.scan + _PROBE)
            and not is_same(self.scan[:-_MANY_ZEROS] + _PROBE)
        )


def read_jpeg(data: bytes) -> Jpeg:
    """
    Walk the markers of a JPEG.

    Raises
    ------
    InputError
        If scans or restart markers are missing, or another JPEG begins inside it; the message
        continues "The image ... ".
    """
    position, interval, num_scans = 2, 0, 0
    frame: _Frame | None = None
    last = 0, 0  # begin and end of the last scan's bytes
    while (found := _next_marker(data, position)) is not None and found[0] != _EOI:
        marker, position = found
        if marker in _ALONE:
            continue
        if marker == _SOI or (marker in SOF_MARKERS and frame is not None):
            raise InputError('ends early: another JPEG begins inside it')
        segment = _segment(data, position)
        position += len(segment)
        if marker in SOF_MARKERS:
            frame = _read_frame(segment, marker)
        elif marker == _DRI:
            interval = int.from_bytes(segment[2:4], 'big')
        elif marker == _SOS and frame is not None:
            frame.add_scan(segment)
            behind = _BEHIND_SCAN.search(data, position)
            last = position, len(data) if behind is None else behind.start()
            position = last[1]
            num_scans += 1
            scan = data[last[0] : last[1]]
            is_joint = segment[2] == len(frame.sampling)
            if is_joint and num_scans == 1:
                frame.check_joint_scan(scan)
            if interval:
                _check_restarts(scan, frame.num_units() if is_joint else None, interval)
    if frame is None or not frame.is_full():
        raise InputError('ends early: it lacks scans')
    return Jpeg(data[: last[0]], data[last[0] : last[1]], found is not None, num_scans)


def _next_marker(data: bytes, position: int) -> tuple[int, int] | None:
    """Return the next marker and where its segment begins; None = there is none."""
    while (position := data.find(b'\xff', position)) >= 0 and position + 1 < len(data):
        position += 1
        if data[position] not in (0x00, 0xFF):
            return data[position], position + 1
    return None


def _segment(data: bytes, position: int) -> bytes:
    """Return the segment behind a marker, its length included."""
    length = int.from_bytes(data[position : position + 2], 'big')
    if length < 2 or position + length > len(data):
        raise InputError('ends early: it is cut off inside its header')
    return data[position : position + length]


def _read_frame(segment: bytes, marker: int) -> _Frame:
    """Return what a frame header says."""
    components = segment[8:]
    if len(segment) < 8 or len(components) != 3 * segment[7]:
        raise InputError('has a broken frame header')
    height, width = struct.unpack_from('>HH', segment, 3)
    sampling = [(factors >> 4, factors & 0x0F) for factors in components[1::3]]
    if not sampling or not all(horizontal and vertical for horizontal, vertical in sampling):
        raise InputError('has a broken frame header')
    missing = {component: set(range(_BLOCK**2)) for component in components[::3]}
    return _Frame(height, width, sampling, marker, missing)


def _check_restarts(scan: bytes, num_units: int | None, interval: int) -> None:
    """Raise InputError unless restart markers count on, to the end where that is known."""
    numbers = [marker[0] - 0xD0 for marker in _RESTART.findall(scan)]
    in_order = numbers == [index % 8 for index in range(len(numbers))]
    due = len(numbers) if num_units is None else -(-num_units // interval) - 1
    if not in_order or len(numbers) not in (due, due + 1):  # some encoders write one at the end
        raise InputError(
            f'is broken: it has {len(numbers)} restart markers, where {due} in order are due'
        )


def _ends_grey(picture: UInt8Array) -> bool:
    """Return whether the last pixels look as if their block had not been there."""
    return bool((picture[-1, -4:] == _GREY).all())
