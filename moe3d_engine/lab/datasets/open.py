"""Open a data set by what the command line says."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from moe3d_engine.errors import InputError
from moe3d_engine.lab.view_set import ViewSet

KINDS = ('hypersim', 'tartanair', 'vkitti2', 'rgbd')
_EXPECTED = 'Give a folder of rendered sets, or ' + ', '.join(f'{kind}:ROOT' for kind in KINDS)


class ViewSets(Protocol):
    """A data set: sets of views by index, from 0."""

    def __len__(self) -> int:
        """Return the number of sets."""
        ...

    def __getitem__(self, index: int) -> ViewSet:
        """Return one set."""
        ...


def open_dataset(spec: str, image_hw: tuple[int, int], num_views: int = 4) -> ViewSets:
    """
    Open a data set.

    Parameters
    ----------
    spec : a folder of rendered sets, or a reader and a folder: `hypersim:ROOT`, `tartanair:ROOT`,
        `vkitti2:ROOT`, `rgbd:ROOT`.
    image_hw : height and width of the views that a reader returns; rendered sets have their own.
    num_views : views of a reader's sets.

    Raises
    ------
    InputError
        If there is no such reader or folder, or the folder holds no such data.
    """
    kind, separator, folder = spec.partition(':')
    if separator and kind not in KINDS:
        raise InputError(f'There is no reader {kind!r} for {spec}. {_EXPECTED}.')
    root = Path(folder if separator else spec)
    if not root.is_dir():
        raise InputError(f'There is no folder {root}. {_EXPECTED}.')
    if not separator:
        from moe3d_engine.lab.synthetic.dataset import SyntheticDataset

        return SyntheticDataset(root)
    if kind == 'hypersim':
        from moe3d_engine.lab.datasets.hypersim import Hypersim

        return Hypersim(root, image_hw, num_views)
    if kind == 'tartanair':
        from moe3d_engine.lab.datasets.tartanair import TartanAir

        return TartanAir(root, image_hw, num_views)
    if kind == 'vkitti2':
        from moe3d_engine.lab.datasets.virtual_kitti2 import VirtualKitti2

        return VirtualKitti2(root, image_hw, num_views)
    from moe3d_engine.lab.datasets.rgbd_folder import RgbdFolder

    return RgbdFolder(root, image_hw, num_views)
