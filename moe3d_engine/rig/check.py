"""Whether the cameras of a rig still sit where the extrinsics say, by what they see together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import NamedTuple

from moe3d_engine.rig.epipolar import corrected_pose
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.types import Float64Array
import numpy as np

MAX_TURN_DEG = 0.5
MAX_DIRECTION_SHARE = 0.05  # of the baseline: so far off, sideways
POOLED_NS = 30_000_000_000  # matches of so long are judged together
LASTING_NS = 15_000_000_000  # and have to say the same for so long
MIN_OBSERVATIONS = 4  # pooled; a single one may be of a scene that hides the error
MAX_MATCHES = 100  # of an observation
MIN_BASELINE_M = 0.001  # cameras that are nearer have no direction between them
SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class Misplaced:
    """
    Two cameras that do not sit as the extrinsics say.

    Parameters
    ----------
    first, second : names.
    turn_deg : angle between the given and the seen rotation.
    direction_share : how far the second camera is off sideways, in lengths of the baseline.
    lasting_s : how long this has been so.
    num_matches : that say so.
    blamed : the one that is off, where a third camera tells; empty = it may be either.
    """

    first: str
    second: str
    turn_deg: float
    direction_share: float
    lasting_s: float
    num_matches: int
    blamed: str = ''

    def __str__(self) -> str:
        """Say it to a person, with what to do."""
        who = f'The camera {self.blamed}' if self.blamed else 'One of these cameras'
        return (
            f'{who} does not sit where the extrinsics say: {self.second} is turned by '
            f'{self.turn_deg:.2f} deg beside {self.first} and lies '
            f'{100 * self.direction_share:.1f} % of their distance off, for '
            f'{self.lasting_s:.0f} s by {self.num_matches} matches (warned from '
            f'{MAX_TURN_DEG:g} deg or {100 * MAX_DIRECTION_SHARE:g} % on). Was it knocked, or '
            f'are stamps late? Calibrate the rig anew and correct rig.extrinsics.'
        )


class _Observed(NamedTuple):
    """Matches of two cameras at one moment."""

    stamp_ns: int
    first: Float64Array  # (M, 2), x / z and y / z
    second: Float64Array


class _Pair:
    """What two cameras have seen together of late."""

    def __init__(self) -> None:
        self.observed: deque[_Observed] = deque()
        self.off_since_ns: int | None = None
        self.found: Misplaced | None = None


class ExtrinsicsCheck:
    """
    Compares where cameras sit with what matches between their images say.

    The matches of the last half minute are judged together. A pair is reported when its rotation
    or the direction between its cameras is off by more than the limits and by more than three
    standard deviations, for a quarter of a minute. Time is that of the stamps.

    Parameters
    ----------
    rig : as it is given.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._pairs: dict[tuple[str, str], _Pair] = {}

    def observe(
        self,
        stamp_ns: int,
        cameras: tuple[str, str],
        places: tuple[Float64Array, Float64Array],
        focal_px: float,
    ) -> None:
        """
        Take the matches of two cameras at one moment into account.

        Parameters
        ----------
        stamp_ns : of the moment.
        cameras : their names.
        places : (M, 2) of the same points in both, x / z and y / z of their rays; those that no
            one motion explains are sorted out already.
        focal_px : of the cameras; pixels per unit of places.
        """
        if self._rig.baseline_m(*cameras) < MIN_BASELINE_M or not len(places[0]):
            return
        pair = self._pairs.setdefault(cameras, _Pair())
        if pair.observed and stamp_ns <= pair.observed[-1].stamp_ns:
            pair.observed.clear()  # time has jumped back
            pair.off_since_ns = pair.found = None
        every = -(-len(places[0]) // MAX_MATCHES)
        pair.observed.append(_Observed(stamp_ns, places[0][::every], places[1][::every]))
        while stamp_ns - pair.observed[0].stamp_ns > POOLED_NS:
            pair.observed.popleft()
        if len(pair.observed) >= MIN_OBSERVATIONS:
            self._judge(cameras, pair, focal_px)

    def misplaced(self, stamp_ns: int) -> tuple[Misplaced, ...]:
        """Return the pairs that are off by now; those of which nothing is seen are forgotten."""
        for cameras, pair in list(self._pairs.items()):
            if stamp_ns - pair.observed[-1].stamp_ns > POOLED_NS:
                del self._pairs[cameras]
        found = [pair.found for pair in self._pairs.values() if pair.found is not None]
        blamed = self._blamed(found)
        return tuple(
            Misplaced(
                f.first,
                f.second,
                f.turn_deg,
                f.direction_share,
                f.lasting_s,
                f.num_matches,
                blamed,
            )
            for f in found
        )

    def is_off(self, cameras: tuple[str, str]) -> bool:
        """Return whether two cameras seem to be off, or have been until now."""
        pair = self._pairs.get(cameras)
        return pair is not None and pair.off_since_ns is not None

    def _judge(self, cameras: tuple[str, str], pair: _Pair, focal_px: float) -> None:
        """Compare the matches that are kept with the extrinsics."""
        first = np.concatenate([observed.first for observed in pair.observed])
        second = np.concatenate([observed.second for observed in pair.observed])
        given = self._rig.second_from_first(*cameras)
        found = corrected_pose(first, second, given, focal_px)
        std = np.sqrt(np.diag(found.covariance))
        turn_deg = math.degrees(float(np.linalg.norm(found.rotation_rad)))
        turn_std_deg = math.degrees(float(std[:3].max()))
        share, share_std = float(np.linalg.norm(found.direction)), float(std[3:].max())
        off = turn_deg > MAX_TURN_DEG + SIGMAS * turn_std_deg
        off |= share > MAX_DIRECTION_SHARE + SIGMAS * share_std
        newest_ns = pair.observed[-1].stamp_ns
        if not off:
            pair.off_since_ns = pair.found = None
            return
        if pair.off_since_ns is None:
            pair.off_since_ns = newest_ns
        lasting_ns = newest_ns - pair.off_since_ns
        if lasting_ns >= LASTING_NS:
            pair.found = Misplaced(*cameras, turn_deg, share, lasting_ns / 1e9, len(first))

    def _blamed(self, found: Sequence[Misplaced]) -> str:
        """Return the camera that is in all pairs that are off, where a pair without it is not."""
        suspects = set(self._rig.cameras)
        for each in found:
            suspects &= {each.first, each.second}
        if len(suspects) != 1 or not found:
            return ''
        return suspects.pop()
