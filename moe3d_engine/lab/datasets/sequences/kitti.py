"""KITTI (Geiger et al. 2013), the selection of its depth benchmark that video evaluations use."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.frames import read_png_depth
from moe3d_engine.lab.datasets.sequences.scenes import existing_folder
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array

SELECTION = 'depth_selection/val_selection_cropped'
IMAGES, DEPTHS = 'image_gathered', 'groundtruth_depth_gathered'


class Kitti(Scenes):
    """Sequences such as `2011_09_26_drive_0002_sync_02`; depth is sparse."""

    layout = (
        f'{SELECTION}/{IMAGES}/SEQUENCE/NNNNNNNNNN.png and '
        f'{SELECTION}/{DEPTHS}/SEQUENCE/NNNNNNNNNN.png (depth in 1/256 m)'
    )

    def sequences(self) -> list[str]:
        """Return the sequences that have images."""
        folders = [*self.root.glob(f'{SELECTION}/{IMAGES}/*/'), *self.root.glob(f'{IMAGES}/*/')]
        return sorted({folder.name for folder in folders})

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return the frames of one sequence that have depth."""
        places = (f'{SELECTION}/{IMAGES}/{sequence}', f'{IMAGES}/{sequence}')
        images = existing_folder(self.root, places, self)
        depths = images.parents[1] / DEPTHS / sequence
        files = sorted(depths.glob('*.png'))
        if not files:
            raise self.missing(depths / 'NNNNNNNNNN.png')
        without = [path.name for path in files if not (images / path.name).is_file()]
        if without:
            raise InputError(f'{images} lacks {len(without)} images of {depths}: {without[0]} ...')
        return [SceneFrame(path.stem, images / path.name, path) for path in files]

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth stored in 1/256 m."""
        return read_png_depth(path, 256.0)
