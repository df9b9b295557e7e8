"""Open a public evaluation set by its name."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.datasets.bonn import Bonn
from moe3d_engine.datasets.kitti import Kitti
from moe3d_engine.datasets.nrgbd import Nrgbd
from moe3d_engine.datasets.nyu import Nyu
from moe3d_engine.datasets.scenes import Scenes
from moe3d_engine.datasets.seven_scenes import SevenScenes
from moe3d_engine.datasets.sintel import Sintel
from moe3d_engine.datasets.tum import Tum
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError

READERS: dict[str, type[Scenes]] = {
    'nrgbd': Nrgbd,
    'nyu': Nyu,
    'sintel': Sintel,
    'bonn': Bonn,
    'kitti': Kitti,
    'tum': Tum,
}


def open_scenes(dataset: str, root: Path, depth_kind: str = 'registered') -> Scenes:
    """
    Open a data set.

    Parameters
    ----------
    dataset : `7scenes`, `nrgbd`, `nyu`, `sintel`, `bonn`, `kitti` or `tum`.
    root : its folder.
    depth_kind : which depth of 7-Scenes; see SevenScenes.

    Raises
    ------
    ConfigError
        If there is no reader for the data set.
    InputError
        If the folder holds no sequence in the layout of the data set.
    """
    if dataset == '7scenes':
        scenes: Scenes = SevenScenes(root, depth_kind)
    elif dataset in READERS:
        scenes = READERS[dataset](root)
    else:
        names = ', '.join(['7scenes', *READERS])
        raise ConfigError(f'There is no reader for {dataset!r}; there are {names}.')
    if not scenes.sequences():
        raise InputError(f'{root} holds nothing of {dataset}. Expected there: {scenes.layout}')
    return scenes
