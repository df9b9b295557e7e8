"""The weights that are shipped with the package, and the cards that describe weights."""

from __future__ import annotations

from moe3d_engine.assets.card import find_weights
from moe3d_engine.assets.card import WeightsCard

__all__ = ['WeightsCard', 'find_weights']
