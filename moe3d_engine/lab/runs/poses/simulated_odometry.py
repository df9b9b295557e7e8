"""Odometry as a wheeled robot would give it, made from true poses: noise, bias and slip."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.types import Float64Array
from moe3d_engine.types import MotionErrors
import numpy as np

# Nobody claims that their odometry is perfect.
MIN_WAY_SHARE, MIN_TURN_DEG = 0.002, 0.02


@dataclass(frozen=True, slots=True)
class OdometryErrors:
    """
    What is wrong with each step of an odometry; steps are independent.

    Parameters
    ----------
    noise : standard deviation of a step's translation along each axis, as a share of its length.
    rotation_deg : standard deviation of its turn about each axis in degrees.
    bias : share by which all lengths are too long; negative = too short.
    slip : share of the steps whose length is wrong by a factor drawn evenly from 0 to 2: wheels
        that spin, or are pushed.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    noise: float = 0.01
    rotation_deg: float = 0.1
    bias: float = 0.0
    slip: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers once."""
        if not (
            0 <= self.noise < math.inf
            and 0 <= self.rotation_deg < math.inf
            and -1 < self.bias < math.inf
            and 0 <= self.slip <= 1
        ):
            raise ConfigError(
                f'Odometry has noise and rotation_deg of at least 0, a bias above -1 and a slip '
                f'from 0 to 1; got {self}.'
            )


def read_odometry_errors(text: str) -> OdometryErrors:
    """
    Read `noise=.01,rotation_deg=.1,bias=.03,slip=.05`; what is left out keeps its default.

    Raises
    ------
    ConfigError
        If a name is unknown, or what follows it is no number of its range.
    """
    names = [field.name for field in fields(OdometryErrors)]
    found: dict[str, float] = {}
    for part in filter(None, text.split(',')):
        name, _, value = part.partition('=')
        try:
            if name not in names:
                raise ValueError(name)
            found[name] = float(value)
        except ValueError as error:
            raise ConfigError(
                f'Simulated odometry is described by NAME=NUMBER for {", ".join(names)}, with '
                f'commas between; got {part!r}.'
            ) from error
    return OdometryErrors(**found)


class SimulatedOdometry:
    """
    Follows true poses with errors of its own.

    Parameters
    ----------
    errors : of each step.
    seed : the same gives the same odometry.
    """

    def __init__(self, errors: OdometryErrors, seed: int) -> None:
        self._errors = errors
        self._rng = np.random.default_rng(seed)
        self._true: Float64Array | None = None  # the newest world_from_cam
        self._odometry_from_cam: Float64Array = np.eye(4)

    @property
    def known_errors(self) -> MotionErrors:
        """What its owner knows of it: the noise, but neither bias nor slip."""
        way_share = max(self._errors.noise, MIN_WAY_SHARE)
        turn_rad = math.radians(max(self._errors.rotation_deg, MIN_TURN_DEG))
        return MotionErrors(way_share, turn_rad)

    def follow(self, world_from_cam: Float64Array) -> Float64Array:
        """
        Return odometry_from_cam (4, 4) of the next true pose, metres.

        The frame of the odometry is the first camera's, so it tells nothing of the true world.
        """
        if self._true is not None:
            self._odometry_from_cam = self._odometry_from_cam @ self._spoil(
                invert_rigid(self._true) @ world_from_cam
            )
        self._true = world_from_cam
        return self._odometry_from_cam

    def _spoil(self, step: Float64Array) -> Float64Array:
        """Return a step (4, 4) with errors; each draws as many numbers, so that seeds compare."""
        errors, rng = self._errors, self._rng
        noise, turn, slipped, factor = rng.normal(size=3), rng.normal(size=3), *rng.random(2)
        length_m = float(np.linalg.norm(step[:3, 3]))
        step[:3, 3] *= (1.0 + errors.bias) * (2.0 * factor if slipped < errors.slip else 1.0)
        step[:3, 3] += errors.noise * length_m * noise
        step[:3, :3] @= rotation_from_vector(math.radians(errors.rotation_deg) * turn)
        return step


def simulate_odometry(
    world_from_cam: Float64Array, errors: OdometryErrors, seed: int
) -> Float64Array:
    """
    Return what an odometry with errors would say of true poses.

    Parameters
    ----------
    world_from_cam : (N, 4, 4) true, in the order of time.
    errors, seed : see SimulatedOdometry.

    Returns
    -------
    (N, 4, 4) odometry_from_cam, metres; the first is the identity.

    Raises
    ------
    ShapeError
        If the poses have another shape.
    """
    if world_from_cam.ndim != 3 or world_from_cam.shape[1:] != (4, 4):
        raise ShapeError(f'Poses have the shape (N, 4, 4); got {world_from_cam.shape}.')
    odometry = SimulatedOdometry(errors, seed)
    return np.stack([odometry.follow(pose) for pose in world_from_cam])
