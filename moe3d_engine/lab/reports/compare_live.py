"""
Is version B faster than A on the same bag through the running node? Unpaired intervals.

Latencies of one image in two runs share nothing but the image: what delays one of them is what
else the machine does at that moment. So images are not paired. Two levels are drawn with
replacement: the repeats of each run, which differ as processes do, and in each of them blocks of
consecutive samples, because a busy moment delays neighbours together.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import NamedTuple

from moe3d_engine.errors import InputError
from moe3d_engine.lab.reports.compare import Comparison
from moe3d_engine.lab.reports.compare import SEED
from moe3d_engine.lab.reports.compare import TAILS
from moe3d_engine.lab.reports.compare import verdict_of
from moe3d_engine.lab.reports.facts import direction_of
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.types import Float64Array
import numpy as np

LIVE = 'bag-live'
RESAMPLES = 2000
BLOCK = 10  # samples: a second of images at 10 Hz, 2.5 s of CPU and memory

Repeats = list[Float64Array]  # the samples of each repeat in the order of time


class _Series(NamedTuple):
    """Samples by repeat, and the figures that are made of them."""

    samples: Callable[[EvaluationRecord], Repeats]
    names: tuple[str, ...]
    figures: Callable[[Float64Array], Float64Array]  # samples (N,) to one figure per name


def compare_live(a: EvaluationRecord, b: EvaluationRecord) -> list[Comparison]:
    """
    Compare two live runs over the same bag at the same rate.

    Parameters
    ----------
    a, b : records of kind `bag-live`.

    Returns
    -------
    One comparison per figure; `frames` is the number of samples of the shorter run. Figures of
    which a repeat has one value need two repeats in each run, else they have no interval.

    Raises
    ------
    InputError
        If they are of different bags, or were played differently.
    """
    for name in ('bag_sha256', 'topics', 'rate', 'frames'):
        ours, theirs = a.configuration.get(name), b.configuration.get(name)
        if ours != theirs:
            raise InputError(
                f'The two live runs differ in {name}: {ours!r} and {theirs!r}. Play the same '
                'images of the same bag at the same rate.'
            )
    return [row for series in SERIES for row in _compare(series, a, b)]


def _compare(series: _Series, a: EvaluationRecord, b: EvaluationRecord) -> Iterator[Comparison]:
    """Draw repeats and blocks of either run, and compare the figures that they give."""
    rng = np.random.default_rng(SEED)
    runs = series.samples(a), series.samples(b)
    none = np.full(len(series.names), np.nan)
    values = [series.figures(np.concatenate(run)) if run else none for run in runs]
    number = min(sum(map(len, run)) for run in runs)
    low = high = none
    if number > 1:
        drawn = [[series.figures(_resample(run, rng)) for _ in range(RESAMPLES)] for run in runs]
        low, high = np.quantile(np.subtract(drawn[1], drawn[0]), TAILS, axis=0)
    for name, *figures in zip(series.names, *values, low, high, strict=True):
        ours, theirs, least, most = map(float, figures)
        verdict = verdict_of(least, most, direction_of(name))
        yield Comparison(name, ours, theirs, least, most, verdict, number)


def _resample(repeats: Repeats, rng: np.random.Generator) -> Float64Array:
    """Return samples of as many drawn repeats; blocks go round at the end of a repeat."""
    parts = []
    for number in rng.integers(0, len(repeats), len(repeats)):
        samples = repeats[number]
        starts = rng.integers(0, len(samples), -(-len(samples) // BLOCK))
        chosen = (starts[:, None] + np.arange(BLOCK)).ravel()[: len(samples)] % len(samples)
        parts.append(samples[chosen])
    return np.concatenate(parts)


def _latencies_ms(record: EvaluationRecord) -> Repeats:
    """Return the latencies of each repeat."""
    counts = [figures['recorded'] for figures in record.timings['repeats'].values()]
    latencies_ms = np.array(record.timings['latencies_ms'], np.float64)
    return _filled(np.split(latencies_ms, np.cumsum(counts)[:-1]))


def _dropped(record: EvaluationRecord) -> Repeats:
    """Return 1 for each dropped and 0 for each published image of each repeat."""
    repeats: dict[str, list[float]] = {}
    for frame in record.frames:
        repeats.setdefault(frame.key.partition(':')[0], []).append(float(bool(frame.dropped)))
    return [np.array(values) for values in repeats.values()]


def _usage(name: str) -> Callable[[EvaluationRecord], Repeats]:
    """Return a function that returns the samples of each repeat's process."""

    def samples(record: EvaluationRecord) -> Repeats:
        usages: Mapping[str, Mapping[str, list[float]]] = record.timings['usage']
        return _filled([np.array(usage[name], np.float64) for usage in usages.values()])

    return samples


def _of_repeats(name: str) -> Callable[[EvaluationRecord], Repeats]:
    """Return a function that returns the one value of each repeat."""

    def samples(record: EvaluationRecord) -> Repeats:
        values = [figures[name] for figures in record.timings['repeats'].values()]
        return [np.array([value], np.float64) for value in values if value is not None]

    return samples


def _filled(repeats: Repeats) -> Repeats:
    """Return the repeats that have samples."""
    return [samples for samples in repeats if len(samples)]


def _mean(values: Float64Array) -> Float64Array:
    """Return the mean as the only figure."""
    return np.array([np.mean(values)])


SERIES = (
    _Series(
        _latencies_ms,
        ('latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms', 'latency_max_ms'),
        lambda values: np.percentile(values, (50, 95, 99, 100)),
    ),
    _Series(_dropped, ('dropped',), _mean),
    _Series(_of_repeats('rate_hz'), ('rate_hz',), _mean),
    _Series(_usage('cpu_percent'), ('cpu_percent',), _mean),
    _Series(_of_repeats('rss_mb_max'), ('rss_mb_max',), lambda x: np.array([np.max(x)])),
)
