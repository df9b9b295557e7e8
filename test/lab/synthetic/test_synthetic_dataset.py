"""Rendered sets on disk: what was written is read, a killed writer goes on."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.lab.synthetic import SyntheticSet
from moe3d_engine.lab.synthetic.dataset import mixed_style
from moe3d_engine.lab.synthetic.dataset import SyntheticDataset
from moe3d_engine.lab.synthetic.dataset import write_dataset
import numpy as np
import pytest

SMALL = (36, 48)


def write(folder: Path, count: int, processes: int = 1) -> None:
    write_dataset(folder, range(count), 2, SMALL, processes, sets_per_shard=2)


def assert_same(a: SyntheticSet, b: SyntheticSet) -> None:
    assert a.seed == b.seed
    for name in ('rgb', 'depth', 'object_id', 'intrinsics', 'world_from_cam'):
        first, second = getattr(a, name), getattr(b, name)
        assert first.dtype == second.dtype, name
        np.testing.assert_array_equal(first, second, err_msg=name)


def test_dataset_returns_exactly_what_was_rendered(tmp_path: Path) -> None:
    write(tmp_path, 3)
    sets = SyntheticDataset(tmp_path)
    assert len(sets) == 3
    for seed in range(3):
        style, supersample = mixed_style(seed)
        assert_same(sets[seed], render_set(seed, 2, SMALL, supersample, style))
    with pytest.raises(IndexError):
        sets[3]


def test_killed_writer_goes_on_and_reader_sees_complete_shards_only(tmp_path: Path) -> None:
    write(tmp_path, 2)
    kept = next(tmp_path.glob('sets-*'))
    stamp = (kept / 'rgb.npy').stat().st_mtime_ns
    torn = tmp_path / 'sets-0000000002-0002.partial'
    torn.mkdir()
    (torn / 'rgb.npy').write_bytes(b'torn')
    assert len(SyntheticDataset(tmp_path)) == 2
    write(tmp_path, 4)
    assert len(SyntheticDataset(tmp_path)) == 4
    assert (kept / 'rgb.npy').stat().st_mtime_ns == stamp
    assert not torn.exists()


def test_overlapping_shards_give_each_seed_once(tmp_path: Path) -> None:
    write(tmp_path, 3)
    write(tmp_path, 4)
    sets = SyntheticDataset(tmp_path)
    assert len(list(tmp_path.glob('sets-*'))) == 3
    assert [sets[i].seed for i in range(len(sets))] == [0, 1, 2, 3]


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    write(tmp_path / 'one', 4, processes=1)
    write(tmp_path / 'two', 4, processes=2)
    one, two = SyntheticDataset(tmp_path / 'one'), SyntheticDataset(tmp_path / 'two')
    for i in range(4):
        assert_same(one[i], two[i])


def test_empty_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='write_dataset'):
        SyntheticDataset(tmp_path)
