"""The place of the TensorRT backend, which does not exist yet."""

from __future__ import annotations

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backends.base import Backend
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
