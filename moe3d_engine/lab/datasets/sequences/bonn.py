"""Bonn RGB-D Dynamic (Palazzolo et al. 2019) in its public layout."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.frames import read_png_depth
from moe3d_engine.lab.datasets.sequences.scenes import existing_folder
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.types import Float32Array

PREFIX = 'rgbd_bonn_'
# Depth evaluations copy these frames, by their order, into rgb_110 and depth_110.
PART = slice(30, 140)


class Bonn(Scenes):
    """
    Sequences such as `balloon2`: the 110 frames that depth evaluations use.

    Colour and depth are paired by their order, as those evaluations do, from `rgb_110` and
    `depth_110` where they are, else from frames 30 to 139 of `rgb` and `depth`.
    """

    layout = (
        'rgbd_bonn_SEQUENCE/{rgb_110,depth_110}/STAMP.png, or {rgb,depth}/STAMP.png, with depth '
        'in 1/5000 m'
    )

    def sequences(self) -> list[str]:
        """Return the names of the sequences without `rgbd_bonn_`."""
        return sorted(path.name.removeprefix(PREFIX) for path in self.root.glob(f'{PREFIX}*/'))

    def frames(self, sequence: str) -> list[SceneFrame]:
        """Return the 110 frames of one sequence."""
        images = existing_folder(self.root / f'{PREFIX}{sequence}', ('rgb_110', 'rgb'), self)
        depths = images.with_name(images.name.replace('rgb', 'depth'))
        part = slice(None) if images.name.endswith('_110') else PART
        rgb, depth = sorted(images.glob('*.png'))[part], sorted(depths.glob('*.png'))[part]
        if not rgb or not depth:
            raise self.missing((images if depth else depths) / 'STAMP.png')
        if len(rgb) != len(depth):
            raise InputError(f'{images} has {len(rgb)} images and {depths} {len(depth)}.')
        return [SceneFrame(a.stem, a, b) for a, b in zip(rgb, depth, strict=True)]

    def read_depth(self, path: Path) -> Float32Array:
        """Return depth stored in fifths of a millimetre."""
        return read_png_depth(path, 5000.0)
