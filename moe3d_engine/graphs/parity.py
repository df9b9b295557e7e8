"""Whether two backends say the same of the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from moe3d_engine.backend import Backend
from moe3d_engine.errors import BackendError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np

# Largest mean of the relative error of depth, and largest 99th percentile of the error of each
# output. The percentile, not the maximum, because the choice of the dominant expert may flip where
# two weigh the same. fp16 has 11 bits of mantissa, bf16 has 8, and errors add up over the layers.
RELATIVE = ('depth', 'depth_confidence')
DEPTH_ABS_REL: Mapping[str, float] = {
    'fp32': 1e-5,
    'fp16': 2e-3,
    'bf16': 1.5e-2,
    'int8': 3e-2,
    'fp8': 3e-2,
}
PRECISIONS = tuple(DEPTH_ABS_REL)
_NARROW = {
    'depth': 0.2,
    'boundary_confidence': 0.2,
    'agreement': 0.5,
    'pose_encoding': 0.1,
    'depth_confidence': 1.0,
}
TOLERANCES: Mapping[str, Mapping[str, float]] = {
    'fp32': {
        'depth': 1e-4,
        'boundary_confidence': 1e-3,
        'agreement': 1e-3,
        'pose_encoding': 1e-4,
        'depth_confidence': 1e-2,
    },
    'fp16': {
        'depth': 1e-2,
        'boundary_confidence': 1e-2,
        'agreement': 2e-2,
        'pose_encoding': 5e-3,
        'depth_confidence': 5e-2,
    },
    'bf16': {
        'depth': 1e-1,
        'boundary_confidence': 1e-1,
        'agreement': 2e-1,
        'pose_encoding': 5e-2,
        'depth_confidence': 5e-1,
    },
    'int8': _NARROW,
    'fp8': _NARROW,
}


@dataclass(frozen=True, slots=True)
class OutputError:
    """
    Error of one output: relative for depth and its confidence, absolute for all others.

    Parameters
    ----------
    mean, p99, max : mean, 99th percentile and maximum over all values.
    tolerance : largest acceptable `p99`.
    mean_tolerance : largest acceptable `mean`.
    """

    mean: float
    p99: float
    max: float
    tolerance: float
    mean_tolerance: float = math.inf

    @property
    def within(self) -> bool:
        """Return whether the error is acceptable; NaN is not."""
        return self.p99 <= self.tolerance and self.mean <= self.mean_tolerance


def compare_outputs(
    reference: RawOutputs, other: RawOutputs, precision: str
) -> dict[str, OutputError]:
    """
    Return the error of each output of `other`.

    Parameters
    ----------
    reference, other : outputs for the same images.
    precision : arithmetic of `other`, one of PRECISIONS; decides the tolerances.
    """
    errors = {}
    for name, tolerance in TOLERANCES[precision].items():
        expected: Float32Array = getattr(reference, name)
        error = np.abs(getattr(other, name) - expected)
        if name in RELATIVE:
            error = error / expected
        errors[name] = OutputError(
            float(error.mean()),
            float(np.percentile(error, 99)),
            float(error.max()),
            tolerance,
            DEPTH_ABS_REL[precision] if name == 'depth' else math.inf,
        )
    return errors


def check_parity(
    reference: Backend,
    other: Backend,
    precision: str,
    images: Float32Array,
    cameras: WindowCameras | None = None,
) -> dict[str, OutputError]:
    """
    Run both backends on the same images, see `run_window`, and compare their outputs.

    Raises
    ------
    BackendError
        If an output differs by more than its tolerance.
    """
    expected, found = (run_window(backend, images, cameras) for backend in (reference, other))
    return check_outputs(expected, found, precision, f'{other.name} of {other.spec.name}')


def run_window(
    backend: Backend, images: Float32Array, cameras: WindowCameras | None = None
) -> RawOutputs:
    """
    Return the outputs for one window of which all views are published.

    Of a network that sweeps the poses are those that it estimates, whatever cameras it was given:
    so the outputs are those of all its graphs.
    """
    features = backend.encode(images)
    outputs = backend.reconstruct(features, range(len(images)), cameras)
    if cameras is None:
        return outputs
    return outputs._replace(pose_encoding=backend.estimate_cameras(features))


def check_outputs(
    expected: RawOutputs, found: RawOutputs, precision: str, source: str
) -> dict[str, OutputError]:
    """
    Compare outputs with those of the reference, torch, for the same images.

    Raises
    ------
    BackendError
        If an output differs by more than its tolerance; `source` says whose.
    """
    errors = compare_outputs(expected, found, precision)
    wrong = [name for name, error in errors.items() if not error.within]
    if wrong:
        details = '; '.join(
            f'{name}: mean error {errors[name].mean:.2g} (allowed '
            f'{errors[name].mean_tolerance:.2g}), 99th percentile {errors[name].p99:.2g} (allowed '
            f'{errors[name].tolerance:.2g})'
            for name in wrong
        )
        raise BackendError(
            f'{source} ({precision}) and torch disagree on {details}. Do not use these files; '
            'try another precision, or another version of the runtime.'
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


def sideways_cameras(num_views: int, image_hw: tuple[int, int]) -> WindowCameras:
    """Return cameras that go to the right, by a pixel a view of what is at a depth of 2."""
    height, width = image_hw
    focal_px = float(width)
    middle = [(width - 1) / 2, (height - 1) / 2]
    lens = [[focal_px, 0, middle[0]], [0, focal_px, middle[1]], [0, 0, 1]]
    cam_from_world = np.tile(np.eye(4, dtype=np.float32), (num_views, 1, 1))
    cam_from_world[:, 0, 3] = -2 / focal_px * np.arange(num_views)
    return WindowCameras(
        np.tile(np.array(lens, np.float32), (num_views, 1, 1)),
        cam_from_world,
        np.ones(num_views, np.float32),
    )
