"""Where the camera of a robot goes: short steps, turns, and standing still."""

from __future__ import annotations

from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.lab.synthetic.cameras import coarse_depth
from moe3d_engine.lab.synthetic.cameras import coarse_intrinsics
from moe3d_engine.lab.synthetic.cameras import good_depth
from moe3d_engine.lab.synthetic.cameras import is_free
from moe3d_engine.lab.synthetic.cameras import look_at
from moe3d_engine.lab.synthetic.cameras import NEAREST_M
from moe3d_engine.lab.synthetic.cameras import Rng
from moe3d_engine.lab.synthetic.cameras import view_of
from moe3d_engine.lab.synthetic.tracing import Tracer
from moe3d_engine.lab.synthetic.worlds.rooms import Stage
from moe3d_engine.types import Float64Array
import numpy as np

_TRIES = 80
_STANDING, _TURNING = 0.06, 0.10  # shares of walks that do not move, that only turn
_STEP_M = (0.02, 0.30)
_MOST_TURN_RAD = np.radians(20.0)  # from one keyframe to the next
_TREMBLE_M = 0.002
_AHEAD_SHARE = 0.35  # of walks that start with any gaze, not with one at a target


def place_walk(
    rng: Rng, stage: Stage, tracer: Tracer, num_views: int, intrinsics: Float64Array
) -> Float64Array | None:
    """
    Return world_from_cam (V, 4, 4) of the keyframes of a robot, or None if it finds no way.

    Steps are 2 to 30 cm, turns up to 20 degrees; some walks only turn, some stand still.
    """
    coarse = coarse_intrinsics(intrinsics)
    for _ in range(_TRIES):
        first = _start(rng, stage)
        if first is None or not is_free(stage, first[:3, 3]):
            continue
        if good_depth(stage, tracer, coarse, first, int(rng.choice([2, 4, 8]))) is None:
            continue
        poses = _walk(rng, first, num_views)
        if all(is_free(stage, pose[:3, 3]) for pose in poses[1:]) and all(
            coarse_depth(tracer, coarse, pose).min() > NEAREST_M for pose in poses[1:]
        ):
            return poses
    return None


def _start(rng: Rng, stage: Stage) -> Float64Array | None:
    """Draw a camera that looks at a target, or anywhere from anywhere, or None."""
    if rng.random() >= _AHEAD_SHARE:
        target = stage.targets[int(rng.integers(len(stage.targets)))] + rng.normal(0, 0.2, 3)
        return view_of(rng, stage, target, stage.distance_m)
    position = rng.uniform(stage.low, stage.high)
    yaw, pitch = rng.uniform(0, 2 * np.pi), rng.uniform(-0.45, 0.2)
    gaze = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    return look_at(position, position + gaze, rng.normal(0, 0.04))


def _walk(rng: Rng, first: Float64Array, num_views: int) -> Float64Array:
    """Move a camera step by step; step, heading and turn change a little on the way."""
    kind = rng.random()
    step_m = float(rng.uniform(*_STEP_M))
    if kind < _STANDING + _TURNING:
        step_m = 0.0
    turn_rad = 0.0 if kind < _STANDING else _MOST_TURN_RAD * float(rng.beta(1.0, 2.5))
    heading = _heading(rng)
    turn_axis = rng.normal(0, 1, 3) * (0.35, 1.0, 0.15)
    poses = [first]
    for _ in range(num_views - 1):
        heading = heading + rng.normal(0, 0.15, 3)
        move = step_m * rng.uniform(0.6, 1.2) * heading / np.linalg.norm(heading)
        axis = turn_axis + rng.normal(0, 0.25, 3)
        axis *= turn_rad * rng.uniform(0.4, 1.0) / np.linalg.norm(axis)
        pose = poses[-1].copy()
        pose[:3, 3] += pose[:3, :3] @ move + rng.normal(0, _TREMBLE_M, 3)
        pose[:3, :3] = pose[:3, :3] @ rotation_from_vector(axis + rng.normal(0, 0.002, 3))
        poses.append(pose)
    return np.stack(poses)


def _heading(rng: Rng) -> Float64Array:
    """Draw a direction of travel in the camera's frame: ahead, sideways or any."""
    kind = rng.random()
    if kind < 0.35:
        return np.array([0.0, 0.0, 1.0]) + rng.normal(0, 0.25, 3)
    if kind < 0.75:
        return np.array([rng.choice([-1.0, 1.0]), 0.0, 0.0]) + rng.normal(0, 0.3, 3)
    return np.asarray(rng.normal(0, 1, 3) * (1.0, 0.5, 1.0))
