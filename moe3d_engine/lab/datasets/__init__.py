"""Data sets of posed views with depth: rendered ones, and readers of public layouts."""

from __future__ import annotations

from moe3d_engine.lab.datasets.open import open_dataset
from moe3d_engine.lab.datasets.open import ViewSets
from moe3d_engine.lab.view_set import ViewSet

__all__ = ['ViewSet', 'ViewSets', 'open_dataset']
