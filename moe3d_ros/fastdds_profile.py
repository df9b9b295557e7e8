"""The shipped Fast DDS profile: without it large images are lost between processes."""

from __future__ import annotations

from collections.abc import Mapping
import os

from moe3d_ros.share import share_file

# The variable that names the middleware's profile. Setting both makes Kilted print a warning.
FAST_DDS_3_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')


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
