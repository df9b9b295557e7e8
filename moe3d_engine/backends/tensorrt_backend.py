"""The place of the TensorRT backend, which does not exist yet."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backends.base import Backend
from moe3d_engine.build.manifest import PlanManifest
from moe3d_engine.errors import BackendError


def open_tensorrt(card: WeightsCard, *, threads: int | None = None) -> Backend:
    """
    Refuse: there is no TensorRT runtime yet.

    Raises
    ------
    BackendError
        Always.
    """
    raise BackendError(
        f'This version has no TensorRT runtime yet and cannot open {card.name} with it; choose '
        'the backend openvino (CPU) or torch (reference).'
    )


def open_plans(card: WeightsCard, folder: Path, manifest: PlanManifest) -> Backend:
    """
    Refuse, as `open_tensorrt` does: to run the plans of a folder for `moe3d build`.

    Raises
    ------
    BackendError
        Always.
    """
    raise BackendError(
        f'This version has no TensorRT runtime yet and cannot run the {manifest.precision} plans '
        f'of {card.name} in {folder}.'
    )
