"""Poses that odometry has said, at the stamps of images."""

from __future__ import annotations

from bisect import bisect_left
import math
from threading import Lock

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.intake.order import TIME_JUMP_NS
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
import numpy as np

KEPT_NS = 10_000_000_000
MAX_POSES = 20_000
MAX_GAP_NS = 500_000_000  # between poses that lie farther apart, anything may have happened
_IDENTITY = np.eye(3)


class PoseBuffer:
    """
    Keeps the poses of the last ten seconds and interpolates them; never beyond what it knows.

    Any thread may call it.

    Parameters
    ----------
    source : who says the poses, such as `odometry`.
    """

    def __init__(self, source: str = 'odometry') -> None:
        self._source = source
        self._mutex = Lock()
        self._stamps: list[int] = []  # increasing
        self._poses: list[Float64Array] = []

    def clear(self) -> None:
        """Forget all poses."""
        with self._mutex:
            self._stamps.clear()
            self._poses.clear()

    def add(self, stamp_ns: int, world_from_base: Float64Array) -> None:
        """
        Take a pose in.

        Parameters
        ----------
        stamp_ns : newer than the last one; more than a second older begins anew.
        world_from_base : (4, 4) float64 in metres; the world is the odometry's own.

        Raises
        ------
        ShapeError
            If the matrix is no finite rigid transform.
        InputError
            If the stamp is not newer.
        """
        pose = check_rigid(world_from_base)
        with self._mutex:
            if self._stamps and stamp_ns <= self._stamps[-1]:
                back_ns = self._stamps[-1] - stamp_ns
                if back_ns <= TIME_JUMP_NS:
                    raise InputError(
                        f'Its stamp is {back_ns / 1e6:.1f} ms before the last one. Stamps of '
                        f'odometry must increase; is there a second publisher on the topic?'
                    )
                self._stamps.clear()
                self._poses.clear()
            self._stamps.append(stamp_ns)
            self._poses.append(pose)
            first = bisect_left(self._stamps, stamp_ns - KEPT_NS)
            first = max(first, len(self._stamps) - MAX_POSES)
            del self._stamps[:first]
            del self._poses[:first]

    def at(self, stamp_ns: int) -> Float64Array | None:
        """
        Return world_from_base (4, 4) at a stamp.

        Returns
        -------
        The pose between its two neighbours: positions are interpolated linearly, rotations along
        the shortest arc. None before the first and after the last pose, and where the neighbours
        lie more than half a second apart.
        """
        with self._mutex:
            after = bisect_left(self._stamps, stamp_ns)
            if after == len(self._stamps):
                return None
            stamp, pose = self._stamps[after], self._poses[after]
            if stamp == stamp_ns:
                return pose
            if after == 0 or stamp - self._stamps[after - 1] > MAX_GAP_NS:
                return None
            before, pose_before = self._stamps[after - 1], self._poses[after - 1]
        return interpolate(pose_before, pose, (stamp_ns - before) / (stamp - before))

    def is_due(self, stamp_ns: int) -> bool:
        """Return whether the pose that a stamp needs has not come yet, but may come soon."""
        with self._mutex:
            return bool(self._stamps) and 0 < stamp_ns - self._stamps[-1] <= MAX_GAP_NS

    def prior_at(self, stamp_ns: int, base_from_cam: Float64Array) -> PosePrior | None:
        """
        Return where the camera stood at a stamp; None where odometry does not say it.

        Parameters
        ----------
        stamp_ns : of the image.
        base_from_cam : (4, 4), where the camera sits on what odometry moves.
        """
        world_from_base = self.at(stamp_ns)
        if world_from_base is None:
            return None
        return PosePrior(invert_rigid(world_from_base @ base_from_cam), self._source)


def interpolate(a_from_b: Float64Array, a_from_c: Float64Array, share: float) -> Float64Array:
    """
    Return the rigid transform at `share` (0 to 1) of the way from one to another.

    Positions go along a line, rotations along the shortest arc at constant speed.
    """
    turn, _ = cv2.Rodrigues(a_from_b[:3, :3].T @ a_from_c[:3, :3])
    part, _ = cv2.Rodrigues(share * turn)
    between = a_from_b.copy()
    between[:3, :3] = a_from_b[:3, :3] @ part
    between[:3, 3] += share * (a_from_c[:3, 3] - a_from_b[:3, 3])
    return between


def check_rigid(a_from_b: Float64Array) -> Float64Array:
    """
    Return a rigid transform as (4, 4) float64.

    Raises
    ------
    ShapeError
        If it is none.
    """
    matrix = np.array(a_from_b, np.float64)
    if matrix.shape != (4, 4):
        raise ShapeError(f'A pose is a 4x4 matrix; got shape {matrix.shape}.')
    rotation = matrix[:3, :3]
    is_rigid = (
        bool((np.abs(rotation @ rotation.T - _IDENTITY) <= 1e-3).all())
        and cv2.determinant(rotation) > 0
        and all(map(math.isfinite, matrix[:3, 3].tolist()))
        and matrix[3].tolist() == [0.0, 0.0, 0.0, 1.0]
    )
    if not is_rigid:
        raise ShapeError(f'A pose is a finite rigid transform; got {matrix.tolist()}.')
    return matrix
