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
    unit : `m`, `1/m²`, `cm`, `px`, `deg`, `ms`, `Hz`, `%`, `MB`; empty for shares and ratios.
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
    'off_surface': Facts(
        'off surface', -1, '', 'share of all points without a true one within 3 % of their depth'
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
    'place_m': Facts(
        'place', -1, 'm', 'between the places that two frames, five apart, give the same pixel'
    ),
    'place_p90_m': Facts('place, p90', -1, 'm', 'the 90th percentile of the same'),
    'f_score': Facts(
        'F', +1, '', 'harmonic mean of precision and recall of points within a distance'
    ),
    'tsdf_precision': Facts(
        'Precision', +1, '', 'share of the fused surface that lies near the true one'
    ),
    'map_coverage': Facts(
        'covered', +1, '', 'share of true surface voxels with an occupied voxel near them'
    ),
    'map_phantoms': Facts(
        'phantoms', -1, '', 'share of occupied voxels that are far from every true surface'
    ),
    'map_obstacles_m2': Facts(
        'phantom cells', -1, '1/m²', 'cells of a costmap with obstacles that are not there, per m²'
    ),
    'map_cleared': Facts(
        'cleared', -1, '', 'share of true surface voxels that are called free, none occupied near'
    ),
    'map_coverage_at': Facts(
        'covered (equal)', 0, '', 'the coverage at which maps are compared: that of the least'
    ),
    'map_phantoms_at': Facts('phantoms (equal)', -1, '', 'phantoms at that coverage'),
    'map_obstacles_m2_at': Facts(
        'phantom cells (equal)', -1, '1/m²', 'phantom cells of the costmap at that coverage'
    ),
    'map_cleared_at': Facts('cleared (equal)', -1, '', 'cleared surfaces at that coverage'),
    'ate_rmse_m': Facts('ATE', -1, 'm', 'error of positions after one similarity'),
    'rpe_translation_rmse_m': Facts('RPE', -1, 'm', 'error of the way from frame to frame'),
    'rpe_rotation_rmse_deg': Facts('RPE turn', -1, 'deg', 'error of the turn, frame to frame'),
    'auc30': Facts('AUC@30', +1, '', 'area under the accuracy of relative poses up to 30 degrees'),
    'path_ratio': Facts(
        'path ratio', 0, '', 'length of the predicted way over that of the true one'
    ),
    'ate_sim3_percent': Facts(
        'ATE Sim3', -1, '%', 'error of tracked positions after one similarity, of the true way'
    ),
    'ate_se3_percent': Facts(
        'ATE SE3', -1, '%', 'the same after one rigid motion, so that wrong metres show'
    ),
    'ate_sim3_m': Facts('ATE Sim3', -1, 'm', 'the first in metres'),
    'ate_se3_m': Facts('ATE SE3', -1, 'm', 'the second in metres'),
    'rpe_cm': Facts('RPE', -1, 'cm', 'error of the tracked way from frame to frame, metres as is'),
    'rpe_deg': Facts('RPE turn', -1, 'deg', 'error of the tracked turn from frame to frame'),
    'path_m': Facts('way', 0, 'm', 'length of the true way'),
    'track_scale': Facts(
        'scale', 0, '', 'tracked length over the true one, by the similarity of the whole way'
    ),
    'scale_error_percent': Facts(
        'scale error', -1, '%', 'median error of the tracked length of the last metre, over time'
    ),
    'scale_covered': Facts(
        'way covered', +1, '', 'share of frames whose scale error is within 2 published stds'
    ),
    'depth_scale_error_percent': Facts(
        'depth scale error', -1, '%', 'median error of the scale of depth at the tracked points'
    ),
    'depth_scale_covered': Facts(
        'depth covered', +1, '', 'share of frames whose depth scale error is within 2 such stds'
    ),
    'scale_std_percent': Facts(
        'scale std', 0, '%', 'median of the published standard deviation of log scale'
    ),
    'scale_locked': Facts('scale locked', +1, '', 'share of frames whose scale is locked'),
    'abs_rel_raw': Facts('AbsRel m, raw', -1, '', 'mean |d - g| / g before rejection, metres'),
    'metres_off_percent': Facts('metres off', -1, '%', 'of the median depth; scenes: median'),
    'metres_off_most_percent': Facts('metres off, most', -1, '%', 'the same of the worst scene'),
    'metres_covered': Facts(
        'metres covered', +1, '', 'scenes whose metres are off by two deviations at most'
    ),
    'locked': Facts('locked', +1, '', 'scenes whose scale is locked'),
    'nees_median': Facts(
        'NEES', 0, '', 'median normalised error squared of poses, 5.3 where covariances are honest'
    ),
    'nees_in_band': Facts(
        'NEES in band', +1, '', 'share of frames within its two-sided 95 % band, 1.24 to 14.4'
    ),
    'nees_below_bound': Facts(
        'NEES below', +1, '', 'share of frames below its one-sided 95 % bound, 12.6'
    ),
    'undetected': Facts(
        'undetected', -1, '',
        'share of frames off by over 10 % of the way while neither status nor covariance says so',
    ),
    'lost': Facts('lost', -1, '', 'share of frames that tracking calls lost'),
    'starting': Facts('starting', -1, '', 'share of frames before there is a map'),
    'track_cpu_ms': Facts(
        'CPU', -1, 'ms', 'median CPU time of tracking a frame that becomes no keyframe'
    ),
    'track_cpu_p95_ms': Facts('CPU p95', -1, 'ms', 'the same, 95th percentile'),
    'keyframe_cpu_ms': Facts(
        'CPU keyframe', -1, 'ms', 'median CPU time of one that does, bundle adjustment included'
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
