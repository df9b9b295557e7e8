"""How cameras move: smooth paths through the free middle of a room, as functions of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from moe3d_engine.types import Float64Array
import numpy as np

Rng: TypeAlias = np.random.Generator
Path: TypeAlias = Callable[[float], Float64Array]  # time in s -> world_from_cam (4, 4)

_SPEED_M_S = 0.85
_TURN_DEG_S = 50.0
_RADIUS_M = _SPEED_M_S / np.radians(_TURN_DEG_S)  # of a walk that turns as it goes


def walk(rng: Rng) -> Path:
    """Walk in a circle, looking ahead and outwards: 7 to 10 cm and 4 to 6 degrees in 0.1 s."""
    start, sense = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    sway = _sway(rng, 0.012, 0.6)

    def pose(time_s: float) -> Float64Array:
        angle = start + sense * (np.radians(_TURN_DEG_S) * time_s + 0.05 * np.sin(1.7 * time_s))
        position = _RADIUS_M * np.array([np.sin(angle), 0, -np.cos(angle)])
        ahead = -angle + (0 if sense > 0 else np.pi)  # yaw along the circle, from +x towards -z
        gaze = np.pi / 2 + ahead + sense * np.radians(35)
        return sway(time_s, position, gaze)

    return pose


def stand(rng: Rng) -> Path:
    """Do not move at all."""
    start = walk(rng)(0.0)
    return lambda _: start


def stand_then_walk(rng: Rng, standing_s: float = 1.5) -> Path:
    """Stand, then begin to walk."""
    way = walk(rng)

    def pose(time_s: float) -> Float64Array:
        moving_s = max(0.0, time_s - standing_s)
        return way(moving_s**2 / (moving_s + 0.5))  # up to speed within about a second

    return pose


def turn(rng: Rng) -> Path:
    """Turn on the spot, up to 3 degrees in 0.1 s."""
    start, sense = walk(rng)(0.0), rng.choice([-1.0, 1.0])
    return lambda time_s: start @ _yaw(sense * np.radians(60) * float(np.sin(time_s / 2)) ** 2)


def walk_with_fast_turns(rng: Rng) -> Path:
    """Walk slowly; turn by 64 degrees at 160 degrees/s, now and then."""
    way, sense = walk(rng), rng.choice([-1.0, 1.0])

    def pose(time_s: float) -> Float64Array:
        rising = np.clip((time_s - 1.0) / 0.4, 0, 1) - np.clip((time_s - 2.5) / 0.4, 0, 1)
        return way(0.3 * time_s) @ _yaw(sense * np.radians(64) * float(rising))

    return pose


def advance(rng: Rng) -> Path:
    """Move along the optical axis at 0.8 m/s, to and fro."""
    direction = rng.uniform(0, 2 * np.pi)
    sway = _sway(rng, 0.004, 0.3)

    def pose(time_s: float) -> Float64Array:
        along = -1.8 + 3.2 / 2 * (1 - np.cos(np.pi * time_s / 6.3))
        return sway(time_s, along * np.array([np.sin(direction), 0, np.cos(direction)]), direction)

    return pose


def hover(rng: Rng) -> Path:
    """Stay within a few centimetres, as a drone that holds its place."""
    start = walk(rng)(0.0)
    sway = _sway(rng, 0.01, 1.0)
    here = start[:3, 3].copy()
    gaze = float(np.arctan2(start[0, 2], start[2, 2]))
    return lambda time_s: sway(time_s, here, gaze)


def _sway(rng: Rng, shift_m: float, turn_deg: float) -> Callable[..., Float64Array]:
    """Return a function of time, position and yaw that adds a carrier's unrest to the pose."""
    frequency = rng.uniform(2, 5, (6, 2))  # rad/s
    phase = rng.uniform(0, 2 * np.pi, (6, 2))
    size = np.array([shift_m] * 3 + [np.radians(turn_deg)] * 3)

    def pose(time_s: float, position: Float64Array, yaw: float) -> Float64Array:
        x, y, z, pitch, turned, roll = size * np.sin(frequency * time_s + phase).sum(axis=1)
        world_from_cam = _yaw(yaw + turned) @ _pitch(pitch) @ _roll(roll)
        world_from_cam[:3, 3] = position + np.array([x, y, z])
        return world_from_cam

    return pose


def _rotation(first: int, second: int, angle: float) -> Float64Array:
    matrix = np.eye(4)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _yaw(angle: float) -> Float64Array:
    """Turn to the right about y, which points down: from +z towards +x."""
    return _rotation(2, 0, angle)


def _pitch(angle: float) -> Float64Array:
    return _rotation(1, 2, angle)


def _roll(angle: float) -> Float64Array:
    return _rotation(0, 1, angle)
