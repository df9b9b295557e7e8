"""What training minimises: the losses of one batch and their weighted sum."""

from __future__ import annotations

from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.losses import boundary_weights
from moe3d_engine.lab.training.losses import camera_loss
from moe3d_engine.lab.training.losses import entropy_loss
from moe3d_engine.lab.training.losses import expert_loss
from moe3d_engine.lab.training.losses import expert_targets
from moe3d_engine.lab.training.losses import find_surfaces
from moe3d_engine.lab.training.losses import gradient_loss
from moe3d_engine.lab.training.losses import mixture_loss
from moe3d_engine.lab.training.losses import side_loss
from moe3d_engine.lab.training.match_loss import match_loss
from moe3d_engine.lab.training.match_loss import true_matches
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.matching import CELL_PX
from torch import Tensor


def window_losses(
    outputs: NetworkOutputs,
    batch: dict[str, Tensor],
    model: ModelConfig,
    config: TrainConfig,
    step: int,
) -> dict[str, Tensor]:
    """Return the losses of one batch of windows by name; `total` is their weighted sum."""
    losses = camera_losses(outputs, batch)
    total = config.camera_weight * losses['camera']
    if 'match' in losses:
        total = total + config.match_weight * losses['match']
    if config.part == 'cameras':
        return losses | {'total': total}
    assert outputs.expert_depth is not None
    depth, valid = batch['depth'], batch['valid']
    num_experts = outputs.expert_depth.shape[2]
    weights = valid * boundary_weights(depth, config.boundary_weight)
    surfaces = find_surfaces(depth)
    wanted = expert_targets(depth, surfaces, num_experts)
    log_error = outputs.expert_depth.log() - wanted.log()
    losses |= {
        'nll': mixture_loss(outputs, depth, weights, model),
        'expert': expert_loss(log_error, weights),
        'gradient': gradient_loss(log_error, valid),
    }
    total = (
        total
        + config.nll_weight * losses['nll']
        + config.expert_weight * losses['expert']
        + config.gradient_weight * losses['gradient']
    )
    if num_experts > 1:
        losses['side'] = side_loss(outputs, surfaces, valid)
        losses['entropy'] = entropy_loss(outputs, weights)
        ramp = min(1.0, 5 * step / config.steps)
        total = total + config.side_weight * losses['side']
        total = total + ramp * config.entropy_weight * losses['entropy']
    return losses | {'total': total}


def camera_losses(outputs: NetworkOutputs, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the losses of the cameras and, where the network has them, of its matches."""
    assert outputs.pose_encoding is not None
    losses = {'camera': camera_loss(outputs.pose_encoding, batch['pose_encoding'])}
    if outputs.matches is not None:
        depth = batch['depth']
        truth = true_matches(depth, batch['valid'], batch['pose_encoding'])
        hw = (depth.shape[2] // CELL_PX, depth.shape[3] // CELL_PX)
        losses['match'] = match_loss(outputs.matches, truth, hw)
    return losses
