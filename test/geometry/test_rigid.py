"""Small motions on SE(3): inverse of each other, and never away from rotations."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import adjoint
from moe3d_engine.geometry.rigid import motion_between
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.geometry.rigid import vector_from_rotation
import numpy as np
import pytest

STEP = np.array([0.3, -0.2, 0.5, 0.4, -0.9, 0.2])


@pytest.mark.parametrize('angle', [0.0, 1e-12, 1e-4, 1.0, 3.1])
def test_rotation_vector_comes_back(angle: float) -> None:
    vector = angle * np.array([0.6, 0.0, -0.8])

    np.testing.assert_allclose(
        vector_from_rotation(rotation_from_vector(vector)), vector, atol=1e-9
    )


def test_motion_between_is_what_moves_one_to_the_other() -> None:
    start = moved(np.eye(4), STEP)

    np.testing.assert_allclose(motion_between(start, moved(start, -0.5 * STEP)), -0.5 * STEP)


def test_adjoint_carries_a_motion_into_another_frame() -> None:
    a_from_b, small = moved(np.eye(4), STEP), 1e-6 * STEP[::-1]
    in_a = a_from_b @ moved(np.eye(4), small) @ invert_rigid(a_from_b)

    np.testing.assert_allclose(
        motion_between(np.eye(4), in_a), adjoint(a_from_b) @ small, atol=1e-11
    )


def test_thousand_products_with_inverses_stay_rotations() -> None:
    """An inverse by transposition squares what is wrong with a rotation; steps must mend it."""
    reference = pose = moved(np.eye(4), STEP)
    for _ in range(1000):
        pose = moved(pose @ invert_rigid(reference) @ reference, 0.01 * STEP)
        reference = pose

    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
