"""Vision against odometry: whether they tell of the same motion."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import math
from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.scale.motion import EXTRINSICS_RAD
from moe3d_engine.scale.motion import odometry_std
from moe3d_engine.types import Float64Array
from moe3d_engine.types import MotionErrors
from moe3d_engine.types import PosePrior
from moe3d_engine.types import Scale
import numpy as np

STRETCH_NS = 1_000_000_000  # motion is compared over the last second, or a keyframe if longer
MAX_STRETCH_NS = 5_000_000_000
MAX_POSES = 256
MAX_SIGMAS = 4.0
MIN_KEYFRAMES = 3  # in succession; a single one may be a blurred image
ODOMETRY_TURN_SHARE = 0.03  # of the rotation: what wheels and gyroscopes usually lose
MAX_SCALE_STD = 0.33  # not even an unknown scale turns a motion round


@dataclass(frozen=True, slots=True)
class MotionDisagreement:
    """
    What vision and odometry say of the same stretch, where they contradict each other.

    Parameters
    ----------
    stretch_s : how long it took.
    num_keyframes : in succession that disagree.
    vision_m, odometry_m : length of the way; vision's by the scale of then.
    vision_rad, odometry_rad : angle of the rotation.
    translation_sigmas, rotation_sigmas : how far they are apart, in standard deviations.
    """

    stretch_s: float
    num_keyframes: int
    vision_m: float
    odometry_m: float
    vision_rad: float
    odometry_rad: float
    translation_sigmas: float
    rotation_sigmas: float

    def __str__(self) -> str:
        """Say it to a person, with what to do."""
        vision, odometry = math.degrees(self.vision_rad), math.degrees(self.odometry_rad)
        return (
            f'Vision and odometry disagree at {self.num_keyframes} keyframes in succession: over '
            f'the last {self.stretch_s:.1f} s vision says {self.vision_m:.3f} m and {vision:.1f} '
            f'deg, odometry {self.odometry_m:.3f} m and {odometry:.1f} deg (translation '
            f'{self.translation_sigmas:.1f}, rotation {self.rotation_sigmas:.1f} standard '
            f'deviations). Look for slipping wheels, wrong extrinsics of the camera, stamps of '
            f'another clock, or objects that move through the image.'
        )


class _Keyframe(NamedTuple):
    """Where the camera was, by vision in units of the map and by odometry in metres."""

    stamp_ns: int
    map_from_cam: Float64Array
    position_std: float
    rotation_std: float
    world_from_cam: Float64Array
    errors: MotionErrors


class MotionCheck:
    """Compares the motion of the last second by vision and by odometry at each keyframe."""

    def __init__(self) -> None:
        self._past: deque[_Keyframe] = deque(maxlen=MAX_POSES)
        self._num_bad = 0

    def restart(self) -> None:
        """Forget the keyframes: tracking or odometry has begun anew."""
        self._past.clear()
        self._num_bad = 0

    def observe(
        self,
        stamp_ns: int,
        map_from_cam: Float64Array,
        position_std: float,
        rotation_std: float,
        prior: PosePrior,
        scale: Scale,
    ) -> MotionDisagreement | None:
        """
        Return the disagreement, once it has lasted for three keyframes.

        Parameters
        ----------
        stamp_ns : of the keyframe's image.
        map_from_cam : (4, 4), the camera's pose by vision.
        position_std, rotation_std : of each coordinate of it, relative to its neighbours, in
            units of the map and in rad.
        prior : the camera's pose by odometry.
        scale : metres per unit of the map. One that is not in metres is taken from odometry's
            length, so that only directions and rotations are compared.
        """
        world_from_cam = invert_rigid(prior.cam_from_world)
        now = _Keyframe(
            stamp_ns, map_from_cam, position_std, rotation_std, world_from_cam, prior.errors
        )
        if self._past and stamp_ns <= self._past[-1].stamp_ns:
            self.restart()
        while len(self._past) > 1 and stamp_ns - self._past[1].stamp_ns >= STRETCH_NS:
            self._past.popleft()
        first = self._past[0] if self._past else None
        self._past.append(now)
        if first is None or stamp_ns - first.stamp_ns > MAX_STRETCH_NS:
            return None
        found = _compare(first, now, scale, self._num_bad + 1)
        bad = max(found.translation_sigmas, found.rotation_sigmas) > MAX_SIGMAS
        self._num_bad = self._num_bad + 1 if bad else 0
        return found if self._num_bad >= MIN_KEYFRAMES else None


def _compare(
    first: _Keyframe, last: _Keyframe, scale: Scale, num_keyframes: int
) -> MotionDisagreement:
    """Compare the motion from one keyframe to another, seen from the first camera."""
    by_vision = invert_rigid(first.map_from_cam) @ last.map_from_cam
    by_odometry = invert_rigid(first.world_from_cam) @ last.world_from_cam
    way_m = by_odometry[:3, 3]
    odometry_m = float(np.linalg.norm(way_m))
    units = float(np.linalg.norm(by_vision[:3, 3]))
    factor = scale.factor if scale.metric else odometry_m / max(units, 1e-12)
    position_std = factor * math.hypot(first.position_std, last.position_std)
    seen_m = factor * by_vision[:3, 3]
    std_m = math.hypot(position_std, float(odometry_std(odometry_m, last.errors.way_share)))
    along = seen_m * min(scale.std, MAX_SCALE_STD)
    across = EXTRINSICS_RAD**2 * (odometry_m**2 * np.eye(3) - np.outer(way_m, way_m))
    covariance = std_m**2 * np.eye(3) + np.outer(along, along) + across
    apart = way_m - seen_m
    vision_rad, odometry_rad = _angle(by_vision), _angle(by_odometry)
    rotation_std = math.hypot(
        math.sqrt(2) * last.errors.turn_rad,
        ODOMETRY_TURN_SHARE * odometry_rad,
        first.rotation_std,
        last.rotation_std,
    )
    return MotionDisagreement(
        stretch_s=(last.stamp_ns - first.stamp_ns) / 1e9,
        num_keyframes=num_keyframes,
        vision_m=factor * units,
        odometry_m=odometry_m,
        vision_rad=vision_rad,
        odometry_rad=odometry_rad,
        translation_sigmas=math.sqrt(float(apart @ np.linalg.solve(covariance, apart))),
        rotation_sigmas=_angle(invert_rigid(by_odometry) @ by_vision) / rotation_std,
    )


def _angle(a_from_b: Float64Array) -> float:
    """Return the angle in rad of a rotation."""
    return float(np.linalg.norm(cv2.Rodrigues(a_from_b[:3, :3])[0]))
