"""What may happen to a camera on its way, as a table: motion, surroundings, light and stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import cv2
from moe3d_engine.lab.synthetic.sequences import paths
from moe3d_engine.lab.synthetic.sequences.room import Look
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

Rng: TypeAlias = np.random.Generator
# (grey levels, index, number of frames, motion of the image in pixels) -> grey levels
Effect: TypeAlias = Callable[[Float32Array, int, int, Float64Array], Float32Array]


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    One kind of sequence.

    Parameters
    ----------
    path : how the camera moves.
    rate_hz : images a second.
    look : of the room.
    effect : what light and lens do to an image before the sensor adds its noise.
    board_width : share of the image that a board hides while it passes before the camera; it
        hides the image's whole height.
    stream : what becomes of the stream of images: `even`; `gaps`, a second without any, twice;
        `resized`, the second half is 1.5 times as large; `looped`, the second half has the
        stamps and poses of the first again.
    """

    path: Callable[[Rng], paths.Path] = paths.walk
    rate_hz: float = 10.0
    look: Look = 'rich'
    effect: Effect | None = None
    board_width: float = 0.0
    stream: str = 'even'


def _blurred(length_px: int) -> Effect:
    """Blur four images of twelve along the motion of the image."""

    def effect(
        grey: Float32Array, index: int, _count: int, motion_px: Float64Array
    ) -> Float32Array:
        if index % 12 < 8:
            return grey
        direction = motion_px / max(float(np.linalg.norm(motion_px)), 1e-9)
        kernel = np.zeros((length_px, length_px), np.float32)
        middle = (length_px - 1) / 2
        ends = np.rint(16 * (middle + np.outer((-middle, middle), direction))).astype(int)
        cv2.line(kernel, tuple(ends[0]), tuple(ends[1]), 1.0, 1, cv2.LINE_AA, 4)
        symmetric = kernel + kernel[::-1, ::-1]  # so that the image is not shifted
        symmetric /= symmetric.sum()
        blurred = cv2.filter2D(grey, -1, symmetric, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(blurred, np.float32)

    return effect


def _exposure_jumps(
    grey: Float32Array, index: int, count: int, _motion_px: Float64Array
) -> Float32Array:
    """Halve the exposure, double it again, double it once more; white clips."""
    gain = (1.0, 0.5, 1.0, 2.0)[min(3, 4 * index // count)]
    return np.asarray(np.minimum(np.float32(gain) * grey, np.float32(255)), np.float32)


def _exposure_ramps(
    grey: Float32Array, index: int, _count: int, _motion_px: Float64Array
) -> Float32Array:
    """Let the exposure breathe between 0.6 and 1.7 within 20 images."""
    gain = np.float32(1.7 ** np.sin(index * np.pi / 10))
    return np.asarray(np.minimum(gain * grey, np.float32(255)), np.float32)


def _low_contrast(
    grey: Float32Array, _index: int, _count: int, _motion_px: Float64Array
) -> Float32Array:
    """Leave a seventh of the contrast, as in fog."""
    return np.asarray(110 + (grey - 110) / 7, np.float32)


def _covered(grey: Float32Array, index: int, count: int, _motion_px: Float64Array) -> Float32Array:
    """Cover the lens for ten images from the middle on."""
    return np.full_like(grey, 4.0) if count // 2 <= index < count // 2 + 10 else grey


TROUBLES = MappingProxyType(
    {
        'walk': Trouble(),
        'low_contrast': Trouble(effect=_low_contrast),
        'exposure_ramps': Trouble(effect=_exposure_ramps),
        'exposure_jumps': Trouble(effect=_exposure_jumps),
        'blur_9': Trouble(effect=_blurred(9)),
        'blur_21': Trouble(effect=_blurred(21)),
        'covered': Trouble(effect=_covered),
        'slow_walk': Trouble(rate_hz=30),
        'forward': Trouble(paths.advance),
        'repeated_texture': Trouble(look='repeated'),
        'few_features': Trouble(look='plain'),
        'turn': Trouble(paths.turn),
        'fast_turns': Trouble(paths.walk_with_fast_turns),
        'standing': Trouble(paths.stand),
        'stand_then_walk': Trouble(paths.stand_then_walk),
        'hovering': Trouble(paths.hover, rate_hz=30),
        'board_25': Trouble(board_width=0.25),
        'board_40': Trouble(board_width=0.40),
        'board_60': Trouble(board_width=0.60),
        'board_40_standing': Trouble(paths.stand, board_width=0.40),
        'half_rate': Trouble(rate_hz=5),
        'gaps': Trouble(stream='gaps'),
        'resized': Trouble(stream='resized'),
        'looped': Trouble(stream='looped'),
    }
)
