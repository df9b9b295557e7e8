"""Is version B better than A on the same frames? Paired bootstrap intervals of every figure."""

from __future__ import annotations

from dataclasses import dataclass
import math

from moe3d_engine.errors import InputError
from moe3d_engine.lab.reports.facts import FACTS
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.types import Float64Array
import numpy as np

RESAMPLES = 10_000
SEED = 0
TAILS = (0.025, 0.975)  # of the differences: what lies outside the interval
CHUNK = 500  # resamples at once, so that long bags fit into memory


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    One figure of two runs.

    Parameters
    ----------
    name : of the figure.
    a, b : its value over the frames that both runs have.
    low, high : 95 % interval of b - a; NaN where there is none.
    verdict : `better`, `worse` (B than A), `equal` where the interval holds 0, or `unknown`.
    frames : that both runs judge.
    """

    name: str
    a: float
    b: float
    low: float
    high: float
    verdict: str
    frames: int


def compare_records(
    a: EvaluationRecord, b: EvaluationRecord, *, method: str = PUBLISHED
) -> list[Comparison]:
    """
    Compare two runs over the same data, frame by frame.

    Parameters
    ----------
    a, b : records; frames are matched by key, in whatever order they are.
    method : whose figures are compared.

    Returns
    -------
    One comparison per figure that both have and that has a better side. The frame is the unit of
    resampling; neighbouring frames of a video are not independent, so intervals of a single bag
    are rather too narrow.

    Raises
    ------
    InputError
        If the runs have no frame in common, or are of different data.
    """
    for name in ('bag_sha256', 'protocol', 'data_sha256'):
        ours, theirs = a.configuration.get(name), b.configuration.get(name)
        if ours != theirs:
            raise InputError(
                f'The two runs are of different data: {name} is {ours!r} and {theirs!r}. Compare '
                'runs over the same bag or data set.'
            )
    pairs = _pairs(a, b, method)
    if not pairs:
        raise InputError(
            f'The two runs have no published frame with figures of {method!r} in common '
            f'({len(a.frames)} and {len(b.frames)} frames). Compare runs over the same data.'
        )
    names = [
        name
        for name, facts in FACTS.items()
        if facts.direction
        and any(_value(pair[0], name) and _value(pair[1], name) for pair in pairs)
    ]
    return [_compare(name, pairs) for name in names]


def unmatched_frames(a: EvaluationRecord, b: EvaluationRecord) -> dict[str, list[str]]:
    """Return the keys of frames that only one run has published."""
    keys = [{f.key for f in record.frames if not f.dropped} for record in (a, b)]
    return {'only_a': sorted(keys[0] - keys[1]), 'only_b': sorted(keys[1] - keys[0])}


def _pairs(a: EvaluationRecord, b: EvaluationRecord, method: str) -> list[tuple[Figures, Figures]]:
    """Return the figures of the frames that both have, in the order of their keys."""
    found = [
        {f.key: f.methods[method] for f in record.frames if method in f.methods}
        for record in (a, b)
    ]
    return [(found[0][key], found[1][key]) for key in sorted(found[0].keys() & found[1].keys())]


def _value(figures: Figures, name: str) -> tuple[float, float] | None:
    """Return a figure of a frame as numerator and weight; None where the frame has none."""
    if name in figures.shares:
        return figures.shares[name] if figures.shares[name][1] else None
    value = figures.means.get(name, math.nan)
    return None if math.isnan(value) else (value, 1.0)


def _compare(name: str, pairs: list[tuple[Figures, Figures]]) -> Comparison:
    """Resample the frames that both judge."""
    both = [(_value(pair[0], name), _value(pair[1], name)) for pair in pairs]
    values = np.array([pair for pair in both if None not in pair], np.float64)  # (N, 2, 2)
    totals = values.sum(0)
    a, b = (totals[:, 0] / totals[:, 1]).tolist()
    differences = _resampled_differences(values)
    low, high = np.quantile(differences, TAILS).tolist()
    verdict = verdict_of(low, high, FACTS[name].direction)
    return Comparison(name, a, b, low, high, verdict, len(values))


def verdict_of(low: float, high: float, direction: int) -> str:
    """Return what an interval of b - a says of b; `unknown` where there is none."""
    if math.isnan(low):
        return 'unknown'
    if low <= 0 <= high:
        return 'equal'
    return 'better' if (low > 0) == (direction > 0) else 'worse'


def _resampled_differences(values: Float64Array) -> Float64Array:
    """Return b - a of each resample; `values` is (N frames, [a, b], [numerator, weight])."""
    rng = np.random.default_rng(SEED)
    parts = []
    for _ in range(RESAMPLES // CHUNK):
        chosen = rng.integers(0, len(values), (CHUNK, len(values)))
        counts = np.zeros((CHUNK, len(values)))
        np.add.at(counts, (np.arange(CHUNK)[:, None], chosen), 1.0)
        totals = np.tensordot(counts, values, axes=1)  # (CHUNK, 2, 2)
        ratio = totals[..., 0] / totals[..., 1]
        parts.append(ratio[:, 1] - ratio[:, 0])
    return np.concatenate(parts)
