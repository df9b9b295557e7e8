"""The demo's figures: what arrived, how fast, and how good it is against ground truth."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
import math
import os
from pathlib import Path
import platform
from typing import Any

from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
from moe3d_engine.lab.metrics.flying_points import flying_points
from moe3d_engine.types import DepthScale
from moe3d_engine.types import Float32Array
from moe3d_ros.parameters import NodeConfig
from moe3d_ros.tools.demo.frames import published_depth_topic
from moe3d_ros.tools.demo.frames import PublishedFrame
from moe3d_ros.tools.demo.frames import read_ground_truth
from moe3d_ros.tools.demo.frames import read_published
from moe3d_ros.tools.demo.frames import rerun
from moe3d_ros.tools.replay import ReplaySummary
from moe3d_ros.tools.stream_times import stream_times
import numpy as np

MAX_EVALUATED_FRAMES = 120  # the first ones; keeps long bags within minutes and memory
SAME_DEPTH = 1e-3  # relative; two runs that differ by less are called equal

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedFrames:
    """
    The published frames that figures and picture are made of.

    Parameters
    ----------
    frames : V frames as recorded.
    depth_raw : (V, H, W) before rejection, from a second, offline run over the same windows.
    depth_gt : (V, H, W) metres, NaN = unknown; None without ground truth.
    depth_scale : unit of `frames` and `depth_raw`.
    """

    frames: list[PublishedFrame]
    depth_raw: Float32Array
    depth_gt: Float32Array | None
    depth_scale: DepthScale


def evaluate(
    bag: Path,
    camera: CameraTopics,
    output: Path,
    config: NodeConfig,
    on_progress: Callable[[], object],
) -> tuple[EvaluatedFrames, Summary]:
    """
    Compare what was recorded with ground truth, before and after rejection.

    Raises
    ------
    InputError
        If nothing was published.
    """
    _, depth_scale = published_depth_topic(output)
    frames = read_published(output, MAX_EVALUATED_FRAMES)
    depth_raw, depth_again = rerun(
        bag, camera, [frame.stamp_ns for frame in frames], config, on_progress
    )
    depth = np.stack([frame.depth for frame in frames])
    depth_gt = read_ground_truth(bag, camera, frames)
    evaluated = EvaluatedFrames(frames, depth_raw, depth_gt, depth_scale)
    summary: Summary = {
        'evaluated_frames': len(frames),
        'depth_scale': depth_scale.value,
        'retained': _rounded(float(np.mean(~np.isnan(depth)))),
        'rerun_agreement': _rounded(_agreement(depth, depth_again)),
        'ground_truth': camera.depth if depth_gt is not None else None,
    }
    return evaluated, summary | _accuracy(depth, depth_raw, depth_gt, depth_scale)


def stream_figures(
    output: Path, image_topic: str, bag: Path, sent: ReplaySummary, rate: float
) -> Summary:
    """Return output rate and latency; see `stream_times`."""
    times = stream_times(output, image_topic, bag, sent, rate)
    latencies_ms = list(times.latency_ms.values())
    return {
        'recorded': len(latencies_ms),
        'rate_hz': _rounded(times.rate_hz, 2),
        'latency_ms': {f'p{p}': _rounded(np.percentile(latencies_ms, p), 1) for p in (50, 95)},
    }


def node_figures(sent_images: int, diagnostics: Mapping[str, str]) -> Summary:
    """
    Return what became of each image, from the node's last diagnostics.

    `dropped` also counts what never reached the node (`not_received`) and what the node has
    lost sight of (`unaccounted`), so that published and dropped images add up to those sent.
    """
    received, published = int(diagnostics['frames_in']), int(diagnostics['published'])
    dropped = {
        key.removeprefix('dropped.'): int(value)
        for key, value in diagnostics.items()
        if key.startswith('dropped.') and int(value)
    }
    missing = {
        'not_received': sent_images - received,
        'unaccounted': received - published - sum(dropped.values()),
    }
    dropped |= {reason: count for reason, count in missing.items() if count}
    percentiles = {p: diagnostics.get(f'latency_ms.{p}') for p in ('p50', 'p95')}
    return {
        'frames_in': sent_images,
        'published': published,
        'dropped': dropped,
        'node_latency_ms': {p: float(v) for p, v in percentiles.items() if v is not None},
    }


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return {
        'cpu': models[0] if models else platform.processor() or platform.machine(),
        'cores': os.cpu_count() or 1,
        'platform': platform.platform(),
        'python': platform.python_version(),
    }


def table(summary: Summary) -> str:
    """Return the figures as lines for people."""
    share, own = summary['flying_share'], summary['flying_share_own_levels']
    latency = summary['latency_ms']
    drops = ', '.join(f'{n} {reason}' for reason, n in summary['dropped'].items()) or 'none'
    node_latency = ', '.join(f'{p} {v} ms' for p, v in summary['node_latency_ms'].items())
    rows = [
        ('images sent', f'{summary["frames_in"]}'),
        ('published', f'{summary["published"]} (recorded {summary["recorded"]})'),
        ('dropped', drops),
        ('output rate', f'{summary["rate_hz"]} Hz'),
        ('latency, sent to recorded', f'p50 {latency["p50"]} ms, p95 {latency["p95"]} ms'),
        ('latency, inside the node', node_latency or '-'),
        ('AbsRel, no alignment', _number(summary['abs_rel'])),
        ('AbsRel, median aligned', _number(summary['abs_rel_median'])),
        ('flying points, raw', _flying(own['raw'], share['raw'])),
        ('flying points, published', _flying(own['rejected'], share['rejected'])),
        ('pixels kept', _percent(summary['retained'])),
        ('boundary pixels kept', _percent(summary['retained_boundary'])),
        ('ground truth', summary['ground_truth'] or 'none that can be used'),
        ('network', f'{summary["weights"]} on {summary["backend"]}'),
        ('machine', f'{summary["machine"]["cpu"]}, {summary["machine"]["cores"]} cores'),
    ]
    width = max(len(name) for name, _ in rows)
    return '\n'.join(f'  {name:<{width}}  {value}' for name, value in rows)


def _flying(own: float | None, true: float | None) -> str:
    """Return the share between the prediction's own surfaces, and that between the true ones."""
    return f'{_percent(own)} between its own surfaces, {_percent(true)} between the true ones'


def _accuracy(
    depth: Float32Array,
    depth_raw: Float32Array,
    depth_gt: Float32Array | None,
    depth_scale: DepthScale,
) -> Summary:
    """Return the figures that need ground truth; None each where there is none."""
    figures: Summary = {
        'abs_rel': None,
        'abs_rel_median': None,
        'flying_share': {'raw': None, 'rejected': None},
        'flying_share_own_levels': {'raw': None, 'rejected': None},
        'boundary_pixels': None,
        'retained_boundary': None,
    }
    if depth_gt is None:
        return figures
    if depth_scale is DepthScale.METRIC:
        figures['abs_rel'] = _rounded(depth_metrics(depth, depth_gt, align='none').abs_rel)
    figures['abs_rel_median'] = _rounded(depth_metrics(depth, depth_gt, align='median').abs_rel)
    for name, levels in (('flying_share_own_levels', 'pred'), ('flying_share', 'gt')):
        raw = flying_points(depth_raw, depth_gt, levels=levels)
        rejected = flying_points(depth, depth_gt, levels=levels)
        figures[name] = {'raw': _rounded(raw.share), 'rejected': _rounded(rejected.share)}
    figures['boundary_pixels'] = rejected.boundary
    if rejected.boundary:
        kept = (rejected.boundary - rejected.dropped) / rejected.boundary
        figures['retained_boundary'] = _rounded(kept)
    return figures


def _agreement(depth: Float32Array, depth_again: Float32Array) -> float:
    """Return the share of pixels on which two runs published the same."""
    both = np.isfinite(depth) & np.isfinite(depth_again)
    difference = np.where(both, depth, 0.0) - np.where(both, depth_again, 0.0)
    close = np.abs(difference) <= SAME_DEPTH * np.where(both, depth, 1.0)
    same_kind = (np.isnan(depth) == np.isnan(depth_again)) & (
        np.isinf(depth) == np.isinf(depth_again)
    )
    return float(np.mean(same_kind & close))


def _rounded(value: float | None, digits: int = 4) -> float | None:
    """Return a number fit for JSON: rounded, None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)


def _number(value: float | None) -> str:
    """Return a figure, or a dash where there is none."""
    return '-' if value is None else f'{value:.4f}'


def _percent(share: float | None) -> str:
    """Return a share in per cent, or a dash where there is none."""
    return '-' if share is None else f'{100 * share:.2f} %'
