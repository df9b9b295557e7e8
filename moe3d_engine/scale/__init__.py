"""Where metres come from, and how one unit is kept."""

from moe3d_engine.scale.config import SCALE_SOURCES
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.scale.estimator import ScaleObservation
from moe3d_engine.scale.window_unit import align_to_previous
from moe3d_engine.scale.window_unit import UnitTracker

__all__ = [
    'SCALE_SOURCES',
    'ScaleConfig',
    'ScaleEstimator',
    'ScaleObservation',
    'UnitTracker',
    'align_to_previous',
]
