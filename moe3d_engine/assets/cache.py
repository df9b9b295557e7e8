"""Where compiled networks are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from moe3d_engine.errors import ConfigError


def cache_folder() -> Path:
    """
    Return the folder of everything that is compiled once and kept; it may not exist yet.

    It is `$MOE3D_CACHE`, else `moe3d` in `$XDG_CACHE_HOME`, else `~/.cache/moe3d`.

    Raises
    ------
    ConfigError
        If nothing names a folder, and the user has no home.
    """
    own = os.environ.get('MOE3D_CACHE')
    if own:
        return Path(own)
    user = os.environ.get('XDG_CACHE_HOME')
    try:
        return (Path(user) if user else Path.home() / '.cache') / 'moe3d'
    except RuntimeError:
        raise ConfigError(
            'This user has no home folder to keep compiled networks in. Set HOME, or name a '
            'folder with MOE3D_CACHE.'
        ) from None
