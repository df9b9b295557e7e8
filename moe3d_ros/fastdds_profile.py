"""The shipped Fast DDS profile: without it large images are lost between processes."""

from __future__ import annotations

import os

# Fast DDS 3 reads the first, Fast DDS 2 the second; setting both makes version 3 warn.
FAST_DDS_3_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
FAST_DDS_2_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')


def profile_in_use() -> str | None:
    """Return the profile that the environment names."""
    return os.environ.get(FAST_DDS_3_VARIABLE) or os.environ.get(FAST_DDS_2_VARIABLE)


def use_shipped_profile() -> None:
    """
    Make this process and its children use config/fastdds.xml, unless the user has set his own.

    To be called before the middleware is loaded, that is before the first ROS node.
    """
    if profile_in_use() is not None:
        return
    from moe3d_ros.share import share_file

    is_fast_dds_2 = os.environ.get('ROS_DISTRO') in FAST_DDS_2_DISTRIBUTIONS
    variable = FAST_DDS_2_VARIABLE if is_fast_dds_2 else FAST_DDS_3_VARIABLE
    os.environ[variable] = str(share_file('config/fastdds.xml'))
