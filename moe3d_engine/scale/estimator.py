"""One robust estimate of the metres in a unit of the tracker's map, whoever measures them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from dataclasses import replace
import logging
import math
from threading import Lock

from moe3d_engine.errors import InputError
from moe3d_engine.scale.config import NETWORK_LOG_STD
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.types import Scale
from moe3d_engine.types import ScaleState
import numpy as np

logger = logging.getLogger(__name__)

MIN_OBSERVATIONS = 5  # before that, a median cannot outvote one that is wrong
FEW = 2.0  # times its own deviation is what the mean of fewer may be off by
MAX_OBSERVATIONS = 64  # of each source
LOCK_STD = 0.02
UNLOCK_STD = 0.04  # so that noise around LOCK_STD does not switch the state to and fro
SLEW = 0.002  # a locked factor follows better knowledge by at most this much an observation
CONTRADICTION_SIGMAS = 3.0
MAX_CONTRADICTIONS = 10  # so many on one side, agreements taken off, unlock the scale

# The error that all observations of a source share, so that averaging does not reduce it: the
# diameter of a wheel and the drift of the map from one place to the next, the calibration of a
# depth camera, the focal lengths of a rig, what a network believes of rooms.
COMMON_LOG_STD = {
    'odometry': 0.015,
    'rig': 0.005,
    'reference_depth': 0.005,
    'network': NETWORK_LOG_STD,
}


@dataclass(frozen=True, slots=True)
class ScaleObservation:
    """
    What one measurement says of the scale.

    Parameters
    ----------
    log_ratio : log of metres per unit of the map.
    std : its standard deviation, without the error that all measurements of the source share.
    stamp_ns : of the image.
    source : one of the measured sources.
    common_std : a further error that all measurements share, where more is known of the source:
        the places of the cameras on their rig.

    Raises
    ------
    InputError
        If a number is not finite, the deviation is not positive or nobody knows the source.
    """

    log_ratio: float
    std: float
    stamp_ns: int
    source: str
    common_std: float = 0.0

    def __post_init__(self) -> None:
        """Check the values once."""
        if not (math.isfinite(self.log_ratio) and 0.0 < self.std < math.inf):
            raise InputError(
                f'A scale is observed by a finite log ratio and a positive deviation; got '
                f'{self.log_ratio} and {self.std}.'
            )
        if self.source not in COMMON_LOG_STD:
            raise InputError(
                f'A scale is measured by one of {", ".join(COMMON_LOG_STD)}; got {self.source!r}.'
            )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A log scale, its standard deviation, and by how much observations exceed their own."""

    log_factor: float
    std: float
    spread: float


class ScaleEstimator:
    """
    Estimates log(metres per unit of the map) from the best source that has spoken.

    It is `estimating` until its deviation falls below 2 %, then `locked`: the factor stays, but
    for a slow approach to better knowledge (.2 % an observation). Single observations that
    contradict a locked scale are set aside; ten on the same side, one taken off for each that
    agrees, unlock it, and the estimate begins anew with them. Any thread may call it.

    Parameters
    ----------
    config : the source that is asked for.
    metric_weights : whether the network's unit is the metre.
    """

    def __init__(self, config: ScaleConfig, *, metric_weights: bool) -> None:
        self._prior = config.scale(metric_weights=metric_weights)
        self._sources = config.measured_sources(metric_weights=metric_weights)
        self._mutex = Lock()
        self.restart()

    @property
    def scale(self) -> Scale:
        """The scale as it is known now."""
        return self._scale

    def measures(self, source: str) -> bool:
        """Return whether the observations of a source count."""
        return source in self._sources

    def set_factor(self, factor: float) -> None:
        """Replace the factor of a scale that is fixed."""
        with self._mutex:
            self._prior = self._scale = replace(self._prior, factor=factor)

    def restart(self) -> None:
        """Forget all observations: the map has got another unit."""
        with self._mutex:
            self._observed: dict[str, deque[ScaleObservation]] = {
                source: deque(maxlen=MAX_OBSERVATIONS) for source in self._sources
            }
            self._contradicting: list[ScaleObservation] = []
            self._spread = 1.0
            self._scale = self._prior

    def observe(self, observation: ScaleObservation) -> Scale:
        """
        Take a measurement into account and return the scale.

        Observations of sources that are not asked for, or that a better one has replaced, do not
        change it.
        """
        with self._mutex:
            if observation.source not in self._observed:
                return self._scale
            replaces = self._replaces(observation.source)
            if observation.source == self._scale.source and self._contradicts(observation):
                if len(self._contradicting) == MAX_CONTRADICTIONS:
                    self._unlock(observation.source)
                return self._scale
            self._observed[observation.source].append(observation)
            if replaces or observation.source == self._scale.source:
                self._settle(observation.source)
            return self._scale

    def _replaces(self, source: str) -> bool:
        """Return whether a source is better than the one in use."""
        if self._scale.source not in self._sources:
            return True
        return self._sources.index(source) < self._sources.index(self._scale.source)

    def _contradicts(self, observation: ScaleObservation) -> bool:
        """Return whether an observation is set aside, and keep count."""
        if not self._scale.locked:
            return False
        offset = observation.log_ratio - math.log(self._scale.factor)
        sigma = math.hypot(observation.std * self._spread, self._scale.std)
        if abs(offset) <= CONTRADICTION_SIGMAS * sigma:
            self._contradicting = self._contradicting[1:]
            return False
        if self._contradicting:
            before = self._contradicting[0].log_ratio - math.log(self._scale.factor)
            if before * offset < 0:
                self._contradicting = []
        self._contradicting.append(observation)
        return True

    def _unlock(self, source: str) -> None:
        """Believe those who contradict; the factor moves with the next observation."""
        self._observed[source] = deque(self._contradicting, maxlen=MAX_OBSERVATIONS)
        self._contradicting = []
        log_factor = math.log(self._scale.factor)
        estimate = estimate_log_scale(list(self._observed[source]))
        std = math.hypot(estimate.std, estimate.log_factor - log_factor)
        self._scale = Scale(self._scale.factor, std, source, metric=True, state='estimating')
        logger.warning(
            'The scale of %.4f is unlocked: %d observations of %s say %.4f +- %.1f %%.',
            self._scale.factor, MAX_CONTRADICTIONS, source, math.exp(estimate.log_factor),
            100 * estimate.std,
        )  # fmt: skip

    def _settle(self, source: str) -> None:
        """Set the scale to what the observations of a source say."""
        before = self._scale
        estimate = estimate_log_scale(list(self._observed[source]))
        log_factor, std = estimate.log_factor, estimate.std
        locked = std < LOCK_STD and len(self._observed[source]) >= MIN_OBSERVATIONS
        if before.locked and before.source in self._sources:
            gap = estimate.log_factor - math.log(before.factor)
            slewed = math.log(before.factor) + min(max(gap, -SLEW), SLEW)
            slewed_std = math.hypot(std, estimate.log_factor - slewed)
            if slewed_std < UNLOCK_STD:
                log_factor, std, locked = slewed, slewed_std, True
        if before.source != source:
            self._contradicting = []
        self._spread = estimate.spread
        state: ScaleState = 'locked' if locked else 'estimating'
        self._scale = Scale(math.exp(log_factor), std, source, metric=True, state=state)
        if (before.source, before.state) != (source, state):
            logger.info(
                'Metres now come from %s: %.4f a unit of the map, +- %.1f %%, %s.',
                source, self._scale.factor, 100 * std, state,
            )  # fmt: skip


def estimate_log_scale(observations: list[ScaleObservation]) -> Estimate:
    """
    Return the robust mean of observations of one source.

    Parameters
    ----------
    observations : at least one.

    Returns
    -------
    Estimate : the mean, weighted by 1 / std**2, of the observations within three deviations of
        their weighted median. Where they scatter by more than their own deviations say (median
        absolute deviation), these are enlarged. Half of the weight may be wrong; the mean of fewer
        than five is taken to be half as sure.
    """
    log_ratio = np.array([o.log_ratio for o in observations])
    std = np.array([o.std for o in observations])
    order = np.argsort(log_ratio)
    weight = np.cumsum(std[order] ** -2)
    centre = log_ratio[order[np.searchsorted(weight, weight[-1] / 2)]]
    deviation = np.abs(log_ratio - centre) / std
    spread = max(1.0, 1.4826 * float(np.median(deviation)))
    kept = deviation <= 3 * spread
    weights = std[kept] ** -2
    mean = float(weights @ log_ratio[kept] / weights.sum())
    shared = np.array([o.common_std for o in observations])
    common = math.hypot(
        COMMON_LOG_STD[observations[0].source], float(weights @ shared[kept] / weights.sum())
    )
    few = FEW if len(observations) < MIN_OBSERVATIONS else 1.0
    return Estimate(mean, math.hypot(few * spread / math.sqrt(weights.sum()), common), spread)
