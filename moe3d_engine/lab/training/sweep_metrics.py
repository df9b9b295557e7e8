"""Held-out figures of a network with a sweep: depth by cameras that are known within errors."""

from __future__ import annotations

from collections.abc import Iterable

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.lab.runs.held_out import Judge
from moe3d_engine.lab.runs.held_out import judged_depth
from moe3d_engine.lab.runs.pose_noise import perturbed
from moe3d_engine.lab.runs.pose_noise import pose_error_px
from moe3d_engine.lab.runs.window_truth import WindowTruth
from moe3d_engine.lab.training.predict import computes_bfloat16
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.network import NetworkOutputs
from moe3d_engine.model.sweep.geometry import Cameras
import numpy as np
import torch

ROTATION_DEG, TRANSLATION_SHARE = 0.2, 0.03  # of the poses' errors, about those of tracking


def known_cameras(
    item: ViewSet,
    rotation_deg: float = ROTATION_DEG,
    translation_share: float = TRANSLATION_SHARE,
) -> Cameras:
    """Return the cameras (V, ...) of a set with errors, always the same ones for the same set."""
    rng = np.random.default_rng(len(item.rgb))
    true = invert_rigid(item.world_from_cam)
    poses = perturbed(true, rng, rotation_deg, translation_share)
    focal, middle = float(item.intrinsics[0, 0, 0]), float(np.nanmedian(item.depth[0]))
    error_px = pose_error_px(true, focal, middle, rotation_deg, translation_share)
    arrays = item.intrinsics, poses, 1 / (1 + error_px**2)
    return Cameras(*(torch.from_numpy(np.asarray(x, np.float32)) for x in arrays))


def predict_first(network: Moe3dNet, item: ViewSet, cameras: Cameras | None) -> NetworkOutputs:
    """Return all outputs of the first view of a set."""
    device = next(network.parameters()).device
    window = torch.from_numpy(to_network(item.rgb)).to(device)
    if cameras is not None:
        cameras = Cameras(*(x.to(device) for x in cameras))
    narrow = computes_bfloat16(device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=narrow):
        outputs: NetworkOutputs = network(
            window, torch.zeros(1, dtype=torch.int64, device=device), cameras, return_experts=True
        )
    return outputs


def sweep_metrics(network: Moe3dNet, sets: Iterable[ViewSet]) -> dict[str, float]:
    """Return the figures, see `Judge.figures`, of the first view of each set."""
    judge = Judge(network.config.confidence_tau)
    for item in sets:
        outputs = predict_first(network, item, known_cameras(item))
        truth = WindowTruth(judged_depth(item, 1))
        confidence = outputs.boundary_confidence.float().cpu().numpy()
        judge.add(outputs.depth.float().cpu().numpy(), truth, confidence)
    figures = judge.figures()
    return {'delta_1' if name == 'delta1' else name: v for name, v in figures.items()}
