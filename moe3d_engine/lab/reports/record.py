"""The record of an evaluation: figures frame by frame, from which everything else is summed."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
import json
import math
from pathlib import Path
from typing import Any
from typing import NamedTuple

from moe3d_engine.errors import InputError

FORMAT = 'moe3d-evaluation-1'
PUBLISHED = 'published'  # the method that is the product itself


@dataclass(frozen=True, slots=True)
class Figures:
    """
    The figures of one method on one frame.

    Parameters
    ----------
    means : values that are averaged over frames; NaN where a frame has none.
    shares : (numerator, denominator) of ratios that are pooled over frames, such as flying points
        among judged boundary pixels.
    """

    means: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """
    What became of one frame.

    Parameters
    ----------
    key : identifies the frame in every run over the same data, such as its stamp in nanoseconds.
    dropped : why it was not published; empty if it was.
    methods : figures by method; `published` is the product, the others are baselines at the same
        share of pixels.
    """

    key: str
    dropped: str = ''
    methods: Mapping[str, Figures] = field(default_factory=dict)


class Spread(NamedTuple):
    """A figure over several runs of the same thing."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """
    A whole evaluation, as JSON on disk.

    Parameters
    ----------
    kind : `bag-offline`, `bag-live`, `dataset` or `views`.
    configuration : what was run on what: settings, versions, names and hashes. No times, no paths
        of this machine.
    frames : in the order of the data; every frame that came in is here once.
    sequence : figures of the whole sequence (trajectory, fused cloud, map) by name.
    reliability : `edges`, `counts`, `confidence`, `correct` of the diagram's bins; empty without.
    timings : everything that differs between two runs of the same thing: latencies, throughput,
        CPU, memory, milliseconds of the filters.
    tracking : figures of the tracked poses by name, of each run of the tracker; empty without.
    maps : figures of maps by mapper, way to publish, and name; empty without.
    """

    kind: str
    configuration: Mapping[str, Any]
    frames: tuple[FrameRecord, ...]
    sequence: Mapping[str, float] = field(default_factory=dict)
    reliability: Mapping[str, list[float]] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    tracking: tuple[Mapping[str, float], ...] = ()
    maps: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """Return the methods in the order of their first appearance."""
        return list(dict.fromkeys(name for frame in self.frames for name in frame.methods))

    def counts(self) -> dict[str, Any]:
        """Return frames in, published, and dropped by reason; they add up."""
        reasons: dict[str, int] = {}
        for frame in self.frames:
            if frame.dropped:
                reasons[frame.dropped] = reasons.get(frame.dropped, 0) + 1
        published = len(self.frames) - sum(reasons.values())
        return {'in': len(self.frames), 'published': published, 'dropped': reasons}

    def summary(self) -> dict[str, dict[str, float]]:
        """Return figures over all frames by method and name."""
        return {
            method: summarize(f.methods[method] for f in self.frames if method in f.methods)
            for method in self.methods
        }

    def tracking_spread(self) -> dict[str, Spread]:
        """Return the figures of the tracked poses over all runs by name."""
        return {
            name: Spread(sum(values) / len(values), min(values), max(values))
            for name in dict.fromkeys(name for run in self.tracking for name in run)
            if (values := [run[name] for run in self.tracking if name in run])
        }

    def write(self, path: Path) -> None:
        """Write the record as JSON; figures that do not exist (NaN) become null."""
        content = {
            'format': FORMAT,
            'kind': self.kind,
            'configuration': self.configuration,
            'counts': self.counts(),
            'summary': self.summary(),
            'sequence': self.sequence,
            'tracking': self.tracking,
            'maps': self.maps,
            'reliability': self.reliability,
            'frames': [asdict(frame) for frame in self.frames],
            'timings': self.timings,
        }
        path.write_text(json.dumps(without_nan(content), indent=1, allow_nan=False) + '\n')


def summarize(figures: Iterable[Figures]) -> dict[str, float]:
    """Return the mean of each mean over the frames that have it, and each pooled share."""
    means: dict[str, list[float]] = {}
    shares: dict[str, list[tuple[float, float]]] = {}
    for item in figures:
        for name, value in item.means.items():
            means.setdefault(name, []).append(value)
        for name, pair in item.shares.items():
            shares.setdefault(name, []).append(pair)
    summary = {name: _mean(values) for name, values in means.items()}
    for name, pairs in shares.items():
        total = sum(pair[1] for pair in pairs)
        summary[name] = sum(pair[0] for pair in pairs) / total if total else math.nan
    return summary


def read_record(path: Path) -> EvaluationRecord:
    """
    Read a record.

    Raises
    ------
    InputError
        If the file is missing or is no record of this format.
    """
    try:
        content = json.loads(path.read_text())
        if content['format'] != FORMAT:
            raise InputError(f'{path} has the format {content["format"]!r}; {FORMAT} is read.')
        frames = tuple(_frame(frame) for frame in content['frames'])
        figures = ('frames', 'sequence', 'tracking', 'maps')
        names = [f.name for f in fields(EvaluationRecord) if f.name not in figures]
        return EvaluationRecord(
            frames=frames,
            sequence=_with_nan(content['sequence']),
            tracking=tuple(_with_nan(run) for run in content.get('tracking', ())),
            maps={
                mapper: {way: _with_nan(figures) for way, figures in ways.items()}
                for mapper, ways in content.get('maps', {}).items()
            },
            **{name: content[name] for name in names},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f'{path} is no record of an evaluation ({error!r}); `moe3d evaluate --out` writes one '
            'as evaluation.json.'
        ) from error


def _frame(content: Mapping[str, Any]) -> FrameRecord:
    """Return a frame from its JSON."""
    methods = {}
    for name, figures in content['methods'].items():
        means = _with_nan(figures['means'])
        shares = {k: (float(pair[0]), float(pair[1])) for k, pair in figures['shares'].items()}
        methods[name] = Figures(means, shares)
    return FrameRecord(content['key'], content['dropped'], methods)


def _with_nan(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Return figures from JSON, where null stands for NaN."""
    return {k: math.nan if v is None else float(v) for k, v in figures.items()}


def _mean(values: list[float]) -> float:
    """Return the mean of what is not NaN; NaN if nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def without_nan(value: Any) -> Any:  # noqa: ANN401 (JSON is anything)
    """Return a copy for JSON: null for NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value
