"""A small scene of points, and cameras that see it."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.geometry.rigid import moved
from moe3d_engine.types import Float64Array
import numpy as np
import pytest

INTRINSICS = np.array([[500.0, 0.0, 270.0], [0.0, 500.0, 180.0], [0.0, 0.0, 1.0]])


class PointScene(NamedTuple):
    """Points (P, 3) and cameras (C, 4, 4) along a bent way of 8 cm a step."""

    points: Float64Array
    cam_from_map: Float64Array

    def pixels(self, camera: int) -> Float64Array:
        """Return where a camera sees the points (P, 2)."""
        return project(self.points, self.cam_from_map[camera])


def project(points: Float64Array, cam_from_map: Float64Array) -> Float64Array:
    """Return the pixels (P, 2) of points."""
    seen = (points @ cam_from_map[:3, :3].T + cam_from_map[:3, 3]) @ INTRINSICS.T
    pixels: Float64Array = seen[:, :2] / seen[:, 2:]
    return pixels


@pytest.fixture(scope='session')
def scene() -> PointScene:
    """Return 200 points, 2 to 6 m away, and 5 cameras."""
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-2, 2, (200, 2)), rng.uniform(2, 6, 200)]
    steps = [np.array([0.08 * k, 0.01 * k, 0.02 * k, 0.01 * k, 0.03 * k, 0.0]) for k in range(5)]
    return PointScene(points, np.stack([moved(np.eye(4), step) for step in steps]))
