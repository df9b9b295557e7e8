"""Cases of damaged bags: what can be read comes out right, the rest is refused in one line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from moe3d_engine.bags.bag import Bag
from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.views import read_bag_views
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.lab.fuzz.damage import damaged
from moe3d_engine.lab.fuzz.damage import good_pictures
from moe3d_engine.lab.fuzz.invariants import check_text
from moe3d_engine.lab.fuzz.invariants import check_view
from moe3d_engine.lab.fuzz.invariants import Tally
from moe3d_engine.lab.fuzz.messages import compressed
from moe3d_engine.lab.fuzz.messages import good_image
from moe3d_engine.lab.fuzz.messages import good_info
from moe3d_engine.lab.fuzz.messages import STORE
from moe3d_engine.lab.fuzz.streams import FIRST_NS
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer

NUM_FRAMES = 5
_STEP_NS = 100_000_000
_KINDS = (
    (StoragePlugin.MCAP, None),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, None),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
)
Files = dict[str, bytes]  # of a bag, by name


def play_bag(rng: Random) -> Tally:
    """Read a damaged bag in the ways in which commands read it."""
    tally = Tally()
    files = dict(rng.choice(_recordings()))
    for name in rng.sample(sorted(files), rng.choice((1, 1, 1, len(files)))):
        files[name] = damaged(rng, files[name], list(files.values()))
    with TemporaryDirectory(prefix='moe3d_fuzz_') as folder, tally.one_input():
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        path = Path(folder)
        if rng.random() < 0.3:
            path = next(file for file in path.iterdir() if file.suffix != '.yaml')
        if _read(path):
            tally.read += 1
        else:
            tally.refused += 1
    return tally


def _read(path: Path) -> bool:
    """Read a bag; return whether anything came out."""
    try:
        with open_bag(path) as bag:
            _read_messages(bag)
    except InputError as error:
        check_text(str(error))
        return False
    try:
        for view in read_bag_views(path):
            check_view(view)
    except InputError as error:  # no image of it is left
        check_text(str(error))
    return True


def _read_messages(bag: Bag) -> None:
    """Read all messages, serialized and as objects."""
    for _ in bag.messages():
        pass
    for _ in bag.decoded(list(bag.topics)):
        pass


@cache
def _recordings() -> list[Files]:
    """Return small bags of each storage and compression; they are made once."""
    made = []
    for storage, mode in _KINDS:
        with TemporaryDirectory(prefix='moe3d_fuzz_') as folder:
            path = Path(folder, 'bag')
            _write(path, storage, mode)
            made.append({file.name: file.read_bytes() for file in path.iterdir()})
    return made


def _write(path: Path, storage: StoragePlugin, mode: CompressionMode | None) -> None:
    """Write a bag of a camera that publishes raw and compressed images."""
    version = Writer.VERSION_LATEST if storage == StoragePlugin.MCAP else 8
    writer = Writer(path, version=version, storage_plugin=storage)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    types = {
        '/camera/image_raw': IMAGE,
        '/camera/image_raw/compressed': COMPRESSED_IMAGE,
        '/camera/camera_info': CAMERA_INFO,
    }
    with writer:
        topics = {
            name: writer.add_connection(name, kind, typestore=STORE)
            for name, kind in types.items()
        }
        for stamp_ns in range(FIRST_NS, FIRST_NS + NUM_FRAMES * _STEP_NS, _STEP_NS):
            picture = compressed(stamp_ns, good_pictures()[0], 'png')
            messages = good_image(stamp_ns), picture, good_info(stamp_ns)
            for message, (name, topic) in zip(messages, topics.items(), strict=True):
                writer.write(topic, stamp_ns, STORE.serialize_cdr(message, types[name]))
