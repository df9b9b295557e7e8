"""A report that anyone opens offline: one HTML file, PNG pictures, the record as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import math
from pathlib import Path
from typing import Any

from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.reports.facts import direction_of
from moe3d_engine.lab.reports.facts import FACTS
from moe3d_engine.lab.reports.figures import draw_cloud
from moe3d_engine.lab.reports.figures import draw_frame
from moe3d_engine.lab.reports.figures import draw_frames
from moe3d_engine.lab.reports.figures import draw_latency
from moe3d_engine.lab.reports.figures import draw_overview
from moe3d_engine.lab.reports.figures import draw_record_reliability
from moe3d_engine.lab.reports.html import cell
from moe3d_engine.lab.reports.html import definitions
from moe3d_engine.lab.reports.html import flatten
from moe3d_engine.lab.reports.html import images
from moe3d_engine.lab.reports.html import page
from moe3d_engine.lab.reports.html import table
from moe3d_engine.lab.reports.paths import draw_track
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.shown import CloudPicture
from moe3d_engine.lab.reports.shown import FramePicture

MAX_NAMED = 20  # dropped frames of one reason on the page
ARROWS = {+1: ' ↑', -1: ' ↓', 0: ''}  # the better side


def write_report(
    folder: Path,
    record: EvaluationRecord,
    pictures: Sequence[FramePicture],
    cloud: CloudPicture | None,
    track: Track | None = None,
) -> Path:
    """
    Write `report.html`, which needs no other file and no network, the pictures and the record.

    Parameters
    ----------
    folder : is made where it is missing. `report.png` in it shows the whole on one sheet.
    record : also written, as `evaluation.json`.
    pictures : the worst frames, say, worst first.
    cloud : of one frame, seen from the side; flying points are red.
    track : tracked poses, seen from above and from the side.

    Returns
    -------
    Path of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / 'evaluation.json')
    draw_overview(folder / 'report.png', record, pictures, cloud)
    worst = [f'frame-{number}.png' for number in range(len(pictures))]
    for name, picture in zip(worst, pictures, strict=True):
        draw_frame(folder / name, picture)
    drawn = {
        'track.png': draw_track(folder / 'track.png', track),
        'frames.png': draw_frames(folder / 'frames.png', record),
        'reliability.png': draw_record_reliability(folder / 'reliability.png', record),
        'latency.png': draw_latency(folder / 'latency.png', record),
        'cloud.png': draw_cloud(folder / 'cloud.png', cloud),
    }

    def shown(name: str) -> str:
        return images(folder, [name]) if drawn[name] else ''

    sections = [
        ('Figures', _summary(record)),
        ('Tracked poses', _tracking(record) + shown('track.png')),
        ('Maps', _maps(record)),
        ('Frames', _counts(record) + shown('frames.png')),
        ('Worst frames', images(folder, worst)),
        ('Cloud from the side and from above, flying points in red', shown('cloud.png')),
        ('Boundary confidence', shown('reliability.png')),
        ('Times', shown('latency.png') + _timings(record.timings)),
        ('What was run', _configuration(record.configuration)),
    ]
    subtitle = ' on '.join(
        str(record.configuration[name])
        for name in ('weights', 'bag')
        if name in record.configuration
    )
    path = folder / 'report.html'
    path.write_text(page(f'moe3d evaluation: {record.kind}', subtitle, sections), encoding='utf-8')
    return path


def _summary(record: EvaluationRecord) -> str:
    """Return the figures by method with their times, those of the sequence, and what they are."""
    summary = record.summary()
    found = list(dict.fromkeys(name for figures in summary.values() for name in figures))
    names = [n for n in FACTS if n in found] + [n for n in found if n not in FACTS]
    milliseconds = record.timings.get('median_ms', {})
    times = ['ms'] if any(method in milliseconds for method in summary) else []
    rows = [
        [method, *(cell(figures.get(name, math.nan)) for name in names)]
        + [cell(milliseconds.get(method)) for _ in times]
        for method, figures in summary.items()
    ]
    html = table(['method', *map(_with_arrow, names), *times], rows) if rows else ''
    if record.sequence:
        rows = [[_with_arrow(name), cell(value)] for name, value in record.sequence.items()]
        html += table(['whole sequence', ''], rows)
    known = {n: _meaning(n) for n in dict.fromkeys([*names, *record.sequence]) if n in FACTS}
    if times:
        known['ms'] = 'median time of a method on one frame, in milliseconds'
    note = '<p class="note">↑ more is better, ↓ less is better.</p>' if known else ''
    return html + note + definitions(known)


def _tracking(record: EvaluationRecord) -> str:
    """Return the figures of the tracked poses; of several runs their mean, least and most."""
    several = len(record.tracking) > 1
    rows = [
        [_with_arrow(name), *map(cell, spread if several else spread[:1])]
        for name, spread in record.tracking_spread().items()
    ]
    if not rows:
        return ''
    head = [f'mean of {len(record.tracking)} runs', 'least', 'most'] if several else ['']
    known = {name: _meaning(name) for name in record.tracking_spread() if name in FACTS}
    return table(['tracked poses', *head], rows) + definitions(known)


def _maps(record: EvaluationRecord) -> str:
    """Return a table per mapper with a row per way to publish, and what the figures are."""
    names = list(
        dict.fromkeys(n for ways in record.maps.values() for row in ways.values() for n in row)
    )
    tables = []
    for mapper, ways in record.maps.items():
        rows = [[way, *(cell(row.get(n, math.nan)) for n in names)] for way, row in ways.items()]
        tables.append(table([mapper, *map(_with_arrow, names)], rows))
    return ''.join(tables) + definitions({name: _meaning(name) for name in names})


def _with_arrow(name: str) -> str:
    """Return the name of a figure with its better side."""
    return name + ARROWS[direction_of(name)]


def _meaning(name: str) -> str:
    """Return what a figure means, with its unit."""
    facts = FACTS[name]
    return f'{facts.meaning}, in {facts.unit}' if facts.unit else facts.meaning


def _counts(record: EvaluationRecord) -> str:
    """Return what became of the frames that came in, and why."""
    counts = record.counts()
    rows = [['in', str(counts['in'])], ['published', str(counts['published'])]]
    rows += [[f'dropped: {reason}', str(count)] for reason, count in counts['dropped'].items()]
    return table(['frames', ''], rows) + _dropped(record)


def _dropped(record: EvaluationRecord) -> str:
    """Return the frames that were dropped by name, the first of each reason; the JSON has all."""
    keys: dict[str, list[str]] = {}
    for frame in record.frames:
        if frame.dropped:
            keys.setdefault(frame.dropped, []).append(frame.key)
    rows = [
        [reason, ', '.join(names[:MAX_NAMED]) + (' ...' if len(names) > MAX_NAMED else '')]
        for reason, names in keys.items()
    ]
    return table(['dropped', 'frames'], rows, text=True) if rows else ''


def _timings(timings: Mapping[str, Any]) -> str:
    """Return timings as a table; series are left to the pictures and the JSON."""
    rows = [
        [name, cell(value)]
        for name, value in flatten(timings).items()
        if not isinstance(value, (list, tuple))
    ]
    return table(['time', ''], rows) if rows else ''


def _configuration(configuration: Mapping[str, Any]) -> str:
    """Return every setting, version and hash."""
    rows = [[name, cell(value)] for name, value in flatten(configuration).items()]
    return table(['setting', ''], rows, text=True) if rows else ''
