"""A near board before a far wall, seen by a camera that goes to the right."""

from __future__ import annotations

import cv2
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np

FOCAL_PX, STEP_M, NEAR_M, FAR_M = 300.0, 0.1, 1.8, 3.0
SIDE = (280, 420)
INTRINSICS = np.array([[FOCAL_PX, 0.0, 209.5], [0.0, FOCAL_PX, 139.5], [0.0, 0.0, 1.0]])


def view_from(index: float) -> View:
    """Return a near board before a far wall, seen from so many steps to the right."""
    image = np.empty((*SIDE, 3), np.uint8)
    u = np.arange(SIDE[1]) + np.zeros((SIDE[0], 1))
    for depth_m, seed in ((FAR_M, 1), (NEAR_M, 2)):
        shift = FOCAL_PX * STEP_M * index / depth_m
        layer = shifted(blobs(seed), shift)
        layer[..., 0] = round(255 * (depth_m - 1.0) / 4.0)  # what the fake network reads
        seen = depth_m == FAR_M or (abs(u + shift - 230.0) < 90.0)
        image = np.where(np.broadcast_to(seen, SIDE)[..., None], layer, image)
    return View(image, INTRINSICS)


def blobs(seed: int) -> UInt8Array:
    """Return a texture of bright colours (280, 520, 3)."""
    noise = np.random.default_rng(seed).integers(140, 256, (40, 75, 3), np.uint8)
    large = cv2.resize(noise, (520, 280), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 140, 255), np.uint8)


def shifted(texture: UInt8Array, shift_px: float) -> UInt8Array:
    """Return what is seen of a texture from a step to the right."""
    motion = np.array([[1.0, 0.0, -shift_px], [0.0, 1.0, 0.0]])
    return np.asarray(cv2.warpAffine(texture, motion, SIDE[::-1]), np.uint8)
