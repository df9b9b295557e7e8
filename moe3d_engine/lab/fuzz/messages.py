"""Good messages of a camera, and what may be wrong in each field of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from random import Random

from moe3d_engine.intake.encodings import COLOURS
from moe3d_engine.intake.encodings import DEPTHS
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message
import numpy as np
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

STORE = get_typestore(Stores.LATEST)
HW = (48, 64)
GOOD_RGB = (51, 255, 204)  # depth 1.8 m, agreement 1, confidence 0.8; see ColourBackend

_FOCAL, _CENTRE = 60.0, (31.5, 23.5)
_UINT32 = (0, 1, 2, 3, 47, 49, 63, 128, 10_000, 32_767, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
_FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 31.5, 60.0, -60.0, 1e6, 1e9, 1e-300, 5e-324, 1e300, 1.7e308,
    float('nan'), float('inf'), float('-inf'),
)  # fmt: skip
_COEFFICIENTS = (*_FLOATS, 0.1, -0.2, 0.01, -0.3)
_NAMES = ('', '/', '//optical', 'a b', 'ä' * 7, 'x' * 100_000, 'rgb8', 'line\nline', '%s{}')
_ENCODINGS = (*COLOURS, *DEPTHS, 'rgb565', '8UC3', 'RGB8', 'nv12', *_NAMES)
_FORMATS = (
    'jpeg', 'png', 'rgb8; jpeg compressed bgr8', 'rgb8; png compressed ', 'mono16; png compressed',
    'bayer_rggb8; jpeg compressed bgr8', 'bayer_rggb8; png compressed ', 'bayer_x; png compressed',
    '16UC1; compressedDepth png', '32FC1; png compressed', '; compressed', *_NAMES,
)  # fmt: skip
_MODELS = ('plumb_bob', 'rational_polynomial', 'equidistant', 'fisheye', *_NAMES)
_LENGTHS = (0, 1, 3, 4, 5, 8, 12, 14, 20, 33, 10_000)
_SIDES = (1, 2, 3, 7, 27, 28, 42, 43, 64, 100)


def good_image(stamp_ns: int) -> Message:
    """Return an Image of one colour."""
    data = np.full((*HW, 3), GOOD_RGB, np.uint8).ravel()
    return STORE.types[IMAGE](_header(stamp_ns), *HW, 'rgb8', 0, 3 * HW[1], data)


def good_info(stamp_ns: int) -> Message:
    """Return a camera_info without distortion."""
    k = [_FOCAL, 0.0, _CENTRE[0], 0.0, _FOCAL, _CENTRE[1], 0.0, 0.0, 1.0]
    roi = STORE.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    matrices = np.zeros(5), np.array(k), np.eye(3).ravel(), np.insert(k, [3, 6, 9], 0.0)
    return STORE.types[CAMERA_INFO](_header(stamp_ns), *HW, 'plumb_bob', *matrices, 0, 0, roi)


def compressed(stamp_ns: int, data: bytes, format_: str) -> Message:
    """Return a CompressedImage."""
    values = np.frombuffer(data, np.uint8)
    return STORE.types[COMPRESSED_IMAGE](_header(stamp_ns), format_, values)


def stamp(message: Message, stamp_ns: int) -> None:
    """Set the stamp of a message."""
    time = message.header.stamp
    time.sec, time.nanosec = divmod(stamp_ns, 1_000_000_000)


def spoil_image(rng: Random, image: Message) -> None:
    """Change some fields of an Image to what nobody should send."""
    _apply(rng, image, _IMAGE_FAULTS)


def spoil_info(rng: Random, info: Message) -> None:
    """Change some fields of a camera_info to what nobody should send."""
    _apply(rng, info, _INFO_FAULTS)


def spoil_format(rng: Random, image: Message) -> None:
    """Give a CompressedImage another format."""
    image.format = rng.choice(_FORMATS)


def spoil_header(rng: Random, message: Message) -> None:
    """Change a message's frame, or its stamp to one that is far away or of the past."""
    if rng.random() < 0.5:
        message.header.frame_id = rng.choice(_NAMES)
        return
    time = message.header.stamp
    kind = rng.randrange(3)
    if kind == 0:
        time.sec, time.nanosec = (
            rng.choice((-(2**31), -1, 0, 2**31 - 1)),
            rng.choice((0, 2**32 - 1)),
        )
    elif kind == 1:
        time.nanosec = rng.choice((0, 999_999_999, 1_000_000_000))
    else:
        time.sec = max(0, time.sec - rng.choice((1, 2, 1000)))


def reshape(rng: Random, image: Message, info: Message) -> None:
    """Make an Image of another size and encoding whose fields agree, with its camera_info."""
    height, width = rng.choice(_SIDES), rng.choice(_SIDES)
    if rng.random() < 0.05:
        height, width = rng.choice(((1, 10_000), (10_000, 1), (1, 60_000), (2, 97)))
    name = rng.choice((*COLOURS, *DEPTHS))
    encoding = (COLOURS | DEPTHS)[name]
    image.height, image.width, image.encoding = height, width, name
    image.is_bigendian = rng.randrange(2)
    row = width * encoding.channels * np.dtype(encoding.dtype).itemsize
    image.step = row + rng.choice((0, 0, 1, 7))
    image.data = array('B', rng.randbytes(height * image.step))
    info.height, info.width = height, width
    scale_k = width / HW[1], height / HW[0]
    info.k = [_FOCAL * scale_k[0], 0.0, width / 2, 0.0, _FOCAL * scale_k[1], height / 2, 0, 0, 1.0]
    info.k = [float(value) for value in info.k]
    info.p = [0.0] * 12


def _header(stamp_ns: int) -> Message:
    time = STORE.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 1_000_000_000))
    return STORE.types['std_msgs/msg/Header'](time, 'optical')


Fault = Callable[[Random, Message], None]


def _apply(rng: Random, message: Message, faults: tuple[Fault, ...]) -> None:
    """Make one to three faults, at times the same one twice."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(faults)(rng, message)


def _spoil_size(rng: Random, message: Message) -> None:
    setattr(message, rng.choice(('height', 'width')), rng.choice(_UINT32))


def _spoil_step(rng: Random, image: Message) -> None:
    image.step = rng.choice((*_UINT32, image.step + 1, max(0, image.step - 1), 2 * image.step))
    image.step = min(image.step, 2**32 - 1)


def _spoil_encoding(rng: Random, image: Message) -> None:
    image.encoding = rng.choice(_ENCODINGS)


def _spoil_endianness(rng: Random, image: Message) -> None:
    image.is_bigendian = rng.choice((1, 2, 255))


def _spoil_data(rng: Random, image: Message) -> None:
    data = bytes(image.data)
    length = rng.choice((0, 1, len(data) // 2, len(data) - 1, len(data) + 1, 2 * len(data)))
    image.data = array('B', data[:length].ljust(max(0, length), b'\x7f'))


def _spoil_matrix(rng: Random, info: Message) -> None:
    name = rng.choice(('k', 'r', 'p'))
    values = [float(value) for value in getattr(info, name)]
    for _ in range(rng.choice((1, 1, 2, 5))):
        values[rng.randrange(len(values))] = rng.choice(_FLOATS)
    if rng.random() < 0.2:
        values = [rng.choice(_FLOATS)] * len(values)
    setattr(info, name, values)


def _turn(rng: Random, info: Message) -> None:
    """Give R a rotation, seldom a small one."""
    angle = rng.choice((0.01, 0.1, 0.5, 1.0, 1.5, 3.1))
    sin, cos = float(np.sin(angle)), float(np.cos(angle))
    info.r = [cos, 0.0, sin, 0.0, 1.0, 0.0, -sin, 0.0, cos]


def _spoil_distortion(rng: Random, info: Message) -> None:
    values = _COEFFICIENTS if rng.random() < 0.5 else (0.1, -0.2, 0.01, -0.3)
    info.d = [rng.choice(values) for _ in range(rng.choice(_LENGTHS))]


def _spoil_model(rng: Random, info: Message) -> None:
    info.distortion_model = rng.choice(_MODELS)


def _spoil_binning(rng: Random, info: Message) -> None:
    setattr(info, rng.choice(('binning_x', 'binning_y')), rng.choice(_UINT32))


def _spoil_roi(rng: Random, info: Message) -> None:
    name = rng.choice(('x_offset', 'y_offset', 'width', 'height'))
    setattr(info.roi, name, rng.choice((*_UINT32, *HW)))


_IMAGE_FAULTS: tuple[Fault, ...] = (
    _spoil_size, _spoil_step, _spoil_encoding, _spoil_endianness, _spoil_data, spoil_header,
)  # fmt: skip
_INFO_FAULTS: tuple[Fault, ...] = (
    _spoil_size, _spoil_matrix, _spoil_matrix, _turn, _spoil_distortion, _spoil_distortion,
    _spoil_model, _spoil_binning, _spoil_roi, spoil_header,
)  # fmt: skip
