"""Which source of metres is asked for, and what is known before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.types import Scale

MEASURED_SOURCES = ('odometry', 'rig', 'reference_depth', 'network')  # best first
SCALE_SOURCES = ('auto', 'odometry', 'rig', 'reference_depth', 'fixed', 'network', 'none')

# Metres of the shipped weights on rooms they have not seen: off by 23 to 30 % in the median.
NETWORK_LOG_STD = 0.26


@dataclass(frozen=True, slots=True)
class ScaleConfig:
    """
    Where metres come from.

    Parameters
    ----------
    source : `odometry`: its translations against those of vision; `rig`: the known distances
        between cameras, by points that two of them see; `reference_depth`: a depth
        camera or a lidar against the tracked points; `fixed`: the network's unit times `factor`;
        `network`: the metres that metric weights have learnt; `none`: depth is relative; `auto`:
        the first of these that is there, where `fixed` is there if `factor` is not 1.
        Until a measured source has said enough, metres are those of metric weights.
    factor : metres per unit of the network, for `fixed` and `auto`.
    require_lock : whether metric results wait until the scale is locked.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    source: str = 'auto'
    factor: float = 1.0
    require_lock: bool = False

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.source not in SCALE_SOURCES:
            raise ConfigError(
                f'scale.source is one of {", ".join(SCALE_SOURCES)}; got {self.source!r}.'
            )
        if not 0.0 < self.factor < math.inf:
            raise ConfigError(f'scale.factor is a number above 0; got {self.factor}.')

    def with_factor(self, factor: float) -> ScaleConfig:
        """
        Return a fixed scale of another factor.

        Raises
        ------
        ConfigError
            If the scale is not fixed, or the factor is out of its range.
        """
        if self.source != 'fixed':
            raise ConfigError(
                f'scale.factor can be replaced only where scale.source is fixed; it is '
                f'{self.source}.'
            )
        return replace(self, factor=factor)

    def scale(self, *, metric_weights: bool, unit: float = 1.0) -> Scale:
        """
        Return the scale of a window as it is known without any measurement.

        Parameters
        ----------
        metric_weights : whether the network's unit is the metre.
        unit : this window's unit in that of the session's first one.

        Raises
        ------
        ConfigError
            If the network's metres are asked for, but its weights know none.
        """
        if self.source == 'fixed' or (self.source == 'auto' and self.factor != 1.0):
            return Scale(unit * self.factor, 0.0, 'fixed', metric=True, state='locked')
        if self.source == 'none' or not metric_weights:
            if self.source == 'network':
                raise ConfigError(
                    'scale.source network needs weights that have learnt metres (metric in their '
                    'card); these have not. Use odometry, rig, reference_depth, fixed or none.'
                )
            return Scale(unit, math.inf, 'none', metric=False, state='estimating')
        return Scale(unit, NETWORK_LOG_STD, 'network', metric=True, state='estimating')

    def measured_sources(self, *, metric_weights: bool) -> tuple[str, ...]:
        """Return the sources whose observations count, best first; empty = nothing to measure."""
        by_network = self.scale(metric_weights=metric_weights).source == 'network'
        return tuple(
            source
            for source in MEASURED_SOURCES
            if self.source in ('auto', source) and (by_network or source != 'network')
        )

    def releases(self, scale: Scale) -> bool:
        """Return whether results of this scale may go out as metres."""
        return scale.metric and (scale.locked or not self.require_lock)
