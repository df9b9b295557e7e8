"""The losses: mixture likelihood, gate entropy, early teaching of near and far, cameras."""

from __future__ import annotations

from moe3d_engine.model import ModelConfig
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.mixture import gate_entropy
from moe3d_engine.model.mixture import mixture_log_likelihood
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d
from torch.nn.functional import smooth_l1_loss


def local_extrema(depth: Tensor, window: int = 5) -> tuple[Tensor, Tensor]:
    """
    Return the smallest and the largest depth of each pixel's window.

    Parameters
    ----------
    depth : (B, V, H, W), positive.
    window : side of the window in pixels, odd.

    Returns
    -------
    near, far : (B, V, H, W) each.
    """
    pad = window // 2
    near = -max_pool2d(-depth, window, stride=1, padding=pad)
    far = max_pool2d(depth, window, stride=1, padding=pad)
    return near, far


def boundary_weights(near: Tensor, far: Tensor, weight: float, eta: float = 0.05) -> Tensor:
    """Return `weight` where a window spans more than `eta` of its nearest depth, else 1."""
    return 1 + (weight - 1) * (far > near * (1 + eta)).float()


def mixture_loss(
    outputs: NetworkOutputs, depth: Tensor, weights: Tensor, config: ModelConfig
) -> Tensor:
    """
    Return the weighted mean negative log-likelihood of the true depth.

    Parameters
    ----------
    outputs : of the network, with experts.
    depth : (B, V, H, W), true depth.
    weights : (B, V, H, W), loss weight of each pixel.
    config : of the network: likelihood and mixture variable.
    """
    assert outputs.expert_depth is not None
    assert outputs.expert_scale is not None
    assert outputs.gate_log_weights is not None
    log_likelihood = mixture_log_likelihood(
        outputs.expert_depth,
        outputs.expert_scale,
        outputs.gate_log_weights,
        depth,
        config.likelihood,
        config.mixture_variable,
    )
    return -(weights * log_likelihood).sum() / weights.sum()


def entropy_loss(outputs: NetworkOutputs, weights: Tensor) -> Tensor:
    """Return the weighted mean entropy of the gate, in nats."""
    assert outputs.gate_log_weights is not None
    return (weights * gate_entropy(outputs.gate_log_weights)).sum() / weights.sum()


def teacher_loss(outputs: NetworkOutputs, near: Tensor, far: Tensor, weights: Tensor) -> Tensor:
    """
    Return the L1 log error of the first expert to the near and of the last to the far surface.

    Experts that start alike only separate slowly; this names two of them in the beginning.
    """
    assert outputs.expert_depth is not None
    log_depth = outputs.expert_depth.log()
    error = (log_depth[:, :, 0] - near.log()).abs() + (log_depth[:, :, -1] - far.log()).abs()
    return (weights * error).sum() / weights.sum()


def interior_loss(outputs: NetworkOutputs, depth: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """
    Return the mean L1 log error of all experts where the window holds one surface.

    Away from boundaries there is one right depth, so every expert learns it; a network that is
    still unsure would otherwise spread its experts there, and the decode would hop between them.
    """
    assert outputs.expert_depth is not None
    inside = 2 - boundary_weights(near, far, 2.0)
    error = (outputs.expert_depth.log() - depth.log()[:, :, None]).abs().mean(2)
    return (inside * error).sum() / inside.sum().clamp(min=1.0)


def camera_loss(pose_encoding: Tensor, target: Tensor) -> Tensor:
    """
    Return the camera loss: smooth L1 of translation, rotation and field of view.

    Parameters
    ----------
    pose_encoding, target : (B, V, 9); translation in metres, quaternion xyzw, fov in rad.

    Notes
    -----
    The terms and their weights (1, 1, 1/2) are VGGT's; a quaternion and its negative are the
    same rotation, so the nearer sign counts.
    """
    rotation = pose_encoding[..., 3:7]
    wanted = target[..., 3:7]
    sign = torch.where((rotation * wanted).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    return (
        smooth_l1_loss(pose_encoding[..., :3], target[..., :3], beta=0.1)
        + smooth_l1_loss(rotation, sign * wanted, beta=0.1)
        + 0.5 * smooth_l1_loss(pose_encoding[..., 7:], target[..., 7:], beta=0.1)
    )
