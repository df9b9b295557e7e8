"""Whether two backends say the same of the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moe3d_engine.backends.base import Backend
from moe3d_engine.errors import BackendError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np

# Largest 99th percentile of the error of each output. The percentile, not the maximum, because
# the choice of the dominant expert may flip where two weigh the same. bf16 has 8 bits of
# mantissa, and its errors add up over the layers.
RELATIVE = ('depth', 'depth_confidence')
TOLERANCES: Mapping[str, Mapping[str, float]] = {
    'f32': {
        'depth': 1e-4,
        'boundary_confidence': 1e-3,
        'agreement': 1e-3,
        'pose_encoding': 1e-4,
        'depth_confidence': 1e-2,
    },
    'bf16': {
        'depth': 5e-2,
        'boundary_confidence': 1e-1,
        'agreement': 1e-1,
        'pose_encoding': 5e-2,
        'depth_confidence': 5e-1,
    },
}


@dataclass(frozen=True, slots=True)
class OutputError:
    """
    Error of one output: relative for depth and its confidence, absolute for all others.

    Parameters
    ----------
    mean, p99, max : mean, 99th percentile and maximum over all values.
    tolerance : largest acceptable `p99`.
    """

    mean: float
    p99: float
    max: float
    tolerance: float

    @property
    def within(self) -> bool:
        """Return whether the error is acceptable; NaN is not."""
        return self.p99 <= self.tolerance


def compare_outputs(
    reference: RawOutputs, other: RawOutputs, precision: str
) -> dict[str, OutputError]:
    """
    Return the error of each output of `other`.

    Parameters
    ----------
    reference, other : outputs for the same images.
    precision : arithmetic of `other`, `f32` or `bf16`; decides the tolerances.
    """
    errors = {}
    for name, tolerance in TOLERANCES[precision].items():
        expected: Float32Array = getattr(reference, name)
        error = np.abs(getattr(other, name) - expected)
        if name in RELATIVE:
            error = error / expected
        errors[name] = OutputError(
            float(error.mean()), float(np.percentile(error, 99)), float(error.max()), tolerance
        )
    return errors


def check_parity(
    reference: Backend, other: Backend, precision: str, num_views: int = 2
) -> dict[str, OutputError]:
    """
    Run both backends on the same made-up images and compare their outputs.

    Raises
    ------
    BackendError
        If an output differs by more than its tolerance.
    """
    images = textured_images(num_views, reference.spec.input_hw)
    publish = range(num_views)
    expected, found = (b.reconstruct(b.encode(images), publish) for b in (reference, other))
    errors = compare_outputs(expected, found, precision)
    wrong = [name for name, error in errors.items() if not error.within]
    if wrong:
        details = '; '.join(
            f'{name}: 99th percentile of the error {errors[name].p99:.2g}, allowed '
            f'{errors[name].tolerance:.2g}'
            for name in wrong
        )
        raise BackendError(
            f'{other.name} ({precision}) and {reference.name} disagree on '
            f'{reference.spec.name}: {details}. Do not use these files; try another version of '
            f'{other.name}.'
        )
    return errors


def textured_images(num_views: int, image_hw: tuple[int, int], seed: int = 0) -> Float32Array:
    """
    Return images of flat rectangles that shift from view to view, with some noise.

    Returns
    -------
    (V, 3, H, W) float32 in [0, 1].
    """
    rng = np.random.default_rng(seed)
    height, width = image_hw
    images = np.full((num_views, 3, height, width), 0.5, np.float32)
    for _ in range(40):
        top, left = rng.integers(0, height), rng.integers(0, width)
        bottom, right = top + rng.integers(4, height), left + rng.integers(4, width)
        colour, disparity_px = rng.random((3, 1, 1)), rng.integers(0, 4)
        for view in range(num_views):
            shift = view * disparity_px
            columns = slice(max(left - shift, 0), max(right - shift, 0))
            images[view, :, top:bottom, columns] = colour
    noise = rng.normal(0, 0.02, images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32)
