"""Where the cameras of a rig sit on it, in metres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.types import Float64Array
import numpy as np

POSITION_STD_M = 0.001  # of a camera on its rig: what a usual calibration reaches
MAX_ROTATION_ERROR = 1e-3  # of R^T R: rounded to four digits is a rotation, typed wrongly is not
MAX_POSITION_M = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """
    Several cameras that are mounted on one body.

    Parameters
    ----------
    rig_from_camera : (4, 4) of each camera's optical frame, by its name; metres. Rotations are
        made orthonormal where digits were cut.
    position_std_m : standard deviation of each coordinate of a camera's place.

    Raises
    ------
    ConfigError
        If there is no camera, a matrix is no rigid transform, or the deviation is none.
    """

    rig_from_camera: Mapping[str, Float64Array]
    position_std_m: float = POSITION_STD_M

    def __post_init__(self) -> None:
        """Check the values once."""
        if not self.rig_from_camera:
            raise ConfigError('A rig has one camera at least; got none.')
        if not 0.0 < self.position_std_m < math.inf:
            raise ConfigError(
                f"position_std_m, the deviation of a camera's place on the rig, is a number of "
                f'metres above 0; got {self.position_std_m}.'
            )
        checked = {
            camera: rigid_transform(matrix, f'the camera {camera}')
            for camera, matrix in self.rig_from_camera.items()
        }
        object.__setattr__(self, 'rig_from_camera', checked)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order in which they were given."""
        return tuple(self.rig_from_camera)

    def cam_from_rig(self, camera: str) -> Float64Array:
        """Return the pose (4, 4) of a camera, as views have it."""
        return invert_rigid(self.rig_from_camera[camera])

    def second_from_first(self, first: str, second: str) -> Float64Array:
        """Return the transform (4, 4) from one camera to another."""
        return self.cam_from_rig(second) @ self.rig_from_camera[first]

    def baseline_m(self, first: str, second: str) -> float:
        """Return the distance of two cameras."""
        return float(np.linalg.norm(self.second_from_first(first, second)[:3, 3]))

    def baseline_log_std(self, first: str, second: str) -> float:
        """Return the deviation of the logarithm of their distance; inf where they are one."""
        baseline_m = self.baseline_m(first, second)
        return math.sqrt(2) * self.position_std_m / baseline_m if baseline_m > 0 else math.inf

    def of(self, cameras: tuple[str, ...]) -> Rig:
        """
        Return the rig of some of the cameras, in their order.

        Raises
        ------
        ConfigError
            If the place of one is not known.
        """
        missing = [camera for camera in cameras if camera not in self.rig_from_camera]
        if missing:
            raise ConfigError(
                f'Nobody says where on the rig {" and ".join(missing)} sits; known are '
                f'{", ".join(self.cameras)}. Add it to the extrinsics, or use their names in '
                f'camera.names.'
            )
        return Rig({c: self.rig_from_camera[c] for c in cameras}, self.position_std_m)

    def seen_from(self, camera: str) -> Rig:
        """Return the same rig, whose frame is that of one of its cameras."""
        cam_from_rig = self.cam_from_rig(camera)
        moved = {name: cam_from_rig @ matrix for name, matrix in self.rig_from_camera.items()}
        return Rig(moved, self.position_std_m)


def rigid_transform(matrix: Float64Array, what: str) -> Float64Array:
    """
    Return a matrix as a rigid transform (4, 4), its rotation orthonormal to the last digit.

    Parameters
    ----------
    matrix : as somebody has written it.
    what : whose it is, for the error.

    Raises
    ------
    ConfigError
        If it is no rigid transform; says why.
    """
    given = np.asarray(matrix, np.float64)
    if given.shape != (4, 4) or not np.isfinite(given).all():
        raise ConfigError(
            f'The place of {what} is a 4x4 matrix of finite numbers; got '
            f'{given.tolist() if given.size <= 16 else given.shape}.'
        )
    if not np.allclose(given[3], (0.0, 0.0, 0.0, 1.0), atol=1e-9):
        raise ConfigError(
            f'The last row of the matrix of {what} is 0 0 0 1; got {given[3].tolist()}. Is it '
            f'transposed?'
        )
    rotation = given[:3, :3]
    error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if error > MAX_ROTATION_ERROR or np.linalg.det(rotation) < 0:
        raise ConfigError(
            f'The upper left 3x3 of the matrix of {what} is a rotation; got {rotation.tolist()}, '
            f'whose R^T R is off by {error:.3g} and whose determinant is '
            f'{np.linalg.det(rotation):.3g} instead of 1. Was it scaled, mirrored or mistyped?'
        )
    if float(np.abs(given[:3, 3]).max()) > MAX_POSITION_M:
        raise ConfigError(
            f'The position of {what} is in metres; got {given[:3, 3].tolist()}, on no rig.'
        )
    left, _, right = np.linalg.svd(rotation)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = left @ right, given[:3, 3]
    return result
