"""The losses of the sweep: its planes, its experts, and the gate that chooses among all."""

from __future__ import annotations

from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.losses import boundary_weights
from moe3d_engine.lab.training.losses import entropy_loss
from moe3d_engine.lab.training.losses import expert_loss
from moe3d_engine.lab.training.losses import expert_targets
from moe3d_engine.lab.training.losses import find_surfaces
from moe3d_engine.lab.training.losses import gradient_loss
from moe3d_engine.lab.training.losses import mixture_loss
from moe3d_engine.lab.training.losses import side_loss
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.sweep.branch import plane_log_depths
from moe3d_engine.model.sweep.experts import own_experts
import torch
from torch import Tensor

FAR_OFF = 1.0  # in log depth; a plane farther off than this is no worse


def sweep_losses(
    outputs: NetworkOutputs, batch: dict[str, Tensor], model: ModelConfig, config: TrainConfig
) -> dict[str, Tensor]:
    """Return the losses of one batch of windows by name; `total` is their weighted sum."""
    surfaces = outputs.surfaces
    assert surfaces is not None
    assert outputs.expert_depth is not None
    depth, valid = batch['depth'], batch['valid']
    log_depth = depth.log()
    planes = plane_log_depths(depth)[None, :, None, None]
    coarse = plane_loss(
        surfaces.coarse_logits, planes, log_depth[..., 3::4, 3::4], valid[..., 3::4, 3::4]
    )
    fine = plane_loss(
        surfaces.fine_logits, surfaces.fine_planes, log_depth[..., 1::2, 1::2],
        valid[..., 1::2, 1::2], inside=True,
    )  # fmt: skip
    weights = valid * boundary_weights(depth, config.boundary_weight)
    near_far = find_surfaces(depth)
    num_depths = outputs.expert_depth.shape[2]
    of_sweep = outputs.expert_depth[:, :, own_experts(num_depths)]
    log_error = of_sweep.log() - expert_targets(depth, near_far, of_sweep.shape[2]).log()
    losses = {
        'coarse': coarse,
        'fine': fine,
        'nll': mixture_loss(outputs, depth, weights, model),
        'expert': expert_loss(log_error, weights),
        'gradient': gradient_loss(log_error, valid),
    }
    total = (
        config.plane_weight * (coarse + fine)
        + config.nll_weight * losses['nll']
        + config.expert_weight * losses['expert']
        + config.gradient_weight * losses['gradient']
    )
    if num_depths > 1:
        losses['side'] = side_loss(outputs, near_far, valid)
        losses['entropy'] = entropy_loss(outputs, weights)
        total = total + config.side_weight * losses['side']
        total = total + config.entropy_weight * losses['entropy']
    return losses | {'total': total}


def plane_loss(
    logits: Tensor, planes: Tensor, log_depth: Tensor, valid: Tensor, *, inside: bool = False
) -> Tensor:
    """
    Return the cross entropy of the two planes around the truth, and the expected distance.

    Parameters
    ----------
    logits : (B, D, h, w).
    planes : their log depths, evenly spaced, (1 or B, D, 1 or h, 1 or w).
    log_depth : (B, 1, h, w), the truth at one pixel of each cell, not a mean of several.
    valid : (B, 1, h, w).
    inside : leave out cells whose truth lies beyond the first or the last plane.
    """
    count = logits.shape[1]
    step = planes[:, 1:2] - planes[:, :1]
    place = (log_depth - planes[:, :1]) / step
    if inside:
        valid = valid * ((place >= 0) & (place <= count - 1))
    place = place.clamp(0, count - 1)
    index = torch.arange(count, device=logits.device)[None, :, None, None]
    wanted = (1 - (index - place).abs()).clamp(min=0)
    log_probability = logits.log_softmax(1)
    loss = -(wanted * log_probability).sum(1, keepdim=True)
    distance = ((index - place).abs() * step).clamp(max=FAR_OFF)
    loss = loss + 2 * (log_probability.exp() * distance).sum(1, keepdim=True)
    return (valid * loss).sum() / valid.sum().clamp(min=1.0)
