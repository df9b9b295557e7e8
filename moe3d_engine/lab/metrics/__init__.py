"""
Metrics as pure functions: arrays in, numbers out; docs/metrics.md has formulas and sources.

What needs scipy is imported at the first use of its name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from moe3d_engine.geometry.depth_edges import boundary_f1 as boundary_f1
from moe3d_engine.lab.metrics.boundaries import boundary_f1_moge as boundary_f1_moge
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics as depth_metrics
from moe3d_engine.lab.metrics.flying_points import flying_point_rate as flying_point_rate
from moe3d_engine.lab.metrics.poses import relative_pose_auc as relative_pose_auc
from moe3d_engine.lab.metrics.poses import trajectory_errors as trajectory_errors

_NEED_SCIPY = {
    'depth_boundary_errors': 'ibims',
    'edge_chamfer': 'edge_cloud',
    'f_score': 'reconstruction',
    'free_space_violation': 'mapping',
    'fuse_depth': 'mapping',
    'near_surface_share': 'edge_cloud',
    'reconstruction_metrics': 'reconstruction',
    'umeyama': 'reconstruction',
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any of the functions above)
    """Import a metric that needs scipy."""
    if name not in _NEED_SCIPY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_NEED_SCIPY[name]}'), name)
