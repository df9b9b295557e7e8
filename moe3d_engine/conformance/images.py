"""The rules of a camera's depth, confidence, colour and camera_info, each and together."""

from __future__ import annotations

from typing import Any

from moe3d_engine.conformance.findings import Findings
from moe3d_engine.errors import InputError
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.images import decode_values
from moe3d_engine.intake.messages import DEPTH_ENCODINGS
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import quoted
from moe3d_engine.intake.messages import stamp_ns
import numpy as np
from numpy.typing import NDArray

DEPTH, INFO, CONFIDENCE, COLOR = 'depth', 'camera_info', 'boundary_confidence', 'color'
MAX_WAITING = 64  # stamps whose messages have not all come; those of older ones are lost
EXACT = 1e-6  # relative, of numbers that are the same by definition


class CameraRules:
    """
    Checks what is published of one camera.

    Parameters
    ----------
    findings : takes what is wrong.
    topics : names by role; only of what is in the bag.
    """

    def __init__(self, findings: Findings, topics: dict[str, str]) -> None:
        self._findings = findings
        self._topics = topics
        self._waiting: dict[int, dict[str, Message]] = {}

    def check(self, role: str, message: Message) -> None:
        """Check a message, and those of its stamp once they are all there."""
        stamp = stamp_ns(message)
        parts = self._waiting.setdefault(stamp, {})
        parts[role] = message
        if len(parts) == len(self._topics):
            self._check_stamp(stamp, self._waiting.pop(stamp))
        while len(self._waiting) > MAX_WAITING:
            oldest = next(iter(self._waiting))
            self._check_stamp(oldest, self._waiting.pop(oldest))

    def finish(self) -> None:
        """Check what has waited for others."""
        for stamp, parts in self._waiting.items():
            self._check_stamp(stamp, parts)
        self._waiting.clear()

    def _check_stamp(self, stamp: int, parts: dict[str, Message]) -> None:
        """Check the messages of one stamp."""
        for role, message in parts.items():
            if role == INFO:
                self._check_info(stamp, message)
        values = {role: self._values(role, stamp, message) for role, message in parts.items()}
        depth, confidence = values.get(DEPTH), values.get(CONFIDENCE)
        if DEPTH in parts and INFO not in parts:
            text = 'no camera_info of its stamp is in the bag; nvblox and rtabmap wait for it.'
            self._add('info_missing', DEPTH, stamp, text)
        if depth is not None:
            self._check_depth(stamp, depth)
        if confidence is not None:
            self._check_confidence(stamp, confidence, depth)
        self._check_equal(stamp, parts)

    def _values(self, role: str, stamp: int, message: Message) -> NDArray[Any] | None:
        """Return the pixels of an image; None where there are none that can be read."""
        if role == INFO:
            return None
        expected = {DEPTH: DEPTH_ENCODINGS, CONFIDENCE: ('32FC1',), COLOR: ('rgb8', 'bgra8')}
        if message.encoding not in expected[role]:
            text = (
                f'the encoding is {quoted(message.encoding)}; expected is '
                f'{" or ".join(expected[role])} (REP 118, nvblox).'
            )
            self._add('encoding', role, stamp, text)
            return None
        try:
            return decode_raw(message) if role == COLOR else decode_values(message)
        except InputError as error:
            self._add('image_layout', role, stamp, str(error))
            return None

    def _check_depth(self, stamp: int, depth: NDArray[Any]) -> None:
        """Check that depth is positive, NaN or +Inf (REP 117, 118); millimetres always are."""
        if depth.dtype != np.float32:
            return
        if np.isneginf(depth).any():
            text = f'{np.isneginf(depth).sum()} pixels are -Inf, "too close" by REP 117; say NaN.'
            self._add('depth_negative_inf', DEPTH, stamp, text)
        wrong = np.isfinite(depth) & (depth <= 0)
        if wrong.any():
            text = f'{wrong.sum()} pixels are 0 or less; unknown depth is NaN (REP 118).'
            self._add('depth_not_positive', DEPTH, stamp, text)

    def _check_confidence(
        self, stamp: int, confidence: NDArray[Any], depth: NDArray[Any] | None
    ) -> None:
        """Check that the confidence is a probability, and 0 where there is no depth."""
        if not ((confidence >= 0) & (confidence <= 1)).all():  # NaN as well
            text = 'a value is no probability: not within 0 and 1, or not finite.'
            self._add('confidence_range', CONFIDENCE, stamp, text)
        if depth is None or depth.shape != confidence.shape:
            return
        unknown = np.isnan(depth) if depth.dtype == np.float32 else np.zeros(depth.shape, bool)
        told = unknown & (confidence != 0)
        if told.any():
            text = f'{told.sum()} pixels without depth have a confidence other than 0.'
            self._add('confidence_without_depth', CONFIDENCE, stamp, text)

    def _check_info(self, stamp: int, info: Message) -> None:
        """Check that a camera_info is that of rectified pixels (REP 104)."""
        k, p = np.reshape(info.k, (3, 3)), np.reshape(info.p, (3, 4))
        focal = k[0, 0], k[1, 1]
        whole = np.array([[k[0, 0], 0, k[0, 2]], [0, k[1, 1], k[1, 2]], [0, 0, 1]])
        size = float(np.abs(whole).max())
        if not (min(focal) > 0 and np.allclose(k, whole, rtol=0, atol=EXACT)):
            self._add('info_k', INFO, stamp, 'K is no matrix of a camera without skew.')
        elif not np.allclose(p[:, :3], k, rtol=0, atol=EXACT * size):
            text = 'P is not K: one of the two belongs to other pixels.'
            self._add('info_p', INFO, stamp, text)
        elif np.abs(p[:, 3]).max() > 0:
            text = 'P has a fourth column: consumers take that for a stereo baseline.'
            self._add('info_p', INFO, stamp, text)
        if not np.allclose(np.reshape(info.r, (3, 3)), np.eye(3), atol=EXACT):
            self._add('info_r', INFO, stamp, 'R turns pixels that are rectified already.')
        if len(info.d) and np.any(info.d):
            self._add(
                'info_d', INFO, stamp, 'D is not empty: rectified pixels have no distortion.'
            )
        elif len(info.d):
            text = f'D holds {len(info.d)} zeros; it must be empty.'
            self._add('info_d', INFO, stamp, text)

    def _check_equal(self, stamp: int, parts: dict[str, Message]) -> None:
        """Check that the messages of a stamp have one size and one frame."""
        base = DEPTH if DEPTH in parts else next(iter(parts))
        for role, message in parts.items():
            of_base, of_this = ((m.width, m.height) for m in (parts[base], message))
            if of_base != of_this:
                text = (
                    f'the size is {of_this[0]}x{of_this[1]}, that of {self._topics[base]} '
                    f'{of_base[0]}x{of_base[1]}; nvblox and rtabmap need equal ones.'
                )
                self._add('size', role, stamp, text)
            frames = message.header.frame_id, parts[base].header.frame_id
            if frames[0] != frames[1]:
                text = f'the frame is {quoted(frames[0])}, that of the others {quoted(frames[1])}.'
                self._add('frame', role, stamp, text)

    def _add(self, rule: str, role: str, stamp: int, text: str) -> None:
        """Take a finding on the topic of a role."""
        self._findings.add(rule, self._topics[role], stamp, text)
