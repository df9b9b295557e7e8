"""What holds whatever comes in; REP 117 and REP 118 say what depth may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
import time

from moe3d_engine.lab.fuzz.backend import depth_of_red
from moe3d_engine.lab.fuzz.messages import GOOD_RGB
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
import numpy as np

MAX_TEXT = 2_000  # characters of a line for people
_TOLERANCE = 0.05  # of the depth and confidence of a good frame; a JPEG changes its colour


class BrokenInvariantError(Exception):
    """Something that holds whatever comes in does not hold."""


@dataclass(slots=True)
class Tally:
    """
    What became of the inputs.

    Parameters
    ----------
    inputs : messages with their camera_info, files of pictures, and bags.
    published : frames that came out as a reconstruction.
    read : pictures and bags that gave something.
    refused : pictures and bags that an InputError has refused.
    dropped : frames by the reason of their Drop.
    worst_s : longest time that an input took.
    """

    inputs: int = 0
    published: int = 0
    read: int = 0
    refused: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0

    @contextmanager
    def one_input(self) -> Iterator[None]:
        """Count an input, and how long the block takes."""
        self.inputs += 1
        start_s = time.perf_counter()
        yield
        self.worst_s = max(self.worst_s, time.perf_counter() - start_s)

    def add(self, other: Tally) -> None:
        """Add what became of further inputs."""
        self.inputs += other.inputs
        self.published += other.published
        self.read += other.read
        self.refused += other.refused
        self.dropped += other.dropped
        self.worst_s = max(self.worst_s, other.worst_s)

    def check(self) -> None:
        """Raise BrokenInvariantError unless every input is accounted for."""
        known = self.published + self.read + self.refused + self.dropped.total()
        require(known == self.inputs, f'of {self.inputs} inputs {known} are accounted for')


def require(holds: bool, text: str) -> None:
    """Raise BrokenInvariantError with a text unless something holds."""
    if not holds:
        raise BrokenInvariantError(text)


def check_text(text: str) -> None:
    """Check that a text for people is one line that a log can bear."""
    require('\n' not in text, f'a text has several lines: {text[:200]!r}')
    require(len(text) <= MAX_TEXT, f'a text has {len(text)} characters: {text[:200]!r}')


def check_view(view: View) -> None:
    """Check what the intake makes of messages and bags."""
    require(not view.frame_id.startswith('/'), f'the frame is {view.frame_id[:40]!r}')
    if view.intrinsics is not None:
        _check_intrinsics(view.intrinsics)


def check_published(result: Reconstruction) -> None:
    """Check the values of all published views."""
    for published in result.results:
        depth, confidence = published.depth, published.boundary_confidence
        unknown = np.isnan(depth)
        require(bool((unknown | (depth > 0)).all()), 'depth is neither NaN nor above 0')
        inside = (confidence >= 0) & (confidence <= 1)  # false where it is NaN
        require(bool(inside.all()), 'confidence lies outside [0, 1]')
        require(not confidence[unknown].any(), 'confidence is not 0 where depth is NaN')
        require(bool(np.isfinite(published.depth_raw).all()), 'raw depth is not finite')
        require(bool(np.isfinite(published.cam_from_world).all()), 'a pose is not finite')
        _check_intrinsics(published.intrinsics)
        check_view(published.view)


def check_good(result: Reconstruction) -> None:
    """Check that a frame of the known colour has come out with its depth everywhere."""
    red, _, blue = GOOD_RGB
    (published,) = result.results
    for name, values, expected in (
        ('depth', published.depth, depth_of_red(red)),
        ('confidence', published.boundary_confidence, blue / 255),
    ):
        off = float(np.abs(values - expected).max())
        require(off <= _TOLERANCE, f'the {name} of a good frame is off by {off:g}')


def _check_intrinsics(intrinsics: Float64Array) -> None:
    require(bool(np.isfinite(intrinsics).all()), 'intrinsics are not finite')
    require(bool((np.diag(intrinsics) > 0).all()), 'a focal length is not above 0')
