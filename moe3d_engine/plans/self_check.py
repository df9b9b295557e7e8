"""
Whether an engine computes what the network computes, on a small stored window.

A wrong kernel gives depth that looks plausible. So after each build, and when plans are opened,
the outputs for known images are compared with those of a float32 backend on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import astuple
from dataclasses import dataclass
from pathlib import Path

from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.backend import Backend
from moe3d_engine.errors import EngineError
from moe3d_engine.geometry.depth_edges import boundary_f1
from moe3d_engine.graphs.parity import run_window
from moe3d_engine.graphs.parity import sideways_cameras
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.graphs.reference import load_reference
from moe3d_engine.graphs.reference import Reference
from moe3d_engine.graphs.reference import REFERENCE_ROLE
from moe3d_engine.graphs.reference import REFERENCE_VIEWS
from moe3d_engine.graphs.reference import save_reference
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np

REFERENCE_NAME = 'reference.npz'
CHECKED_RUNS = 3  # a plain one, one that captures a graph and launches it, one that launches again


@dataclass(frozen=True, slots=True)
class CheckFigures:
    """
    How far an engine is from its reference; also the limits of that.

    Parameters
    ----------
    abs_rel : mean of |depth - reference| / reference, without alignment.
    scale_drift : |median of depth / reference - 1|.
    boundary_f1_drift : 1 - SI-F1 of depth's boundaries against those of the reference, as a share
        of what the reference scores against itself; 0 where it has no boundaries.
    confidence_error : 99th percentile of the absolute error of boundary confidence and agreement.
    pose_error : largest absolute error of the pose encoding.
    """

    abs_rel: float
    scale_drift: float
    boundary_f1_drift: float
    confidence_error: float
    pose_error: float


# A GPU adds in another order than a CPU, and where two experts weigh the same the choice may flip:
# so float32 is allowed some 1e-5. The limits of 16 bits are at least twice what rounding does to
# moe3d-small on these images, in fp16 with all sums in fp16, too. Wrong kernels are off by more.
_COARSE = CheckFigures(8e-2, 3e-2, 0.4, 0.2, 5e-2)
LIMITS: Mapping[str, CheckFigures] = {
    'fp32': CheckFigures(1e-4, 2e-5, 0.01, 0.01, 1e-3),
    'fp16': CheckFigures(4e-3, 1e-3, 0.15, 0.02, 5e-3),
    'bf16': _COARSE,
    'int8': _COARSE,
    'fp8': _COARSE,
}


def write_reference(
    card: WeightsCard,
    folder: Path,
    open_float32: Callable[[WeightsCard], Backend],
    num_views: int = REFERENCE_VIEWS,
) -> Path:
    """
    Compute the reference of a card's weights in float32 on the CPU, or take the one it carries.

    Parameters
    ----------
    card : with a file of the role `reference`, or with graphs that OpenVINO or torch can run.
    folder : to write `reference.npz` to.
    open_float32 : opens what computes the weights in float32, such as `backends.open_float32`.
    num_views : of the window; 1 to `card.max_views`.

    Raises
    ------
    EngineError
        If there is nothing to compute it with.
    """
    path = folder / REFERENCE_NAME
    reference = stored_reference(card)
    if reference is None or len(reference.images) != num_views:
        backend = open_float32(card)
        images = textured_images(num_views, card.input_hw)
        cameras = sideways_cameras(num_views, card.input_hw) if card.spec.sweeps else None
        reference = Reference(images, cameras, run_window(backend, images, cameras))
        backend.close()
    save_reference(path, reference)
    return path


def stored_reference(card: WeightsCard) -> Reference | None:
    """Return the reference that weights carry; None where they were exported without."""
    if REFERENCE_ROLE not in card.files:
        return None
    return load_reference(card.verified_file(REFERENCE_ROLE))


def read_reference(folder: Path) -> Reference:
    """
    Read the reference beside plans.

    Raises
    ------
    EngineError
        If it is missing or corrupt.
    """
    try:
        return load_reference(folder / REFERENCE_NAME)
    except EngineError as error:
        raise EngineError(f'{error} Delete {folder} and run moe3d build again.') from error


def check_backend(backend: Backend, reference: Reference, precision: str) -> CheckFigures:
    """
    Run the reference's window several times and refuse a backend that is too far from it.

    Captured graphs are other work than the plain first run, so each of CHECKED_RUNS must be right.

    Parameters
    ----------
    backend : an engine of the weights that the reference is of.
    precision : of the engine; decides the limits.

    Returns
    -------
    The worst figures of all runs.

    Raises
    ------
    EngineError
        If a figure is above its limit or not a number; says what to try.
    """
    runs = [
        astuple(
            compare(reference.outputs, run_window(backend, reference.images, reference.cameras))
        )
        for _ in range(CHECKED_RUNS)
    ]
    figures = CheckFigures(*np.max(runs, axis=0).tolist())  # NaN stays NaN
    wrong = above_limits(figures, precision)
    if wrong:
        advice = 'another version of the runtime: some compile this kind of network wrongly'
        if precision != 'fp32':
            advice = f'`moe3d build {backend.spec.name} --precision fp32`, or {advice}'
        raise EngineError(
            f'The engine {backend.name} ({precision}) computes something else than the network of '
            f'{backend.spec.name}: {"; ".join(wrong)}. It must not be used. Try {advice}.'
        )
    return figures


def above_limits(figures: CheckFigures, precision: str) -> list[str]:
    """Return the figures that are too large for a precision, with their limits."""
    limits = asdict(LIMITS[precision])
    return [
        f'{name} {value:.2g} (at most {limits[name]:.2g})'
        for name, value in asdict(figures).items()
        if not value <= limits[name]  # NaN is wrong
    ]


def compare(expected: RawOutputs, outputs: RawOutputs) -> CheckFigures:
    """Return how far outputs are from those that are expected."""
    with np.errstate(all='ignore'):  # an engine may return anything
        ratio = outputs.depth / expected.depth
        confidences = [
            np.abs(getattr(outputs, name) - getattr(expected, name))
            for name in ('boundary_confidence', 'agreement')
        ]
        return CheckFigures(
            abs_rel=float(np.abs(ratio - 1).mean()),
            scale_drift=float(abs(np.median(ratio) - 1)),
            boundary_f1_drift=_boundary_drift(expected.depth, outputs.depth),
            confidence_error=float(np.percentile(confidences, 99)),
            pose_error=float(np.abs(outputs.pose_encoding - expected.pose_encoding).max()),
        )


def _boundary_drift(expected: Float32Array, depth: Float32Array) -> float:
    """Return the mean loss of SI-F1 over the views that have boundaries."""
    drifts = []
    for truth, view in zip(expected, depth, strict=True):
        best = boundary_f1(truth, truth)
        if best > 0:
            drifts.append(1 - boundary_f1(view, truth) / best)
    return max(float(np.mean(drifts)), 0.0) if drifts else 0.0
