"""A contact sheet of rendered sets: colour and depth side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
from moe3d_engine.lab.synthetic.scene_set import SyntheticSet
import numpy as np
from numpy.typing import NDArray


def write_sheet(path: str | Path, sets: Iterable[SyntheticSet], views: int = 2) -> None:
    """Write a PNG with one row per set: `views` pairs of colour and colourised depth."""
    rows = []
    for item in sets:
        cells = []
        for i in range(min(views, len(item.rgb))):
            cells += [item.rgb[i], colour_depth(item.depth[i])]
        rows.append(np.concatenate(cells, axis=1))
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def colour_depth(depth: NDArray[Any]) -> NDArray[np.uint8]:
    """Return depth as colours: log scale between the image's 1 % and 99 % values, sky black."""
    known = np.isfinite(depth)
    log = np.log(np.where(known, depth, 1.0))
    low, high = np.percentile(log[known], (1, 99)) if known.any() else (0.0, 1.0)
    grey = np.clip(255 * (high - log) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colours, 0).astype(np.uint8)
