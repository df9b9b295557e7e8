"""The demo's figures: what arrived, how fast, and how good it is against ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.errors import Moe3dError
from moe3d_engine.intake.drops import Drop
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.runs.bag_run import BagRunOptions
from moe3d_engine.lab.runs.bag_run import evaluate_bag
from moe3d_engine.lab.runs.bag_run import FrameOutcome
from moe3d_engine.lab.runs.frame_judge import BEFORE_REJECTION
from moe3d_engine.policy import limit_range
from moe3d_engine.policy import Thresholds
from moe3d_engine.types import Float32Array
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.tools.recorded import PublishedFrame
from moe3d_ros.tools.recorded import read_published
from moe3d_ros.tools.recorded import recorded_topics
from moe3d_ros.tools.run_figures import rounded
from moe3d_ros.tools.run_figures import Summary
import numpy as np

MAX_EVALUATED_FRAMES = 120  # the first ones; keeps long bags within minutes and memory
SAME_DEPTH = 1e-3  # relative; two runs that differ by less are called equal


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedFrames:
    """
    The published frames that figures and picture are made of.

    Parameters
    ----------
    frames : V frames as recorded.
    depth_raw : (V, H, W) before rejection, from the offline evaluation of the same images.
    metric : whether depth is in metres.
    """

    frames: list[PublishedFrame]
    depth_raw: Float32Array
    metric: bool


def evaluate(
    bag: Path,
    camera: CameraTopics,
    output: Path,
    config: NodeConfig,
    on_progress: Callable[[], object],
) -> tuple[EvaluatedFrames, Summary]:
    """
    Evaluate the bag offline as `moe3d evaluate --bag` does, on the images that were published.

    An image that the node dropped was tracked but never in a window, so the published stamps
    determine all windows, and the recorded depth must nearly come out again: `rerun_agreement` is
    the share of pixels that do. Not all, since the node refines its map in a thread of its own.
    The unit of depth is taken from the recorded depth: one factor a frame.

    Raises
    ------
    InputError
        If nothing was published.
    Moe3dError
        If the offline evaluation drops an image that the node has published.
    """
    _, metric = recorded_topics(output)
    frames = read_published(output, MAX_EVALUATED_FRAMES)
    thresholds = config.session.thresholds
    raw: list[Float32Array] = []
    again: list[Float32Array] = []
    abs_rel: list[float] = []

    def keep(outcome: FrameOutcome) -> None:
        if isinstance(outcome.result, Drop):
            raise Moe3dError(f'The node has published an image that is bad: {outcome.result}.')
        recorded, depth = frames[len(raw)].depth, outcome.result.depth[0]
        factor, depth_raw = _factor(recorded, depth), outcome.result.depth_raw[0]
        raw.append(factor * depth_raw)
        again.append(_in_unit(factor, depth, depth_raw, thresholds) if metric else factor * depth)
        if outcome.truth is not None and metric:
            abs_rel.append(depth_metrics(recorded, outcome.truth, align='none').abs_rel)
        on_progress()

    run = evaluate_bag(_options(bag, camera, config, frames), keep)
    depth = np.stack([frame.depth for frame in frames])
    summary: Summary = {
        'evaluated_frames': len(frames),
        'depth_scale': 'metric' if metric else 'relative',
        'rerun_agreement': rounded(_agreement(depth, np.stack(again))),
        **_accuracy(run.record),
        'abs_rel': rounded(float(np.nanmean(abs_rel))) if abs_rel else None,
    }
    return EvaluatedFrames(frames, np.stack(raw), metric), summary


def _options(
    bag: Path, camera: CameraTopics, config: NodeConfig, frames: list[PublishedFrame]
) -> BagRunOptions:
    """Return what the node ran with, for the images that it has published."""
    return BagRunOptions(
        bag,
        weights=config.weights,
        backend=config.backend,
        threads=config.threads,
        image_topic=camera.image,
        camera_info_topic=camera.camera_info,
        depth_topic=camera.depth,
        stamps_ns=frozenset(frame.stamp_ns for frame in frames),
        session=config.session,
        baselines=False,
    )


def _factor(recorded: Float32Array, again: Float32Array) -> np.float32:
    """Return what brings a depth map to the unit of the recorded one."""
    both = np.isfinite(recorded) & np.isfinite(again)
    return np.float32(np.median(recorded[both] / again[both])) if both.any() else np.float32(1)


def _in_unit(
    factor: np.float32, depth: Float32Array, depth_raw: Float32Array, thresholds: Thresholds
) -> Float32Array:
    """Return published depth in another unit, in which the range may end elsewhere."""
    within = factor * np.where(np.isinf(depth), depth_raw, depth)
    return limit_range(within, thresholds.depth_min_m, thresholds.depth_max_m)


def _accuracy(record: EvaluationRecord) -> Summary:
    """Return the figures before and after rejection; None where there is no ground truth."""
    figures = record.summary()
    before, published = figures[BEFORE_REJECTION], figures[PUBLISHED]

    def both(name: str) -> dict[str, float | None]:
        return {'raw': rounded(before.get(name)), 'rejected': rounded(published.get(name))}

    has_truth = 'abs_rel_median' in published
    return {
        'ground_truth': record.configuration['topics']['depth'] if has_truth else None,
        'abs_rel_median': rounded(published.get('abs_rel_median')),
        'flying_share': both('flying_gt'),
        'flying_share_own_levels': both('flying_pred'),
        'retained': rounded(published['retained']),
        'retained_boundary': rounded(published.get('retained_boundary')),
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
        ('AbsRel, one median scale a frame', _number(summary['abs_rel_median'])),
        ('flying points, raw', _flying(own['raw'], share['raw'])),
        ('flying points, published', _flying(own['rejected'], share['rejected'])),
        ('pixels kept', _percent(summary['retained'])),
        ('boundary pixels kept', _percent(summary['retained_boundary'])),
        ('ground truth', summary['ground_truth'] or 'none that can be used'),
        ('poses', _poses(summary['poses'])),
        ('conventions of ROS', summary['conformance'][-1]),
        ('network', f'{summary["weights"]} on {summary["backend"]}'),
        ('machine', f'{summary["machine"]["cpu"]}, {summary["machine"]["cores"]} cores'),
    ]
    width = max(len(name) for name, _ in rows)
    return '\n'.join(f'  {name:<{width}}  {value}' for name, value in rows)


def _poses(poses: Summary) -> str:
    """Return what was published of the camera's way."""
    if not poses['published']:
        return 'none'
    off = '' if poses['error_m_max'] is None else f', off by {poses["error_m_max"]} m at most'
    return f'{poses["published"]}, {poses["lost"]} of them lost; {poses["way_m"]} m{off}'


def _flying(own: float | None, true: float | None) -> str:
    """Return the share between the prediction's own surfaces, and that between the true ones."""
    return f'{_percent(own)} between its own surfaces, {_percent(true)} between the true ones'


def _agreement(depth: Float32Array, depth_again: Float32Array) -> float:
    """Return the share of pixels on which two runs published the same."""
    both = np.isfinite(depth) & np.isfinite(depth_again)
    difference = np.where(both, depth, 0.0) - np.where(both, depth_again, 0.0)
    close = np.abs(difference) <= SAME_DEPTH * np.where(both, depth, 1.0)
    same_kind = (np.isnan(depth) == np.isnan(depth_again)) & (
        np.isinf(depth) == np.isinf(depth_again)
    )
    return float(np.mean(same_kind & close))


def _number(value: float | None) -> str:
    """Return a figure, or a dash where there is none."""
    return '-' if value is None else f'{value:.4f}'


def _percent(share: float | None) -> str:
    """Return a share in per cent, or a dash where there is none."""
    return '-' if share is None else f'{100 * share:.2f} %'
