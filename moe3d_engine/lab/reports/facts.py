"""What each figure of a record is, said once: its heading, better side, unit and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Facts(NamedTuple):
    """
    Facts about a figure.

    Parameters
    ----------
    heading : of its column in a table.
    direction : +1 = more is better, -1 = less is better, 0 = neither.
    unit : `m`, `px`, `deg`, `ms`, `Hz`, `%`, `MB`; empty for shares and ratios.
    meaning : one line for the reader of a report.
    """

    heading: str
    direction: int
    unit: str
    meaning: str


# In the order in which tables show them.
FACTS: Mapping[str, Facts] = {
    'abs_rel': Facts('AbsRel m', -1, '', 'mean |d - g| / g, metres as they are'),
    'abs_rel_median': Facts(
        'AbsRel', -1, '', 'the same after one median scale per window (one frame of a bag)'
    ),
    'sq_rel': Facts('SqRel', -1, 'm', 'mean (d - g)² / g'),
    'rmse': Facts('RMSE', -1, 'm', 'root of the mean squared error of depth'),
    'log_rmse': Facts('logRMSE', -1, '', 'root of the mean squared error of log depth'),
    'delta1': Facts('d < 1.25', +1, '', 'share of pixels whose ratio to the truth is below 1.25'),
    'delta2': Facts('d < 1.25^2', +1, '', 'the same below 1.25²'),
    'delta3': Facts('d < 1.25^3', +1, '', 'the same below 1.25³'),
    'boundary_f1': Facts('SI-F1', +1, '', "Depth Pro's scale-invariant F1 of depth boundaries"),
    'boundary_f1_moge': Facts(
        'MoGe F1', +1, '', "MoGe-2's F1 of depth boundaries, mean of radius 1, 2 and 3"
    ),
    'dbe_accuracy_px': Facts(
        'DBE acc', -1, 'px', 'iBims-1: distance of predicted edges to true ones'
    ),
    'dbe_completeness_px': Facts(
        'DBE comp', -1, 'px', 'iBims-1: the same both ways, missed edges included'
    ),
    'flying_gt': Facts(
        'flying (true levels)', -1, '',
        'share of judged boundary pixels that lie between the true surfaces',
    ),
    'flying_pred': Facts(
        'flying (own levels)', -1, '', "share that lies between the prediction's own two surfaces"
    ),
    'collapsed': Facts(
        'no step', -1, '', 'share of boundary pixels where the prediction shows no step'
    ),
    'edge_chamfer_m': Facts(
        'edge Chamfer', -1, 'm', 'Chamfer distance of the points at boundary pixels, scaled'
    ),
    'near_surface': Facts(
        'on a surface', +1, '', 'share of these points within 2 % of their depth of a true one'
    ),
    'free_space_violation': Facts(
        'in free space', -1, '',
        'share of points before the true surface by .1 m and 3 %, metres as they are',
    ),
    'aliased': Facts(
        'aliased', -1, '',
        'share of published pixels between the depths of their neighbours, by 3 % at least',
    ),
    'retained': Facts('kept', +1, '', 'share of pixels that are published'),
    'retained_boundary': Facts(
        'kept at steps', +1, '', 'share of boundary pixels that are published'
    ),
    'acc_mean': Facts('Acc', -1, 'm', 'mean distance of predicted points to the true ones'),
    'acc_median': Facts('Acc med.', -1, 'm', 'median distance of predicted points to true ones'),
    'comp_mean': Facts('Comp', -1, 'm', 'mean distance of true points to the predicted ones'),
    'comp_median': Facts('Comp med.', -1, 'm', 'median distance of true points to predicted ones'),
    'nc_mean': Facts('NC', +1, '', 'mean agreement of normals, 1 = equal'),
    'nc_median': Facts('NC med.', +1, '', 'median agreement of normals'),
    'f_score': Facts(
        'F', +1, '', 'harmonic mean of precision and recall of points within a distance'
    ),
    'tsdf_precision': Facts(
        'Precision', +1, '', 'share of the fused surface that lies near the true one'
    ),
    'ate_rmse_m': Facts('ATE', -1, 'm', 'error of positions after one similarity'),
    'rpe_translation_rmse_m': Facts('RPE', -1, 'm', 'error of the way from frame to frame'),
    'rpe_rotation_rmse_deg': Facts('RPE turn', -1, 'deg', 'error of the turn, frame to frame'),
    'auc30': Facts('AUC@30', +1, '', 'area under the accuracy of relative poses up to 30 degrees'),
    'path_ratio': Facts(
        'path ratio', 0, '', 'length of the predicted way over that of the true one'
    ),
    'ece': Facts(
        'ECE', -1, '', 'expected calibration error of the boundary confidence, nothing rejected'
    ),
    'latency_p50_ms': Facts('p50', -1, 'ms', 'median latency, image sent to depth received'),
    'latency_p95_ms': Facts('p95', -1, 'ms', 'the same, 95th percentile'),
    'latency_p99_ms': Facts('p99', -1, 'ms', 'the same, 99th percentile'),
    'latency_max_ms': Facts('max', -1, 'ms', 'the same, the longest'),
    'dropped': Facts('dropped', -1, '', 'share of images that were not published'),
    'rate_hz': Facts('rate', +1, 'Hz', 'depth images received per second'),
    'cpu_percent': Facts('CPU', -1, '%', "mean use of the node's process, 100 = one core"),
    'rss_mb_max': Facts('RAM', -1, 'MB', "most resident memory of the node's process"),
}  # fmt: skip


def direction_of(name: str) -> int:
    """Return which side of a figure is better; 0 where neither is, or the figure is not known."""
    return FACTS[name].direction if name in FACTS else 0


def heading_of(name: str) -> str:
    """Return the heading of a figure's column, with its unit; an unknown name is its own."""
    if name not in FACTS:
        return name
    facts = FACTS[name]
    return f'{facts.heading} [{facts.unit}]' if facts.unit else facts.heading


def facts_table() -> str:
    """Return all figures in Markdown, as docs/metrics.md shows them."""
    better = {+1: 'more', -1: 'less', 0: ''}
    rows = ['| name | heading | better | unit | meaning |', '|---|---|---|---|---|']
    for name, facts in FACTS.items():
        meaning = facts.meaning.replace('|', '\\|').replace('<', '&lt;')
        heading = facts.heading.replace('<', '&lt;')
        rows.append(
            f'| `{name}` | {heading} | {better[facts.direction]} | {facts.unit} | {meaning} |'
        )
    return '\n'.join(rows) + '\n'
