"""Random scenes with exact ground truth; see render.py (making) and dataset.py (storing)."""

from moe3d_engine.lab.synthetic.render import render_set
from moe3d_engine.lab.synthetic.render import render_trajectory
from moe3d_engine.lab.synthetic.scene_set import HELD_OUT_SEED_START
from moe3d_engine.lab.synthetic.scene_set import SyntheticSet
from moe3d_engine.lab.synthetic.scene_set import VALIDATION_SEED_START

__all__ = [
    'HELD_OUT_SEED_START',
    'VALIDATION_SEED_START',
    'SyntheticSet',
    'render_set',
    'render_trajectory',
]
