"""Held-out figures of a network: depth error, flying points and calibration in one pass."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from moe3d_engine.evaluation.calibration import expected_calibration_error
from moe3d_engine.evaluation.depth_metrics import depth_metrics
from moe3d_engine.evaluation.flying_points import flying_points
from moe3d_engine.preprocess import to_network
from moe3d_engine.synthetic.scene_set import SyntheticSet
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np
