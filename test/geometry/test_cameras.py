"""Intrinsics, rigid transforms and the pose encoding."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import cam_from_world_from_pose_encoding
from moe3d_engine.geometry.cameras import crop_intrinsics
from moe3d_engine.geometry.cameras import fov_from_intrinsics
from moe3d_engine.geometry.cameras import intrinsics_from_fov
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.cameras import pose_encoding_from_cameras
from moe3d_engine.geometry.cameras import quaternion_from_rotation
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.geometry.cameras import scale_intrinsics
import numpy as np
import pytest

INTRINSICS = np.array([[400.0, 0.0, 310.0], [0.0, 420.0, 245.0], [0.0, 0.0, 1.0]])


def random_cameras(rng: np.random.Generator, num_views: int) -> np.ndarray:
    """Return (V, 4, 4) rigid transforms."""
    cameras = np.tile(np.eye(4), (num_views, 1, 1))
    cameras[:, :3, :3] = rotation_from_quaternion(rng.normal(size=(num_views, 4)))
    cameras[:, :3, 3] = rng.normal(size=(num_views, 3))
    return cameras


def test_scaling_intrinsics_keeps_the_image_corners_in_place() -> None:
    """The corner (-0.5, -0.5) of the image looks along the same ray before and after."""
    corner = np.array([-0.5, -0.5, 1.0])

    scaled = scale_intrinsics(INTRINSICS, 0.25, 0.5)

    np.testing.assert_allclose(
        np.linalg.solve(scaled, corner), np.linalg.solve(INTRINSICS, corner), atol=1e-12
    )
    np.testing.assert_allclose(scaled[[0, 1], [0, 1]], [100.0, 210.0])


def test_scaling_back_is_identity() -> None:
    """The inverse scale undoes a scale."""
    there = scale_intrinsics(INTRINSICS, 0.3, 0.7)

    np.testing.assert_allclose(scale_intrinsics(there, 1 / 0.3, 1 / 0.7), INTRINSICS)


def test_crop_moves_the_principal_point_only() -> None:
    """Cutting columns and rows shifts the centre by as many pixels."""
    cropped = crop_intrinsics(INTRINSICS, left=10, top=4)

    np.testing.assert_allclose(INTRINSICS - cropped, [[0, 0, 10], [0, 0, 4], [0, 0, 0]])


def test_fov_rays_touch_the_image_borders() -> None:
    """The full field of view reaches from the left edge of the image to its right edge."""
    intrinsics = intrinsics_from_fov(0.8, 1.1, (48, 64))

    rays = np.linalg.solve(intrinsics, [[-0.5, 63.5], [-0.5, 47.5], [1.0, 1.0]])

    np.testing.assert_allclose(np.arctan(rays[0]), [-0.55, 0.55])
    np.testing.assert_allclose(np.arctan(rays[1]), [-0.4, 0.4])


def test_fov_round_trip_is_identity() -> None:
    """Field of view to intrinsics and back."""
    fov_h, fov_w = fov_from_intrinsics(intrinsics_from_fov(0.8, 1.1, (48, 64)), (48, 64))

    np.testing.assert_allclose([fov_h, fov_w], [0.8, 1.1])


@pytest.mark.parametrize('fov', [0.0, -0.1, np.pi, np.nan])
def test_impossible_fov_is_refused(fov: float) -> None:
    """VGGT's ReLU can emit a field of view of 0, which is no camera."""
    with pytest.raises(ShapeError, match='between 0 and pi'):
        intrinsics_from_fov(fov, 1.0, (48, 64))


def test_inverse_of_a_rigid_transform_undoes_it(rng: np.random.Generator) -> None:
    """The product with the inverse is the identity."""
    a_from_b = random_cameras(rng, 5)

    np.testing.assert_allclose(
        invert_rigid(a_from_b) @ a_from_b, np.tile(np.eye(4), (5, 1, 1)), atol=1e-12
    )


def test_quaternion_round_trip_is_identity_near_half_turns(rng: np.random.Generator) -> None:
    """Rotation to quaternion and back, where w vanishes, too."""
    quaternions = np.concatenate([rng.normal(size=(50, 4)), np.eye(4), -np.eye(4)])
    rotations = rotation_from_quaternion(quaternions)

    again = quaternion_from_rotation(rotations)

    np.testing.assert_allclose(rotation_from_quaternion(again), rotations, atol=1e-12)
    assert (again[:, 3] >= 0).all()


def test_quaternion_order_is_scalar_last() -> None:
    """A quarter turn about z is (0, 0, sin 45, cos 45)."""
    half = np.sqrt(0.5)

    rotation = rotation_from_quaternion([0.0, 0.0, half, half])

    np.testing.assert_allclose(rotation @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


def test_zero_quaternion_is_refused() -> None:
    """A network that returns zeros gives no rotation."""
    with pytest.raises(ShapeError, match='other than zero'):
        rotation_from_quaternion(np.zeros((2, 4)))


def test_decoding_encoded_cameras_returns_them_relative_to_the_first(
    rng: np.random.Generator,
) -> None:
    """Encode, scale the quaternion, decode: the same cameras in the first one's world."""
    cam_from_world = random_cameras(rng, 4)
    intrinsics = np.tile(INTRINSICS, (4, 1, 1))
    encoding = pose_encoding_from_cameras(cam_from_world, intrinsics, (480, 640))
    encoding[:, 3:7] *= 3.0

    decoded = cam_from_world_from_pose_encoding(encoding)

    np.testing.assert_array_equal(decoded[0], np.eye(4))
    expected = cam_from_world @ invert_rigid(cam_from_world[0])
    np.testing.assert_allclose(decoded, expected, atol=1e-12)


def test_encoding_holds_vggt_fields_of_view() -> None:
    """The last two numbers are fov_h and fov_w."""
    encoding = pose_encoding_from_cameras(np.eye(4)[None], INTRINSICS[None], (480, 640))

    np.testing.assert_allclose(encoding[0, 7:], 2 * np.arctan([240 / 420, 320 / 400]))


def test_wrong_pose_encoding_shape_is_refused() -> None:
    """A batch axis too many is named."""
    with pytest.raises(ShapeError, match=r'\(V, 9\)'):
        cam_from_world_from_pose_encoding(np.zeros((1, 2, 9)))
