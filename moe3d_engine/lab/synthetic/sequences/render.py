"""Rendering of sequences: one trouble, one seed, exact poses and depth."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.lab.synthetic.cameras import intrinsics_from_focal
from moe3d_engine.lab.synthetic.sequences.planes import Picture
from moe3d_engine.lab.synthetic.sequences.room import make_room
from moe3d_engine.lab.synthetic.sequences.troubles import Trouble
from moe3d_engine.lab.synthetic.sequences.troubles import TROUBLES
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np

FOCAL = 0.85  # of the image's width
NOISE = 1.5  # grey levels, standard deviation
GAP_S = 1.0
START_NS = 1_000_000_000
_COLOURS = (1.0, 0.97, 0.9)  # of all surfaces
_BOARD_M = 1.0  # from the camera
_BOARD_HEIGHT = 1.5  # of the image's
_RESIZED = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """
    Images of one camera with the truth.

    Parameters
    ----------
    name : of the trouble.
    views : N calibrated views in the order in which they arrive.
    cam_from_world : (N, 4, 4) in metres; the world is the first camera.
    depth : N times (H, W) float32 metres along optical z, at pixel centres of the view.
    """

    name: str
    views: tuple[View, ...]
    cam_from_world: Float64Array
    depth: tuple[Float32Array, ...]


def render_sequence(
    trouble: str, seed: int, num_frames: int = 50, image_hw: tuple[int, int] = (240, 320)
) -> Sequence:
    """
    Render a sequence; the same arguments give the same bytes.

    Parameters
    ----------
    trouble : a name of TROUBLES.
    seed : names the room, the path and the noise.
    num_frames : views.
    image_hw : height and width in pixels.

    Raises
    ------
    ConfigError
        If there is no trouble of that name.
    """
    if trouble not in TROUBLES:
        raise ConfigError(f'There is no trouble {trouble!r}; choose one of {", ".join(TROUBLES)}.')
    kind = TROUBLES[trouble]
    scene = _pictures(replace(kind, effect=None), seed, num_frames, image_hw)
    noise = np.random.default_rng([seed, 2])
    views = []
    for index, (time_s, picture) in enumerate(zip(scene.times_s, scene.pictures, strict=True)):
        grey, intrinsics = picture.grey, scene.intrinsics[index]
        if kind.effect is not None:
            before, now = scene.cam_from_world[max(0, index - 1)], scene.cam_from_world[index]
            motion_px = _motion_px(before @ invert_rigid(now), picture.depth, intrinsics)
            grey = kind.effect(grey, index, num_frames, motion_px)
        stamp_ns = START_NS + round(1e9 * float(time_s))
        views.append(View(_expose(grey, noise), intrinsics, stamp_ns, 'camera_optical_frame'))
    depth = tuple(picture.depth for picture in scene.pictures)
    return Sequence(trouble, tuple(views), scene.cam_from_world, depth)


class _Pictures(NamedTuple):
    """A sequence before light, lens and sensor."""

    times_s: Float64Array
    cam_from_world: Float64Array
    intrinsics: tuple[Float64Array, ...]
    pictures: tuple[Picture, ...]


@lru_cache(maxsize=1)  # several troubles differ in their effect only
def _pictures(kind: Trouble, seed: int, num_frames: int, image_hw: tuple[int, int]) -> _Pictures:
    times_s = _times(kind, num_frames)
    board_hw_m = _board_hw_m(kind, image_hw) if kind.board_width else None
    world = make_room(np.random.default_rng([seed, 0]), kind.look, board_hw_m)
    path = kind.path(np.random.default_rng([seed, 1]))
    world_from_cam = np.stack([path(float(time_s)) for time_s in times_s])
    cam_from_world = invert_rigid(world_from_cam)
    all_intrinsics, pictures = [], []
    for index in range(num_frames):
        scale = _RESIZED if kind.stream == 'resized' and 2 * index >= num_frames else 1.0
        hw = round(scale * image_hw[0]), round(scale * image_hw[1])
        intrinsics = intrinsics_from_focal(FOCAL * image_hw[1], image_hw)
        intrinsics = scale_intrinsics(intrinsics, scale, scale)
        moved = {}
        if kind.board_width:
            board = _cam_from_board(kind.board_width, index / num_frames)
            moved[len(world.faces) - 1] = world_from_cam[index] @ board
        pictures.append(world.picture(cam_from_world[index], intrinsics, hw, moved))
        all_intrinsics.append(intrinsics)
    relative = cam_from_world @ world_from_cam[0]
    return _Pictures(times_s, relative, tuple(all_intrinsics), tuple(pictures))


def _times(kind: Trouble, num_frames: int) -> Float64Array:
    """Return when the images are taken, in s."""
    index = np.arange(num_frames)
    if kind.stream == 'looped':
        index %= (num_frames + 1) // 2
    times_s = index / kind.rate_hz
    if kind.stream == 'gaps':
        times_s += GAP_S * (3 * np.arange(num_frames) // num_frames)
    return np.asarray(times_s, np.float64)


def _board_hw_m(kind: Trouble, image_hw: tuple[int, int]) -> tuple[float, float]:
    width_m = _BOARD_M / FOCAL  # of what the image shows there
    return _BOARD_HEIGHT * width_m * image_hw[0] / image_hw[1], kind.board_width * width_m


def _cam_from_board(width: float, share: float) -> Float64Array:
    """Return where the board stands: it crosses the image in the middle six tenths."""
    crossing = (share - 0.2) / 0.6
    pose = np.eye(4)
    turned = 0.15 * np.sin(6 * share)
    pose[0, 0] = pose[2, 2] = np.cos(turned)
    pose[0, 2], pose[2, 0] = np.sin(turned), -np.sin(turned)
    pose[0, 3] = (crossing - 0.5) * (1.1 + width) * _BOARD_M / FOCAL
    pose[2, 3] = _BOARD_M + 0.08 * np.sin(9 * share)
    if not 0 <= crossing <= 1:
        pose[2, 3] = -10.0  # behind the camera
    return pose


def _motion_px(
    before_from_now: Float64Array, depth: Float32Array, intrinsics: Float64Array
) -> Float64Array:
    """Return how far (u, v) the middle of the image has moved since the frame before."""
    centre = np.array([(depth.shape[1] - 1) / 2, (depth.shape[0] - 1) / 2, 1.0])
    z = float(np.median(depth))
    there = before_from_now[:3, :3] @ (z * np.linalg.solve(intrinsics, centre))
    there = intrinsics @ (there + before_from_now[:3, 3])
    return np.asarray(centre[:2] - there[:2] / there[2], np.float64)


def _expose(grey: Float32Array, rng: np.random.Generator) -> UInt8Array:
    """Return colours with the sensor's noise."""
    noisy = grey + rng.normal(0, NOISE, grey.shape).astype(np.float32)
    colours = [cv2.convertScaleAbs(np.clip(noisy, 0, 255), alpha=c) for c in _COLOURS]
    return np.asarray(cv2.merge(colours), np.uint8)
