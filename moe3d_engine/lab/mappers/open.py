"""Mappers by their names, each opened only where its package is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple
from typing import Protocol

from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.mappers.scans import Scan
from moe3d_engine.lab.metrics.voxels.maps import VoxelMap


class MapperKind(NamedTuple):
    """Where a mapper is, its package on PyPI, and whether it takes rays that end at nothing."""

    module: str
    package: str
    takes_free_rays: bool


MAPPERS = {
    'octomap': MapperKind('moe3d_engine.lab.mappers.octomap_tree', 'octomap-python', True),
    'tsdf': MapperKind('moe3d_engine.lab.mappers.tsdf_grid', 'open3d-cpu', False),
}


class Mapper(Protocol):
    """A map that grows by scans."""

    def insert(self, scan: Scan) -> None:
        """Add a scan to the map."""

    def voxels(self) -> VoxelMap:
        """Return what the map knows."""


def open_mapper(name: str) -> Callable[[], Mapper]:
    """
    Return what makes empty maps of a kind.

    Parameters
    ----------
    name : `octomap` or `tsdf`.

    Raises
    ------
    ConfigError
        If nobody knows the name, or its package is not installed.
    """
    if name not in MAPPERS:
        raise ConfigError(f'Mappers are {", ".join(MAPPERS)}; got {name!r}.')
    kind = MAPPERS[name]
    try:
        make: Callable[[], Mapper] = import_module(kind.module).open_map
    except ImportError as error:
        raise ConfigError(
            f'The mapper {name} needs a package ({error}). Install it: pip install {kind.package}'
        ) from error
    return make
