"""Windows that a plane sweep learns from: true depth, poses with errors, sources that fail."""

from __future__ import annotations

import cv2
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.point_hint import HINT_STRIDE
from moe3d_engine.geometry.point_hint import point_hint
from moe3d_engine.lab.datasets import ViewSets
from moe3d_engine.lab.runs.poses.pose_noise import perturbed
from moe3d_engine.lab.runs.poses.pose_noise import pose_error_px
from moe3d_engine.lab.training.data import augment_colours
from moe3d_engine.lab.training.data import known_windows
from moe3d_engine.lab.training.data import mirror_views
from moe3d_engine.lab.training.data import WindowKey
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from torch.utils.data import Dataset

ROTATION_DEG = (0.01, 0.5)  # of the poses' errors, from and to
TRANSLATION_SHARE = (0.002, 0.06)
MISJUDGED = 0.5  # deviation of the log of what a source says of its error
WRONG, WITHOUT_POSE = 0.06, 0.08  # shares of sources
ALL_WRONG, PASTED, TRACKED = 0.06, 0.2, 0.7  # shares of windows
NUM_POINTS = (15, 250)  # that a tracker has in view, from and to
POINT_ERROR = (0.003, 0.05)  # deviation of the log of their depth
OUTLIERS, OUTLIER_ERROR = 0.06, 0.4  # share of points at most, deviation of their log depth
CORNER_QUALITY, CORNER_GAP_PX = 0.005, 3


class SweepDataset(Dataset[dict[str, np.ndarray]]):
    """
    Windows whose first view is to be published.

    An item holds `images` (V, 3, H, W) float32 in [0, 1], `depth` and `valid` (1, H, W) float32 of
    the first view, as in WindowDataset, the cameras `intrinsics` (V, 3, 3), `cam_from_world`
    (V, 4, 4) and `trust` (V,), and a `hint` (1, 2, H / 4, W / 4); see `model.sweep`.

    Parameters
    ----------
    sets : where the views come from.
    far_m : depth is clipped here.
    """

    def __init__(self, sets: ViewSets, far_m: float) -> None:
        self._sets = sets
        self._far_m = far_m

    def __len__(self) -> int:
        """Return the number of sets."""
        return len(self._sets)

    def __getitem__(self, key: WindowKey) -> dict[str, np.ndarray]:
        """Return the window that `key` names."""
        rng = np.random.default_rng(key.seed)
        source = self._sets[key.set_index]
        views = rng.permutation(len(source.rgb))[: key.num_views]
        rgb, depth = source.rgb[views], source.depth[views]
        world_from_cam, intrinsics = source.world_from_cam[views], source.intrinsics[views]
        if rng.random() < 0.5:
            rgb, depth, intrinsics, world_from_cam = mirror_views(
                rgb, depth, intrinsics, world_from_cam
            )
        cam_from_world = invert_rigid(world_from_cam)
        depth = np.fmin(depth, self._far_m).astype(np.float32)
        hint = tracked_points(rng, rgb[0], depth[0])
        cam_from_world, trust = noisy_poses(rng, cam_from_world, intrinsics, depth[0])
        rgb = self._with_failures(rng, rgb, trust)
        rgb = augment_colours(camera_effects(rgb, rng), rng)
        return {
            'images': np.ascontiguousarray(rgb.transpose(0, 3, 1, 2), np.float32) / 255,
            'depth': depth[:1],
            'valid': known_windows(source.depth[views[:1]]),
            'intrinsics': intrinsics.astype(np.float32),
            'cam_from_world': cam_from_world.astype(np.float32),
            'trust': trust.astype(np.float32),
            'hint': hint[None],
        }

    def _with_failures(
        self, rng: np.random.Generator, rgb: UInt8Array, trust: Float64Array
    ) -> UInt8Array:
        """Let sources show another scene, or something that moves, and lose their poses."""
        rgb = rgb.copy()
        other: UInt8Array | None = None
        if rng.random() < ALL_WRONG:
            other = self._sets[int(rng.integers(len(self._sets)))].rgb
            for index in range(1, len(rgb)):
                rgb[index] = other[index % len(other)]
            return rgb
        if rng.random() < PASTED or rng.random() < WRONG * (len(rgb) - 1):
            other = self._sets[int(rng.integers(len(self._sets)))].rgb
        for index in range(1, len(rgb)):
            kind = rng.random()
            if kind < WITHOUT_POSE and (trust[1:] > 0).sum() > 1:
                trust[index] = 0.0
            elif other is not None and kind > 1 - WRONG and len(rgb) > 2:
                rgb[index] = other[index % len(other)]
            elif other is not None and kind > 0.5:
                paste_patch(rng, rgb[index], other[index % len(other)])
        return rgb


def tracked_points(rng: np.random.Generator, rgb: UInt8Array, depth: Float32Array) -> Float32Array:
    """Return depth at some corners of a view with a tracker's errors (`point_hint`), or none."""
    height, width = depth.shape
    if rng.random() > TRACKED:
        return np.zeros((2, height // HINT_STRIDE, width // HINT_STRIDE), np.float32)
    most = round(float(np.exp(rng.uniform(*np.log(NUM_POINTS)))))
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(gray, 2 * most, CORNER_QUALITY, CORNER_GAP_PX)
    corners = np.zeros((0, 2)) if found is None else found[:, 0].astype(np.float64)
    corners = corners[rng.random(len(corners)) < 0.5][:most]
    # A corner at a step belongs to either side of it.
    column, row = np.rint(corners + rng.integers(-1, 2, corners.shape)).astype(np.int64).T
    seen = depth[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.float64)
    error = rng.normal(0, np.exp(rng.uniform(*np.log(POINT_ERROR))), len(seen))
    is_outlier = rng.random(len(seen)) < rng.uniform(0, OUTLIERS)
    error[is_outlier] += rng.normal(0, OUTLIER_ERROR, int(is_outlier.sum()))
    return point_hint(corners, seen * np.exp(error), (height, width))


def noisy_poses(
    rng: np.random.Generator,
    cam_from_world: Float64Array,
    intrinsics: Float64Array,
    depth: Float32Array,
) -> tuple[Float64Array, Float64Array]:
    """Return poses with errors, (V, 4, 4), and how far they are said to be relied on, (V,)."""
    rotation_deg = float(np.exp(rng.uniform(*np.log(ROTATION_DEG))))
    share = float(np.exp(rng.uniform(*np.log(TRANSLATION_SHARE))))
    noisy = perturbed(cam_from_world, rng, rotation_deg, share)
    middle = float(np.nanmedian(depth))
    error_px = pose_error_px(noisy, float(intrinsics[0, 0, 0]), middle, rotation_deg, share)
    error_px *= np.exp(rng.normal(0, MISJUDGED))
    return noisy, 1 / (1 + error_px**2)


def camera_effects(rgb: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Sharpen too much, blur by motion and change the exposure, as cameras do."""
    out = rgb.copy()
    sharpened = rng.uniform(0.5, 2.5) if rng.random() < 0.35 else 0.0
    for index in range(len(out)):
        image = out[index]
        if rng.random() < 0.12:
            kernel = np.zeros((5, 5), np.float32)
            dx, dy = rng.normal(0, 1, 2)
            tip = (round(2 + 2 * dx / np.hypot(dx, dy)), round(2 + 2 * dy / np.hypot(dx, dy)))
            cv2.line(kernel, (4 - tip[0], 4 - tip[1]), tip, 1.0)
            image = cv2.filter2D(image, -1, kernel / kernel.sum())
        if sharpened:
            smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
            image = cv2.addWeighted(image, 1 + sharpened, smooth, -sharpened, 0)
        if rng.random() < 0.3:
            image = cv2.convertScaleAbs(image, alpha=float(np.exp(rng.normal(0, 0.15))))
        out[index] = image
    return out


def paste_patch(rng: np.random.Generator, image: UInt8Array, other: UInt8Array) -> None:
    """Put a piece of another image over part of this one, in place."""
    height, width = image.shape[:2]
    h, w = int(rng.uniform(0.15, 0.6) * height), int(rng.uniform(0.1, 0.4) * width)
    y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    mask = np.zeros((h, w), np.uint8)
    if rng.random() < 0.5:
        cv2.ellipse(mask, (w // 2, h // 2), (w // 2, h // 2), 0, 0, 360, 1, -1)
    else:
        mask[:] = 1
    region = image[y : y + h, x : x + w]
    np.copyto(region, other[y : y + h, x : x + w], where=mask[..., None] > 0)
