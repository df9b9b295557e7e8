"""Open a public evaluation set by its name."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.lab.datasets.sequences.bonn import Bonn
from moe3d_engine.lab.datasets.sequences.kitti import Kitti
from moe3d_engine.lab.datasets.sequences.nrgbd import Nrgbd
from moe3d_engine.lab.datasets.sequences.nyu import Nyu
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.lab.datasets.sequences.seven_scenes import SevenScenes
from moe3d_engine.lab.datasets.sequences.sintel import Sintel
from moe3d_engine.lab.datasets.sequences.tum import Tum

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
