"""A report that anyone opens offline: one HTML file, PNG pictures, the record as JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
import math
from pathlib import Path
from typing import Any

from moe3d_engine.evaluation.record import DIRECTIONS
from moe3d_engine.evaluation.record import EvaluationRecord
from moe3d_engine.evaluation.report_pictures import draw_cloud
from moe3d_engine.evaluation.report_pictures import draw_frame
from moe3d_engine.evaluation.report_pictures import draw_frames
from moe3d_engine.evaluation.report_pictures import draw_latency
from moe3d_engine.evaluation.report_pictures import draw_record_reliability
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
from numpy.typing import NDArray

MEANINGS = {
    'abs_rel': 'mean |d - g| / g, metres as they are',
    'abs_rel_median': 'the same after one median scale',
    'delta1': 'share of pixels with a ratio below 1.25',
    'boundary_f1': "Depth Pro's scale-invariant F1 of depth boundaries",
    'flying_gt': 'boundary pixels between the true surfaces',
    'flying_pred': "boundary pixels between the prediction's own surfaces",
    'collapsed': 'boundary pixels where the prediction shows no step',
    'retained': 'pixels that are published',
    'retained_boundary': 'boundary pixels that are published',
    'ate_rmse_m': 'positions after one similarity, evo',
    'auc30': 'area under the accuracy of relative poses up to 30 degrees',
    'acc_mean': 'distance of predicted points to the true ones',
    'comp_mean': 'distance of true points to the predicted ones',
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.5rem }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #eee; text-align: right }
th:first-child, td:first-child { text-align: left } th { background: #f6f6f6 }
img { max-width: 100%; display: block; margin: .6rem 0 } .note { color: #666 }
"""


@dataclass(frozen=True, slots=True, eq=False)
class FramePicture:
    """
    What is shown of one frame.

    Parameters
    ----------
    key : of the frame in the record.
    rgb : (H, W, 3) uint8.
    depth : (H, W), NaN = rejected.
    depth_gt : (H, W) in the unit of `depth`, NaN = unknown; None without ground truth.
    boundary_confidence : (H, W) in [0, 1].
    abs_rel : error of the frame, in the picture's title; NaN without ground truth.
    """

    key: str
    rgb: UInt8Array
    depth: Float32Array
    depth_gt: Float32Array | None
    boundary_confidence: Float32Array
    abs_rel: float


@dataclass(frozen=True, slots=True, eq=False)
class CloudPicture:
    """A cloud in the camera's optical frame: points (N, 3) in metres, flying (N,) bool."""

    points: Float32Array
    flying: NDArray[Any]


def write_report(
    folder: Path,
    record: EvaluationRecord,
    pictures: Sequence[FramePicture],
    cloud: CloudPicture | None,
) -> Path:
    """
    Write `report.html`, which needs no other file and no network, the pictures and the record.

    Parameters
    ----------
    folder : is made where it is missing.
    record : also written, as `evaluation.json`.
    pictures : the worst frames, say, worst first.
    cloud : of one frame, seen from the side; flying points are red.

    Returns
    -------
    Path of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / 'evaluation.json')
    worst = [(f'frame-{number}.png', picture) for number, picture in enumerate(pictures)]
    for name, picture in worst:
        draw_frame(
            folder / name,
            f'{picture.key}   AbsRel {_number(picture.abs_rel)}',
            picture.rgb,
            picture.depth,
            picture.depth_gt,
            picture.boundary_confidence,
        )
    drawn = {
        'frames.png': draw_frames(folder / 'frames.png', record),
        'reliability.png': draw_record_reliability(folder / 'reliability.png', record),
        'latency.png': draw_latency(folder / 'latency.png', record),
        'cloud.png': cloud is not None
        and draw_cloud(folder / 'cloud.png', cloud.points, cloud.flying),
    }
    sections = [
        ('Figures', _summary(record)),
        (
            'Frames',
            _counts(record) + _images(folder, ['frames.png'] if drawn['frames.png'] else []),
        ),
        ('Worst frames', _images(folder, [name for name, _ in worst])),
        ('Cloud from the side, flying points in red', _images(folder, _made(drawn, 'cloud.png'))),
        ('Boundary confidence', _images(folder, _made(drawn, 'reliability.png'))),
        ('Latency', _images(folder, _made(drawn, 'latency.png')) + _mapping(record.timings)),
        ('What was run', _mapping(record.configuration)),
    ]
    body = ''.join(f'<h2>{escape(title)}</h2>{html}' for title, html in sections if html)
    title = f'moe3d evaluation: {record.kind}'
    path = folder / 'report.html'
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<style>{STYLE}</style><h1>{escape(title)}</h1>{body}</html>\n'
    )
    return path


def _made(drawn: Mapping[str, bool], name: str) -> list[str]:
    """Return a picture's name if it was drawn."""
    return [name] if drawn[name] else []


def _summary(record: EvaluationRecord) -> str:
    """Return the figures by method, and those of the sequence, as tables."""
    summary = record.summary()
    names = [n for n in DIRECTIONS if any(n in figures for figures in summary.values())]
    rows = [
        [method, *(_number(figures.get(name, math.nan)) for name in names)]
        for method, figures in summary.items()
    ]
    html = _table(['', *names], rows) if rows else ''
    if record.sequence:
        html += _table(['sequence', ''], [[k, _number(v)] for k, v in record.sequence.items()])
    known = [*names, *record.sequence]
    meanings = [f'{escape(n)}: {escape(MEANINGS[n])}' for n in known if n in MEANINGS]
    return html + f'<p class="note">{"; ".join(meanings)}.</p>' if meanings else html


def _counts(record: EvaluationRecord) -> str:
    """Return what became of the frames that came in."""
    counts = record.counts()
    reasons = ', '.join(f'{escape(k)}: {v}' for k, v in counts['dropped'].items()) or 'none'
    return (
        f'<p>{counts["in"]} in = {counts["published"]} published + '
        f'{sum(counts["dropped"].values())} dropped ({reasons}).</p>'
    )


def _images(folder: Path, names: Iterable[str]) -> str:
    """Return pictures that are part of the page."""
    return ''.join(
        f'<img alt="{escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode((folder / name).read_bytes()).decode()}">'
        for name in names
    )


def _mapping(values: Mapping[str, Any]) -> str:
    """Return settings or timings as a table; lists are left to the pictures and the JSON."""
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = {f'{name}.{key}': item for key, item in value.items()}
            rows += [[k, _text(v)] for k, v in inner.items() if not isinstance(v, (list, tuple))]
        elif not isinstance(value, (list, tuple)):
            rows.append([name, _text(value)])
    return _table(['', ''], rows) if rows else ''


def _text(value: object) -> str:
    """Return a setting or a figure as text."""
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """Return a figure, empty where there is none."""
    return '' if math.isnan(value) else f'{value:.4g}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all text is escaped."""
    lines = [f'<tr>{"".join(f"<th>{escape(cell)}</th>" for cell in head)}</tr>']
    lines += [f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in rows]
    return f'<table>{"".join(lines)}</table>'
