"""Several cameras on one body, which stands still in a rendered scene."""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.lab.synthetic.cameras import coarse_depth
from moe3d_engine.lab.synthetic.cameras import coarse_intrinsics
from moe3d_engine.lab.synthetic.cameras import intrinsics_from_focal
from moe3d_engine.lab.synthetic.cameras import is_free
from moe3d_engine.lab.synthetic.cameras import NEAREST_M
from moe3d_engine.lab.synthetic.render import render_views
from moe3d_engine.lab.synthetic.render import scene_of
from moe3d_engine.lab.synthetic.render import SCENE_TRIES
from moe3d_engine.lab.synthetic.scene_set import SyntheticSet
from moe3d_engine.lab.synthetic.walks import place_walk
from moe3d_engine.types import Float64Array
import numpy as np

FOCAL_SHARE = 0.6  # of the image's width: 80 degrees across
# Of each camera: metres to the right of the first one, and its turn to the right in rad.
_MOUNTS = {
    'stereo': ((0.0, 0.0), (0.12, 0.0)),
    'three': ((0.0, 0.0), (-0.15, -0.35), (0.15, 0.35)),
}
RIGS = tuple(_MOUNTS)


def rig_from_cameras(kind: str) -> Float64Array:
    """
    Return where the cameras of a rig sit, (N, 4, 4); the rig's frame is the first camera.

    Parameters
    ----------
    kind : `stereo`, two cameras 12 cm apart; or `three`, one ahead and one 15 cm to each side,
        turned out by 20 degrees.
    """
    mounts = np.tile(np.eye(4), (len(_MOUNTS[kind]), 1, 1))
    for mount, (right_m, turn_rad) in zip(mounts, _MOUNTS[kind], strict=True):
        mount[0, 3] = right_m
        mount[:3, :3] = rotation_from_vector(np.array([0.0, turn_rad, 0.0]))
    return mounts


def render_rig(kind: str, seed: int, image_hw: tuple[int, int] = (288, 384)) -> SyntheticSet:
    """
    Render what the cameras of a rig see at one moment.

    Parameters
    ----------
    kind : see `rig_from_cameras`.
    seed : names the set, as for `render_walk`.
    image_hw : height and width in pixels.

    Raises
    ------
    ConfigError
        If the scenes of the seed have no place for the rig.
    """
    intrinsics = intrinsics_from_focal(FOCAL_SHARE * image_hw[1], image_hw)
    coarse = coarse_intrinsics(intrinsics)
    for attempt in range(SCENE_TRIES):
        stage, tracer = scene_of(seed // 2, attempt)
        rng = np.random.default_rng([seed, attempt, 5])
        first = place_walk(rng, stage, tracer, 1, intrinsics)
        if first is None:
            continue
        poses = first[0] @ rig_from_cameras(kind)
        if all(
            is_free(stage, pose[:3, 3]) and coarse_depth(tracer, coarse, pose).min() > NEAREST_M
            for pose in poses
        ):
            return render_views(tracer, poses, intrinsics, image_hw, 1, 'fast', seed)
    raise ConfigError(f'No place for a rig ({kind}) with seed {seed}; use another seed.')
