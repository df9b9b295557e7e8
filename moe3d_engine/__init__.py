"""
Metric depth, a calibrated boundary confidence and clean clouds from camera images.

The library knows neither ROS nor a GPU: arrays in, arrays out. Names below load what they need on
first use, so that a bare import stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from moe3d_engine.errors import Moe3dError
from moe3d_engine.types import DepthScale
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View

if TYPE_CHECKING:
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.pipeline import Reconstructor
    from moe3d_engine.pipeline import ReconstructorConfig
    from moe3d_engine.views import ViewWindow

__all__ = [
    'DepthScale',
    'Moe3dError',
    'Reconstruction',
    'Reconstructor',
    'ReconstructorConfig',
    'View',
    'ViewWindow',
    'open_backend',
]

_LAZY_NAMES = {
    'Reconstructor': 'moe3d_engine.pipeline',
    'ReconstructorConfig': 'moe3d_engine.pipeline',
    'ViewWindow': 'moe3d_engine.views',
    'open_backend': 'moe3d_engine.backends.open',
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _LAZY_NAMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_LAZY_NAMES[name]), name)
