"""NYU-v2 (Silberman et al. 2012), the validation images as depth evaluations unpack them."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.lab.datasets.frames import read_array
from moe3d_engine.lab.datasets.sequences.scenes import existing_folder
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array
import numpy as np

SEQUENCE = 'val'


class Nyu(Scenes):
    """Single images, all in one sequence `val`."""

    layout = 'val/nyu_images/NAME.png and val/nyu_depths/NAME.npy (metres)'

    def sequences(self) -> list[str]:
        """Return the one sequence, if it is there."""
        places = (self.root / SEQUENCE / 'nyu_images', self.root / 'nyu_images')
        return [SEQUENCE] if any(place.is_dir() for place in places) else []

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return all images by name."""
        images = existing_folder(self.root, (f'{sequence}/nyu_images', 'nyu_images'), self)
        depths = images.parent / 'nyu_depths'
        frames = [
            SceneFrame(path.stem, path, depths / f'{path.stem}.npy')
            for path in sorted(images.glob('*.png'))
        ]
        if not frames:
            raise self.missing(images / 'NAME.png')
        return frames

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth in metres; what is not above 0 is unknown."""
        depth_m = read_array(path)
        return np.where(depth_m > 0, depth_m, np.float32(np.nan))
