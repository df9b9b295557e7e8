"""
Metric depth, a calibrated boundary confidence and clean clouds from camera images.

The library knows neither ROS nor a GPU: arrays in, arrays out. Names below load what they need on
first use, so that a bare import stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from moe3d_engine.errors import Moe3dError
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import Scale
from moe3d_engine.types import View

if TYPE_CHECKING:
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.network import Engine
    from moe3d_engine.policy import Thresholds
    from moe3d_engine.scale import ScaleConfig
    from moe3d_engine.session import Session
    from moe3d_engine.session import SessionConfig
    from moe3d_engine.window import WindowConfig

__all__ = [
    'Engine',
    'Moe3dError',
    'Reconstruction',
    'Scale',
    'ScaleConfig',
    'Session',
    'SessionConfig',
    'Thresholds',
    'View',
    'WindowConfig',
    'open_backend',
]

_LAZY_NAMES = {
    'Engine': 'moe3d_engine.network',
    'ScaleConfig': 'moe3d_engine.scale',
    'Session': 'moe3d_engine.session',
    'SessionConfig': 'moe3d_engine.session',
    'Thresholds': 'moe3d_engine.policy',
    'WindowConfig': 'moe3d_engine.window',
    'open_backend': 'moe3d_engine.backends.open',
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _LAZY_NAMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_LAZY_NAMES[name]), name)
