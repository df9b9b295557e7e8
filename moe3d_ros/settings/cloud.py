"""In which form clouds are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from moe3d_engine.errors import ConfigError
from moe3d_ros.settings.table import SingleValue


@dataclass(frozen=True, slots=True)
class CloudForm:
    """
    Which pixels become points of a cloud, and how these lie in the message.

    Parameters
    ----------
    organized : rows x columns of points, NaN where there is none; else one row of those that are.
    stride : every n-th row and column of the depth, from the first on; 1 = all.
    voxel_m : side of the cubes of which each keeps its point of the highest confidence; 0 = all
        points stay. Metres.

    Raises
    ------
    ConfigError
        If a value is out of its range, or points are to be both organised and thinned by cubes.
    """

    organized: bool = True
    stride: int = 1
    voxel_m: float = 0.0

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.stride < 1:
            raise ConfigError(f'cloud.stride is at least 1; got {self.stride}.')
        if not 0.0 <= self.voxel_m < math.inf:
            raise ConfigError(
                f'cloud.voxel_m is a number of metres from 0 (off); got {self.voxel_m}.'
            )
        if self.organized and self.voxel_m > 0.0:
            raise ConfigError(
                f'cloud.voxel_m {self.voxel_m} leaves one point per cube, which are no rows and '
                f'columns any more, but cloud.organized is true. Set cloud.organized to false '
                f'first, or thin by cloud.stride.'
            )


def cloud_form(values: Mapping[str, SingleValue]) -> CloudForm:
    """Return the form that the parameters say."""
    return CloudForm(
        organized=bool(values['cloud.organized']),
        stride=int(values['cloud.stride']),
        voxel_m=float(values['cloud.voxel_m']),
    )
