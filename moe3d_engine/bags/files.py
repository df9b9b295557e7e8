"""Which files make a bag, and what its metadata.yaml says of them."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from pathlib import PurePath
import re
from typing import Any

from moe3d_engine.bags import mcap
from moe3d_engine.bags import sqlite
from moe3d_engine.bags.compression import unpack_file
from moe3d_engine.bags.compression import ZSTD_MAGIC
from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.mcap import McapFile
from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.bags.qos import read_qos
from moe3d_engine.bags.qos import read_yaml
from moe3d_engine.bags.sqlite import SqliteFile
from moe3d_engine.bags.storage import Storage
from moe3d_engine.errors import InputError

METADATA = 'metadata.yaml'
SUFFIXES = ('.mcap', '.db3', '.zstd')
ROS1_SUFFIX = '.bag'
ROS1_MAGIC = b'#ROSBAG V'
_PART = re.compile(r'(.*)_\d+')  # the parts of a bag are numbered


@dataclass(frozen=True, slots=True)
class RecordedTopic:
    """What metadata.yaml says of a topic; None = it does not, or not readably."""

    count: int | None
    qos: OfferedQos | None


@dataclass(frozen=True, slots=True)
class BagFiles:
    """The files of a bag, and its topics by metadata.yaml."""

    files: list[Path]
    recorded: dict[str, RecordedTopic] = field(default_factory=dict)


def is_bag(path: Path) -> bool:
    """Return whether a path is meant to be a bag: a folder with a bag's files, or one of them."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(_visible(path, (*SUFFIXES, ROS1_SUFFIX)))
    return path.suffix in (*SUFFIXES, ROS1_SUFFIX)


def find_files(path: Path, damage: Damage) -> BagFiles:
    """
    Return the files of a bag: those that metadata.yaml names, or all that lie in the folder.

    Parameters
    ----------
    path : rosbag2 folder, or a file of one. Hidden files are none of a bag's.
    damage : gets what is wrong with the metadata.

    Raises
    ------
    InputError
        If there is no bag, or several.
    """
    if not path.exists():
        raise InputError(
            f'There is no bag {path}. Name a rosbag2 folder, or an .mcap or .db3 file.'
        )
    if path.is_file():
        return BagFiles([path])
    information = _information(path, damage)
    named = [path / PurePath(name).name for name in _texts(information, 'relative_file_paths')]
    files = [file for file in named if file.is_file()]
    missing = [file.name for file in named if not file.is_file()]
    if files and missing:
        damage.add(f'{path}: the files {", ".join(missing)} are missing; the others are read.')
    return BagFiles(files or _all_files(path), _recorded(information, path / METADATA, damage))


def _all_files(path: Path) -> list[Path]:
    """Return the files of a folder whose metadata names none that are there."""
    files = _visible(path, SUFFIXES)
    bags = {_PART.sub(r'\1', file.name.partition('.')[0]) for file in files}
    if len(bags) > 1:
        raise InputError(
            f'{path} holds several bags and no {METADATA}: '
            f'{", ".join(file.name for file in files)}. Name one of the files.'
        )
    if files:
        return files
    ros1 = _visible(path, (ROS1_SUFFIX,))
    if ros1:
        return ros1
    inside = sorted(str(found.parent) for found in path.glob(f'*/{METADATA}'))
    if inside and not (path / METADATA).is_file():
        raise InputError(f'{path} is no bag, but holds some: {", ".join(inside)}.')
    raise InputError(f'The bag {path} cannot be read: it holds no .mcap or .db3 file.')


def open_file(file: Path, scratch: Path, damage: Damage) -> Storage:
    """
    Open a file of a bag; what it is, its first bytes say.

    Parameters
    ----------
    file : MCAP or SQLite, as it is or compressed with zstd.
    scratch : folder for copies; whoever gives it removes it.
    damage : gets what cannot be read.

    Raises
    ------
    InputError
        If it is none of these. ROS 1 bags are named as such.
    """
    magic, content = _magic(file), file
    if magic.startswith(ROS1_MAGIC) or file.suffix == ROS1_SUFFIX:
        raise InputError(
            f'{file} is a ROS 1 bag: convert with rosbags-convert '
            f'(rosbags-convert --src {file.name} --dst {file.stem}).'
        )
    if magic.startswith(ZSTD_MAGIC):
        content = unpack_file(file, scratch, damage)
        magic = _magic(content)
    if magic.startswith(sqlite.MAGIC):
        return SqliteFile(file, content, scratch, damage)
    if magic.startswith(mcap.MAGIC):
        return McapFile(file, content, damage)
    raise InputError(
        f'{file} is no bag file: it begins neither as MCAP nor as SQLite, and holds '
        f'{content.stat().st_size} bytes.'
    )


def _magic(file: Path) -> bytes:
    """Return the bytes that tell the format of a file."""
    with file.open('rb') as stream:
        return stream.read(16)


def _visible(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files of some kinds, by name; hidden ones are of an operating system."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix in suffixes and not file.name.startswith('.') and file.is_file()
    )


def _information(folder: Path, damage: Damage) -> dict[str, Any]:
    """Return what metadata.yaml holds; empty without one that can be read."""
    path = folder / METADATA
    if not path.is_file():
        return {}
    try:
        content = read_yaml(path.read_text(errors='replace'))
        information = content['rosbag2_bagfile_information']
    except (ValueError, TypeError, LookupError) as error:
        damage.add(f'{path} cannot be read and is left out: {error}.')
        return {}
    return information if isinstance(information, dict) else {}


def _texts(information: dict[str, Any], name: str) -> list[str]:
    """Return the texts of a list."""
    values = information.get(name)
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []


def _recorded(information: dict[str, Any], path: Path, damage: Damage) -> dict[str, RecordedTopic]:
    """Return what metadata.yaml says of each topic, as far as it has the form."""
    recorded = {}
    entries = information.get('topics_with_message_count')
    for entry in entries if isinstance(entries, list) else []:
        try:
            topic, count = entry['topic_metadata'], entry.get('message_count')
            name, profiles = str(topic['name']), topic.get('offered_qos_profiles')
        except (TypeError, LookupError, AttributeError):
            continue
        qos = read_qos(profiles) if profiles else None
        if profiles and qos is None:
            damage.add(f'{path}: the QoS of {name} cannot be read; the one in its file is taken.')
        recorded[name] = RecordedTopic(count if isinstance(count, int) else None, qos)
    return recorded
