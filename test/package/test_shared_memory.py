"""What Fast DDS does not say aloud: its shared memory is full, or held by the dead."""

from __future__ import annotations

import fcntl
from pathlib import Path
import shutil
from typing import NamedTuple
from xml.etree import ElementTree

from moe3d_ros.fastdds_profile import SEGMENT_BYTES
from moe3d_ros.fastdds_profile import shared_memory
from moe3d_ros.fastdds_profile import shared_memory_troubles
from moe3d_ros.share import share_file
import pytest


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be room, whatever this machine has."""
    monkeypatch.delenv('RMW_IMPLEMENTATION', raising=False)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: Usage(10**10, 0, 10**10))


def add_segment(folder: Path, name: str) -> Path:
    """Write a segment of 3 MB with its lock file; return the latter."""
    (folder / name).write_bytes(bytes(3_000_000))
    lock = folder / f'{name}_el'
    lock.touch()
    return lock


def test_segments_of_the_living_are_no_trouble(tmp_path: Path) -> None:
    with add_segment(tmp_path, 'fastdds_0123456789abcdef').open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)

        assert shared_memory_troubles(tmp_path) == []


@pytest.mark.parametrize('kind', ['fastdds', 'fastrtps'])
def test_segments_of_the_dead_are_counted_and_the_cure_is_named(kind: str, tmp_path: Path) -> None:
    add_segment(tmp_path, f'{kind}_0123456789abcdef')
    add_segment(tmp_path, f'{kind}_fedcba9876543210')
    add_segment(tmp_path, f'{kind}_port7411')
    (tmp_path / 'sem.other').write_bytes(bytes(99))

    (trouble,) = shared_memory_troubles(tmp_path)

    assert '2 segments' in trouble
    assert '(6 MB)' in trouble
    assert trouble.endswith('fastdds shm clean')
    assert len(list(tmp_path.iterdir())) == 7


def test_memory_without_room_for_one_more_segment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: Usage(64_000_000, 0, 12_000_000))

    (trouble,) = shared_memory_troubles(tmp_path)

    assert 'has 12 of 64 MB left' in trouble
    assert '--shm-size' in trouble
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert shared_memory_troubles(tmp_path) == []


def test_size_of_a_segment_is_that_of_the_profile() -> None:
    profile = ElementTree.parse(share_file('config/fastdds.xml'))

    assert int(profile.findtext('.//{*}segment_size', '0')) == SEGMENT_BYTES


def test_machine_without_shared_memory_has_nothing_to_say(tmp_path: Path) -> None:
    assert shared_memory(tmp_path / 'none') is None
    assert shared_memory_troubles(tmp_path / 'none') == []
