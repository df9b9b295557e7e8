"""Cases of a camera that misbehaves: each is a short stream with good frames in between."""

from __future__ import annotations

from functools import cache
from random import Random

from moe3d_engine.errors import InputError
from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.images import decode_image_bytes
from moe3d_engine.intake.images import SENSOR_BITS
from moe3d_engine.intake.messages import Message
from moe3d_engine.lab.fuzz.backend import ColourBackend
from moe3d_engine.lab.fuzz.damage import damaged
from moe3d_engine.lab.fuzz.damage import detailed_pictures
from moe3d_engine.lab.fuzz.damage import good_pictures
from moe3d_engine.lab.fuzz.damage import png_bomb
from moe3d_engine.lab.fuzz.damage import with_lying_header
from moe3d_engine.lab.fuzz.invariants import check_good
from moe3d_engine.lab.fuzz.invariants import check_published
from moe3d_engine.lab.fuzz.invariants import check_text
from moe3d_engine.lab.fuzz.invariants import require
from moe3d_engine.lab.fuzz.invariants import Tally
from moe3d_engine.lab.fuzz.messages import compressed
from moe3d_engine.lab.fuzz.messages import good_image
from moe3d_engine.lab.fuzz.messages import good_info
from moe3d_engine.lab.fuzz.messages import reshape
from moe3d_engine.lab.fuzz.messages import spoil_format
from moe3d_engine.lab.fuzz.messages import spoil_header
from moe3d_engine.lab.fuzz.messages import spoil_image
from moe3d_engine.lab.fuzz.messages import spoil_info
from moe3d_engine.network import Engine
from moe3d_engine.policy import Thresholds
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
import numpy as np

NUM_FRAMES = 8
FIRST_NS = 1_700_000_000_000_000_000
# So far apart that a good frame is newer than the spoilt one before it, or time has jumped back.
PERIOD_NS = 2_000_000_000
_BETWEEN_NS = 1_500_000_000
DEPTH_MAX_M = 3.0  # so that some depth is beyond range


class Stream:
    """
    A camera's stream through the intake and the session of the node.

    Parameters
    ----------
    rng : decides the settings.
    compressed : whether images are CompressedImage.
    tally : counts what becomes of the frames.
    """

    def __init__(self, rng: Random, *, compressed: bool, tally: Tally) -> None:
        self._tally = tally
        self._camera = CameraIntake(
            compressed=compressed,
            rectified=rng.choice((None, True, False)),
            mono16_bits=rng.choice((None, *SENSOR_BITS)),
        )
        config = SessionConfig(thresholds=Thresholds(depth_max_m=DEPTH_MAX_M))
        self._session = Session(Engine(ColourBackend()), config)

    def push(self, image: Message, info: Message) -> None:
        """Hand over a frame that may be wrong in any way."""
        with self._tally.one_input():
            result = self._session.push_frame(self._camera, image, info)
        if isinstance(result, Drop):
            check_text(result.text)
            require(bool(result.text), f'a drop ({result.reason.value}) says nothing')
            self._tally.dropped[result.reason.value] += 1
        else:
            check_published(result)
            self._tally.published += 1

    def push_good(self, image: Message, info: Message) -> None:
        """Hand over a good frame, which must come out."""
        with self._tally.one_input():
            result = self._session.push_frame(self._camera, image, info)
        if isinstance(result, Drop):
            require(False, f'a good frame is dropped ({result.reason.value}): {result.text}')
        else:
            check_published(result)
            check_good(result)
            self._tally.published += 1


def play_messages(rng: Random) -> Tally:
    """Play raw images whose encoding, size, step, data and header are wrong or unusual."""
    tally = Tally()
    stream = Stream(rng, compressed=False, tally=tally)
    for stamp_ns in _stamps():
        image, info = good_image(stamp_ns), good_info(stamp_ns)
        if rng.random() < 0.5:
            reshape(rng, image, info)
        if rng.random() < 0.7:
            spoil_image(rng, image)
        stream.push(image, info)
        if rng.random() < 0.3:
            stream.push_good(*_good_pair(stamp_ns))
    stream.push_good(*_good_pair(stamp_ns + PERIOD_NS))
    return tally


def play_camera_info(rng: Random) -> Tally:
    """Play good images whose camera_info is wrong in any of its fields."""
    tally = Tally()
    stream = Stream(rng, compressed=False, tally=tally)
    for stamp_ns in _stamps():
        info = good_info(stamp_ns)
        spoil_info(rng, info)
        stream.push(good_image(stamp_ns), info)
    stream.push_good(*_good_pair(stamp_ns + PERIOD_NS))
    return tally


def play_compressed(rng: Random) -> Tally:
    """Play damaged pictures, as messages and as files."""
    tally = Tally()
    stream = Stream(rng, compressed=True, tally=tally)
    for stamp_ns in _stamps():
        data = _spoilt_picture(rng)
        if rng.random() < 0.4:
            _read_file(data, tally)
            continue
        image = compressed(stamp_ns, data, 'jpeg')
        if rng.random() < 0.4:
            spoil_format(rng, image)
        if rng.random() < 0.1:
            spoil_header(rng, image)
        stream.push(image, good_info(stamp_ns))
    stamp_ns += PERIOD_NS
    good = compressed(stamp_ns, rng.choice(_good_pictures()), 'jpeg')
    stream.push_good(good, good_info(stamp_ns))
    return tally


def _stamps() -> range:
    """Return the stamps of the spoilt frames of a case."""
    return range(FIRST_NS, FIRST_NS + NUM_FRAMES * PERIOD_NS, PERIOD_NS)


def _good_pair(stamp_ns: int) -> tuple[Message, Message]:
    """Return a good frame between the spoilt one of this stamp and the next one."""
    stamp_ns += _BETWEEN_NS
    return good_image(stamp_ns), good_info(stamp_ns)


@cache
def _good_pictures() -> list[bytes]:
    return good_pictures()


@cache
def _pictures() -> list[bytes]:
    return detailed_pictures()


@cache
def _bombs() -> list[bytes]:
    return [png_bomb(8_193, 8_192), png_bomb(60_000, 1), png_bomb(2_000, 3_000)]


def _spoilt_picture(rng: Random) -> bytes:
    """Return a picture that is damaged, lies about its size, or is a bomb."""
    kind = rng.random()
    if kind < 0.01:
        return rng.choice(_bombs())
    if kind < 0.02:
        return rng.randbytes(rng.choice((0, 1, 100)))
    data = rng.choice(_pictures())
    return with_lying_header(rng, data) if kind < 0.2 else damaged(rng, data, _pictures())


def _read_file(data: bytes, tally: Tally) -> None:
    """Read a picture as the file of that content."""
    with tally.one_input():
        try:
            pixels = decode_image_bytes(data, 'picture')
        except InputError as error:
            check_text(str(error))
            tally.refused += 1
            return
    require(pixels.dtype == np.uint8 and pixels.shape[2:] == (3,), 'a picture is not RGB')
    tally.read += 1
