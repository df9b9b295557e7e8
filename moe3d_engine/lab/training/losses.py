"""The losses: mixture likelihood, gate entropy, near and far surfaces, cameras."""

from __future__ import annotations

import math
from typing import NamedTuple

from moe3d_engine.model import ModelConfig
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.mixture import gate_entropy
from moe3d_engine.model.mixture import mixture_log_likelihood
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d
from torch.nn.functional import pad
from torch.nn.functional import smooth_l1_loss

ETA = 0.05  # least relative jump between two surfaces
BOUNDARY_WINDOW = 5  # pixels whose window holds a step lie at a boundary
ENVELOPE_WINDOW = 7  # wider, so that the experts' own steps lie outside of it


def local_extrema(depth: Tensor, window: int) -> tuple[Tensor, Tensor]:
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
    border = window // 2
    near = -max_pool2d(-depth, window, stride=1, padding=border)
    far = max_pool2d(depth, window, stride=1, padding=border)
    return near, far


def near_step(depth: Tensor, window: int, eta: float = ETA) -> Tensor:
    """
    Return 1 where a pixel's window touches a step between two neighbours, else 0.

    A step is a jump of more than `eta` of the nearer depth from one pixel to the next, so a plane
    seen at a grazing angle has none, however much depth its window spans.

    Parameters
    ----------
    depth : (B, V, H, W), positive.
    window : side of the window in pixels, odd.
    eta : least relative jump.
    """
    log = depth.log()
    beside = ((log[..., 1:] - log[..., :-1]).abs() > math.log1p(eta)).float()
    below = ((log[..., 1:, :] - log[..., :-1, :]).abs() > math.log1p(eta)).float()
    step = torch.maximum(
        torch.maximum(pad(beside, (0, 1)), pad(beside, (1, 0))),
        torch.maximum(pad(below, (0, 0, 0, 1)), pad(below, (0, 0, 1, 0))),
    )
    return max_pool2d(step, window - 2, stride=1, padding=(window - 2) // 2)


def boundary_weights(depth: Tensor, weight: float) -> Tensor:
    """Return `weight` where a 5x5 window holds a step, else 1."""
    return 1 + (weight - 1) * near_step(depth, BOUNDARY_WINDOW)


class Surfaces(NamedTuple):
    """
    The two surfaces around each pixel, (B, V, H, W) each.

    `near` and `far` are the true depth away from steps. Beside a step, the surface that the pixel
    lies on keeps its true depth and the other one has the extreme of the window; `on_near` says
    which is which, `step` is 1 beside a step.
    """

    near: Tensor
    far: Tensor
    on_near: Tensor
    step: Tensor


def find_surfaces(depth: Tensor) -> Surfaces:
    """
    Return the near and the far surface around each pixel of the true depth (B, V, H, W).

    Both are flat across the true step and have their own some pixels beside it, where the gate
    is sure. So no smooth function has to jump where the gate decides.
    """
    near, far = local_extrema(depth, ENVELOPE_WINDOW)
    step = near_step(depth, ENVELOPE_WINDOW)
    on_near = depth**2 < near * far
    return Surfaces(
        near=torch.where((step > 0) & ~on_near, near, depth),
        far=torch.where((step > 0) & on_near, far, depth),
        on_near=on_near,
        step=step,
    )


def expert_targets(depth: Tensor, surfaces: Surfaces, num_experts: int) -> Tensor:
    """
    Return what each expert is taught, (B, V, E, H, W).

    The first half is taught the near surface, the second half the far one; one expert alone is
    taught the true depth.
    """
    if num_experts == 1:
        return depth.unsqueeze(2)
    half = num_experts // 2
    chosen = [surfaces.near] * half + [surfaces.far] * (num_experts - half)
    return torch.stack(chosen, dim=2)


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
    return -(weights * log_likelihood).sum() / weights.sum().clamp(min=1.0)


def entropy_loss(outputs: NetworkOutputs, weights: Tensor) -> Tensor:
    """Return the weighted mean entropy of the gate, in nats."""
    assert outputs.gate_log_weights is not None
    return (weights * gate_entropy(outputs.gate_log_weights)).sum() / weights.sum().clamp(min=1.0)


def side_loss(outputs: NetworkOutputs, surfaces: Surfaces, valid: Tensor) -> Tensor:
    """
    Return the cross entropy of the gate, which says on which surface a pixel lies.

    It is the mean over pixels beside a step. The likelihood asks which expert is closer to the
    truth, so its answer is noise while the depth of both surfaces is still wrong by more than
    their distance; which side a pixel is on can be seen long before.
    """
    assert outputs.gate_log_weights is not None
    gate = outputs.gate_log_weights
    half = gate.shape[2] // 2
    near, far = gate[:, :, :half].logsumexp(2), gate[:, :, half:].logsumexp(2)
    chosen = torch.where(surfaces.on_near, near, far)
    step = valid * surfaces.step
    return -(step * chosen).sum() / step.sum().clamp(min=1.0)


def expert_loss(log_error: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean size of the experts' log errors (B, V, E, H, W)."""
    return (weights * log_error.abs().mean(2)).sum() / weights.sum().clamp(min=1.0)


def gradient_loss(
    log_error: Tensor, valid: Tensor, scales: tuple[int, ...] = (1, 2, 4, 8)
) -> Tensor:
    """
    Return the mean size of the gradient of the experts' log errors, over several scales.

    Zero wherever the log depth is right up to a constant, so it weighs the shape of surfaces and
    the size of steps against the far larger error of the scene's scale (Li and Snavely 2018,
    MegaDepth, eq. 4).

    Parameters
    ----------
    log_error : (B, V, E, H, W), log of predicted over wanted depth.
    valid : (B, V, H, W), 1 where the truth is known, else 0.
    scales : strides of the grids on which neighbours are compared.
    """
    total = log_error.new_zeros(())
    for scale in scales:
        error = log_error[..., ::scale, ::scale]
        known = valid[:, :, None, ::scale, ::scale]
        beside = known[..., 1:] * known[..., :-1]
        below = known[..., 1:, :] * known[..., :-1, :]
        across = (error[..., 1:] - error[..., :-1]).abs().mean(2, keepdim=True)
        down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean(2, keepdim=True)
        total = total + (across * beside).sum() / beside.sum().clamp(min=1.0)
        total = total + (down * below).sum() / below.sum().clamp(min=1.0)
    return total / len(scales)


def camera_loss(pose_encoding: Tensor, target: Tensor) -> Tensor:
    """
    Return the camera loss: size of the errors of translation, rotation and field of view.

    Parameters
    ----------
    pose_encoding, target : (B, V, 9); translation in metres, quaternion xyzw, fov in rad.

    Notes
    -----
    L1, as in VGGT, but smooth for errors that do not matter. A rotation counts five times, since
    a quaternion changes by half the angle and a wrong angle moves far points most. A quaternion
    and its negative are the same rotation, so the nearer sign counts.
    """
    rotation = pose_encoding[..., 3:7]
    wanted = target[..., 3:7]
    sign = torch.where((rotation * wanted).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    return (
        smooth_l1_loss(pose_encoding[..., :3], target[..., :3], beta=0.02)
        + 5.0 * smooth_l1_loss(rotation, sign * wanted, beta=0.01)
        + 0.5 * smooth_l1_loss(pose_encoding[..., 7:], target[..., 7:], beta=0.05)
    )
