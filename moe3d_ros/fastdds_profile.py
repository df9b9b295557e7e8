"""Fast DDS: the shipped profile, without which large images are lost, and its shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
import fcntl
import os
from pathlib import Path
import re
import shutil
from typing import NamedTuple

from moe3d_ros.share import share_file

# The variable that names the middleware's profile. Setting both makes Kilted print a warning.
FAST_DDS_3_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')

SHARED_MEMORY = Path('/dev/shm')
SEGMENT_BYTES = 67_108_864  # that config/fastdds.xml gives to each process
_SEGMENT = re.compile('(fastdds|fastrtps)_[0-9a-f]{16}')  # Fast DDS 3, Fast DDS 2
_MB = 1e6


class SharedMemory(NamedTuple):
    """Room that Fast DDS has for images, and what killed processes have left of it, in bytes."""

    free: int
    total: int
    left_over: tuple[int, ...]


def profile_in_use() -> str | None:
    """Return the profile that the environment names."""
    return os.environ.get(FAST_DDS_3_VARIABLE) or os.environ.get(FAST_DDS_2_VARIABLE)


def fast_dds_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variable that makes Fast DDS use the shipped profile.

    Parameters
    ----------
    environment : the variables of the process that will use it. A profile that is named there is
        the user's and stays: the result is empty.
    """
    if FAST_DDS_3_VARIABLE in environment or FAST_DDS_2_VARIABLE in environment:
        return {}
    is_fast_dds_2 = environment.get('ROS_DISTRO') in FAST_DDS_2_DISTRIBUTIONS
    variable = FAST_DDS_2_VARIABLE if is_fast_dds_2 else FAST_DDS_3_VARIABLE
    return {variable: str(share_file('config/fastdds.xml'))}


def use_shipped_profile() -> None:
    """
    Make this process and its children use config/fastdds.xml, unless the user has set his own.

    To be called before the middleware is loaded, that is before the first ROS node.
    """
    os.environ.update(fast_dds_environment(os.environ))


def shared_memory(folder: Path = SHARED_MEMORY) -> SharedMemory | None:
    """Look at a folder of shared memory; None where there is no such folder."""
    if not folder.is_dir():
        return None
    usage = shutil.disk_usage(folder)
    return SharedMemory(usage.free, usage.total, tuple(_left_over(folder)))


def shared_memory_troubles(folder: Path = SHARED_MEMORY) -> list[str]:
    """
    Return what is wrong with the shared memory of Fast DDS, and the cure; nothing if all is well.

    Fast DDS says it in a log of its own only, and sends images over UDP from then on. To be called
    before the first node of this process, which takes a segment. Other middleware needs no such
    memory: where RMW_IMPLEMENTATION names one, the list is empty.
    """
    memory = shared_memory(folder)
    if memory is None or 'fastrtps' not in os.environ.get('RMW_IMPLEMENTATION', 'fastrtps'):
        return []
    troubles = []
    if memory.free < SEGMENT_BYTES:
        troubles.append(
            f'{folder} has {memory.free / _MB:.0f} of {memory.total / _MB:.0f} MB left, and each '
            f'process that sends or receives images takes {SEGMENT_BYTES / _MB:.0f} MB of it: '
            'large images go over UDP and get lost. Free it or enlarge it (docker run --shm-size '
            f'1g; mount -o remount,size=1g {folder}).'
        )
    if memory.left_over:
        troubles.append(
            f'{len(memory.left_over)} segments in {folder} ({sum(memory.left_over) / _MB:.0f} MB) '
            'are of processes that were killed. Free them: fastdds shm clean'
        )
    return troubles


def _left_over(folder: Path) -> Iterator[int]:
    """Yield the size of each segment whose owner is gone: it no longer holds the lock beside."""
    for path in folder.iterdir():
        lock = folder / f'{path.name}_el'
        try:
            if _SEGMENT.fullmatch(path.name) and not _is_held(lock):
                yield path.stat().st_size
        except OSError:  # gone since, or of another user
            continue


def _is_held(lock: Path) -> bool:
    """Return whether a process holds a lock file for itself."""
    with lock.open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
