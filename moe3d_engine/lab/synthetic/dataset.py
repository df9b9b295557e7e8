"""Rendered sets on disk: written in complete shards, read through memory maps."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
import logging
import multiprocessing
from pathlib import Path
import shutil
from typing import Any

from moe3d_engine.errors import InputError
from moe3d_engine.lab.synthetic.render import render_set
from moe3d_engine.lab.synthetic.render import render_walk
from moe3d_engine.lab.synthetic.render import Style
from moe3d_engine.lab.synthetic.scene_set import SyntheticSet
import numpy as np
from numpy.typing import NDArray

_ARRAYS = ('rgb', 'depth', 'object_id', 'intrinsics', 'world_from_cam', 'seed')
_LOGGER = logging.getLogger(__name__)


def mixed_style(seed: int) -> tuple[Style, int]:
    """Return style and supersampling of a seed: two sets of five are photographic."""
    return ('photo', 2) if seed % 5 in (1, 3) else ('fast', 1)


def write_dataset(
    folder: str | Path,
    seeds: Sequence[int],
    num_views: int = 4,
    image_hw: tuple[int, int] = (144, 192),
    processes: int = 2,
    sets_per_shard: int = 50,
    *,
    walks: bool = False,
) -> None:
    """
    Render the sets of `seeds` into a folder; shards that are there already are kept.

    The views of a set lie around something, or, with `walks`, on the way of a robot.

    A shard is a folder of one .npy file per array, named by its first seed. It gets its name
    when it is complete, so a reader may start before the writer ends, and a killed writer
    continues where it was. Depth is stored as float32, exactly as rendered; object ids as
    int16.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [seeds[i : i + sets_per_shard] for i in range(0, len(seeds), sets_per_shard)]
    missing = [chunk for chunk in chunks if not _shard_path(folder, chunk).is_dir()]
    tasks = [(folder, tuple(chunk), num_views, image_hw, walks) for chunk in missing]
    if processes == 1:
        for task in tasks:
            _write_shard(*task)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, context) if tasks else nullcontext() as pool:
        jobs = [pool.submit(_write_shard, *task) for task in tasks] if pool else []
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            _LOGGER.info('Rendered shard %d of %d into %s.', done, len(jobs), folder)


def _shard_path(folder: Path, seeds: Sequence[int]) -> Path:
    return folder / f'sets-{seeds[0]:010d}-{len(seeds):04d}'


def _write_shard(
    folder: Path, seeds: Sequence[int], num_views: int, image_hw: tuple[int, int], walks: bool
) -> None:
    """Render one shard under a temporary name and rename it when it is complete."""
    path = _shard_path(folder, seeds)
    partial = path.with_name(path.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    sets = []
    for seed in seeds:
        style, supersample = mixed_style(seed)
        render = render_walk if walks else render_set
        sets.append(render(seed, num_views, image_hw, supersample, style))
    for name in _ARRAYS:
        stack = np.stack([np.asarray(getattr(item, name)) for item in sets])
        np.save(partial / f'{name}.npy', stack.astype(np.int16) if name == 'object_id' else stack)
    partial.rename(path)


class SyntheticDataset:
    """
    The sets of a folder, each seed once, in the order of their seeds.

    Only the shards that are complete when it is opened are seen. Shards may overlap, as they do
    where a folder was written for 24 sets and later for 64.
    """

    def __init__(self, folder: str | Path) -> None:
        shards = sorted(p for p in Path(folder).glob('sets-*') if p.suffix != '.partial')
        if not shards:
            raise InputError(
                f'{folder} holds no rendered sets; write some with '
                'moe3d_engine.lab.synthetic.dataset.write_dataset.'
            )
        self._shards = [self._open(shard) for shard in shards]
        places = [
            (int(seed), number, row)
            for number, shard in enumerate(self._shards)
            for row, seed in enumerate(shard['seed'])
        ]
        self._places = sorted({seed: place for seed, *place in places}.items())

    def __len__(self) -> int:
        """Return the number of sets."""
        return len(self._places)

    def __getitem__(self, index: int) -> SyntheticSet:
        """Return one set, copied into memory."""
        if not 0 <= index < len(self):
            raise IndexError(f'Set {index} of {len(self)}.')
        seed, (number, row) = self._places[index]
        shard = self._shards[number]
        arrays = {name: np.array(shard[name][row]) for name in _ARRAYS[:-1]}
        arrays['object_id'] = arrays['object_id'].astype(np.int32)
        return SyntheticSet(**arrays, seed=seed, name=f'seed {seed}')

    @staticmethod
    def _open(shard: Path) -> dict[str, NDArray[Any]]:
        return {
            name: np.load(shard / f'{name}.npy', mmap_mode='r', allow_pickle=False)
            for name in _ARRAYS
        }
