"""Files that are installed beside the code: parameters, RViz view, Fast DDS profile."""

from __future__ import annotations

import os
from pathlib import Path
import sys

from moe3d_engine.errors import InputError

PACKAGE = 'moe3d_ros'


def share_file(name: str) -> Path:
    """
    Return the path of a share file, such as `config/fastdds.xml`.

    It is looked for in the source tree, in `share/moe3d_ros` of this Python's prefix, and in the
    prefixes that a sourced ROS workspace names.

    Raises
    ------
    InputError
        If there is no such file; the message names the places.
    """
    prefixes = [sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
    folders = [Path(__file__).resolve().parents[1]]
    folders += [Path(prefix) / 'share' / PACKAGE for prefix in prefixes if prefix]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f'The file {name} of {PACKAGE} is in none of {", ".join(map(str, folders))}. Install the '
        f'package again, or source its workspace.'
    )
