"""Held-out figures of a network with a sweep: depth by cameras that are known within errors."""

from __future__ import annotations

from collections.abc import Iterable

from moe3d_engine.geometry.fit import to_network
from moe3d_engine.lab.runs.held_out import Judge
from moe3d_engine.lab.runs.held_out import judged_depth
from moe3d_engine.lab.runs.poses.pose_noise import known_cameras
from moe3d_engine.lab.runs.window_truth import WindowTruth
from moe3d_engine.lab.training.predict import run_network
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.model import Moe3dNet


def sweep_metrics(network: Moe3dNet, sets: Iterable[ViewSet]) -> dict[str, float]:
    """Return the figures, see `Judge.figures`, of the first view of each set, all others known."""
    judge = Judge(network.config.confidence_tau)
    for item in sets:
        cameras = known_cameras(item, 'perturbed')
        outputs = run_network(network, to_network(item.rgb), 'agree', cameras, [0])
        truth = WindowTruth(judged_depth(item, 1))
        confidence = outputs.boundary_confidence.float().cpu().numpy()
        judge.add(outputs.depth.float().cpu().numpy(), truth, confidence)
    figures = judge.figures()
    return {'delta_1' if name == 'delta1' else name: v for name, v in figures.items()}
