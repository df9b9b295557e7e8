"""Windows of views for training: random subsets of sets, augmented in colour only."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
import os
import time
from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import pose_encoding_from_cameras
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.datasets import ViewSets
from moe3d_engine.lab.training.losses import ENVELOPE_WINDOW
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data import Sampler

MOST_WORKERS = 16


class WindowKey(NamedTuple):
    """Names one training window: which set, how many of its views, which augmentation."""

    set_index: int
    num_views: int
    seed: int


class WindowSampler(Sampler[list[WindowKey]]):
    """
    Draw batches of window keys, a function of (seed, step, rank) alone.

    A resumed run therefore continues with the batch that it would have seen next.
    """

    def __init__(
        self,
        num_sets: int,
        batch_size: int,
        view_counts: tuple[int, ...],
        steps: range,
        seed: int,
        rank: int = 0,
    ) -> None:
        self._num_sets = num_sets
        self._batch_size = batch_size
        self._view_counts = view_counts
        self._steps = steps
        self._seed = seed
        self._rank = rank

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._steps)

    def __iter__(self) -> Iterator[list[WindowKey]]:
        """Yield one batch of keys per step; all of a batch have the same number of views."""
        for step in self._steps:
            num_views = int(np.random.default_rng([self._seed, step]).choice(self._view_counts))
            rng = np.random.default_rng([self._seed, step, self._rank])
            yield [
                WindowKey(int(rng.integers(self._num_sets)), num_views, int(rng.integers(2**31)))
                for _ in range(self._batch_size)
            ]


class WindowDataset(Dataset[dict[str, np.ndarray]]):
    """
    Training windows of a data set.

    An item holds `images` (V, 3, H, W) float32 in [0, 1], `depth` (V, H, W) float32, in metres
    and clipped at `far_m`, `valid` (V, H, W) float32, 1 where all depth of the window that the
    losses look at is known, and `pose_encoding` (V, 9) float32 of the cameras with the first view
    as the world. Unknown depth reads as `far_m`.

    Parameters
    ----------
    sets : where the views come from.
    far_m : depth is clipped here.
    metric : metres, or else scaled so that the mean distance of the window's known points from
        the first camera is 1, as in VGGT's training.
    augment : whether to choose, mirror and recolour views by the key's seed.
    """

    def __init__(self, sets: ViewSets, far_m: float, *, metric: bool, augment: bool) -> None:
        self._sets = sets
        self._far_m = far_m
        self._metric = metric
        self._augment = augment

    def __len__(self) -> int:
        """Return the number of sets."""
        return len(self._sets)

    def __getitem__(self, key: WindowKey) -> dict[str, np.ndarray]:
        """Return the window that `key` names."""
        rng = np.random.default_rng(key.seed)
        source = self._sets[key.set_index]
        views = np.arange(len(source.rgb))
        if self._augment:
            views = rng.permutation(views)
        views = views[: key.num_views]
        rgb, depth = source.rgb[views], source.depth[views]
        world_from_cam, intrinsics = source.world_from_cam[views], source.intrinsics[views]
        if self._augment:
            if rng.random() < 0.5:
                rgb, depth, intrinsics, world_from_cam = mirror_views(
                    rgb, depth, intrinsics, world_from_cam
                )
            rgb = augment_colours(rgb, rng)
        first_from_world = np.linalg.inv(world_from_cam[0])
        first_from_cam = np.asarray(first_from_world @ world_from_cam, np.float64)
        unit_m = 1.0 if self._metric else mean_distance(depth, intrinsics, first_from_cam)
        first_from_cam[:, :3, 3] /= unit_m
        cam_from_first = np.asarray(np.linalg.inv(first_from_cam), np.float64)
        encoding = pose_encoding_from_cameras(cam_from_first, intrinsics, depth.shape[1:])
        clipped = np.fmin(depth, self._far_m).astype(np.float32)
        return {
            'images': np.ascontiguousarray(rgb.transpose(0, 3, 1, 2), np.float32) / 255,
            'depth': clipped / np.float32(unit_m),
            'valid': known_windows(depth),
            'pose_encoding': encoding.astype(np.float32),
        }


def num_workers(asked: int, num_processes: int = 1) -> int:
    """Return how many processes load windows for each of those that train; see TrainConfig."""
    cores = len(os.sched_getaffinity(0))
    return asked or max(1, min(MOST_WORKERS, cores // num_processes - 1))


class PacedBatches:
    """
    Batches, and how many windows a second they are used up at.

    Parameters
    ----------
    batches : a loader.
    num_windows : of one batch, over all processes that train.
    """

    def __init__(self, batches: Iterable[dict[str, Tensor]], num_windows: int) -> None:
        self._batches = batches
        self._num_windows = num_windows
        self._seen = 0
        self._first_at: float | None = None
        self._last_at = 0.0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches."""
        for batch in self._batches:
            self._last_at = time.monotonic()
            if self._first_at is None:
                self._first_at, self._seen = self._last_at, 0
            else:
                self._seen += self._num_windows
            yield batch

    def take_rate(self) -> float:
        """Return windows per second from the first to the last batch since the last call."""
        seconds = self._last_at - (self._first_at or self._last_at)
        self._first_at = None
        return self._seen / seconds if seconds > 0 else 0.0


def known_windows(depth: Float32Array) -> Float32Array:
    """Return 1 where the depth (V, H, W) around a pixel is known (not NaN), else 0."""
    kernel = np.ones((ENVELOPE_WINDOW, ENVELOPE_WINDOW), np.uint8)
    known = (~np.isnan(depth)).astype(np.uint8)
    return np.stack([cv2.erode(view, kernel) for view in known]).astype(np.float32)


def mean_distance(
    depth: Float32Array, intrinsics: Float64Array, first_from_cam: Float64Array
) -> float:
    """
    Return the mean distance of all points of finite depth from the first camera, in metres.

    Parameters
    ----------
    depth : (V, H, W).
    intrinsics : (V, 3, 3).
    first_from_cam : (V, 4, 4).
    """
    points = unproject_depth(depth, intrinsics)
    moved = [transform_points(*pair) for pair in zip(first_from_cam, points, strict=True)]
    distance = np.linalg.norm(np.stack(moved), axis=-1)[np.isfinite(depth)]
    return float(distance.mean()) if len(distance) else 1.0


def mirror_views(
    rgb: UInt8Array, depth: Float32Array, intrinsics: Float64Array, world_from_cam: Float64Array
) -> tuple[UInt8Array, Float32Array, Float64Array, Float64Array]:
    """Mirror a set left to right: images, depth, intrinsics and poses of the mirrored world."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored = intrinsics.copy()
    mirrored[:, 0, 2] = depth.shape[2] - 1 - intrinsics[:, 0, 2]
    return rgb[:, :, ::-1], depth[:, :, ::-1], mirrored, flip @ world_from_cam @ flip


def augment_colours(rgb: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """
    Vary exposure, white balance, gamma, blur, noise and JPEG artefacts of (V, H, W, 3) images.

    One camera took all views: gamma, white balance and JPEG quality are shared, exposure, blur
    and noise differ a little between them.
    """
    gamma = np.exp(rng.normal(0, 0.2))
    white_balance = np.exp(rng.normal(0, 0.06, 3))
    exposure = np.exp(rng.normal(0, 0.25))
    contrast = np.exp(rng.normal(0, 0.15))
    saturation = rng.uniform(0.5, 1.3)
    quality = int(rng.integers(40, 100))
    sigma_noise = abs(rng.normal(0, 0.012))
    blurred = rng.random() < 0.3
    result = np.empty(rgb.shape, np.uint8)
    for i, image in enumerate(rgb):
        x = (image.astype(np.float32) / 255) ** np.float32(gamma)
        grey = x.mean(axis=2, keepdims=True)
        x = grey + saturation * (x - grey)
        x = (x - 0.5) * contrast + 0.5
        x *= exposure * np.exp(rng.normal(0, 0.05)) * white_balance.astype(np.float32)
        if blurred:
            x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 0.9))
        x += rng.standard_normal(x.shape, np.float32) * sigma_noise
        y = (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
        if quality < 90:
            _, packed = cv2.imencode('.jpg', y, [cv2.IMWRITE_JPEG_QUALITY, quality])
            y = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        result[i] = y
    return result
