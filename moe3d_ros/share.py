"""Files that are installed beside the code: parameters, RViz view, Fast DDS profile."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
import sys

from moe3d_engine.errors import InputError

PACKAGE = 'moe3d_ros'

# The variable that names the middleware's profile. Setting both makes Kilted print a warning.
FAST_DDS_3_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')


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
