"""The mixture of depths at each pixel: its components, likelihood, decode and confidence."""

from __future__ import annotations

import math
from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.model.config import ModelConfig
import torch
from torch import Tensor

DECODES = ('agree', 'dominant', 'soft')
MAX_EXPONENT = 20.0  # exp(20) is far beyond any depth and far below float32's limit
EXPERT_AXIS = -3


class Mixture(NamedTuple):
    """
    The components at each pixel, (..., E, H, W) float32 each.

    `scale` is in the unit of depth, or of log depth where that is the mixture's variable.
    `confidence` is VGGT's 1 + exp, and scale = scale_limit / confidence.
    """

    depth: Tensor
    confidence: Tensor
    scale: Tensor
    log_weight: Tensor


class Decoded(NamedTuple):
    """What is published of a mixture, (..., H, W) each; see NetworkOutputs."""

    depth: Tensor
    depth_confidence: Tensor
    boundary_confidence: Tensor
    agreement: Tensor


def make_mixture(experts: Tensor, gate: Tensor | None, config: ModelConfig) -> Mixture:
    """
    Turn the depth head's raw channels into components.

    Parameters
    ----------
    experts : (..., 2 E, H, W) float32: log depth and log(confidence - 1) of each expert in turn.
    gate : (..., E, H, W) float32 logits; None means one expert.
    config : of the network.
    """
    positive = experts.clamp(-MAX_EXPONENT, MAX_EXPONENT).exp()
    depth = positive[..., 0::2, :, :]
    confidence = 1 + positive[..., 1::2, :, :]
    if gate is None:
        log_weight = torch.zeros_like(depth)
    else:
        log_weight = torch.log_softmax(gate / config.gate_temperature, dim=EXPERT_AXIS)
    return Mixture(depth, confidence, config.scale_limit / confidence, log_weight)


def decode_mixture(mixture: Mixture, decode: str, config: ModelConfig) -> Decoded:
    """
    Decide on one depth per pixel and how far the mixture believes it.

    Parameters
    ----------
    mixture : the components.
    decode : `dominant` takes the component of the largest weight, nearer ones preferred by
        `near_bias`; `agree` averages it with those within `agree_tau` of it, so never across a
        gap; `soft` is the weighted mean of all, which puts points between surfaces wherever the
        gate is undecided.
    config : of the network.

    Raises
    ------
    ConfigError
        If there is no such decode.
    """
    if decode not in DECODES:
        raise ConfigError(f'decode is one of {", ".join(DECODES)}; got {decode!r}.')
    weight = mixture.log_weight.exp()
    preference = mixture.log_weight
    if config.near_bias:
        preference = preference - config.near_bias * mixture.depth.log()
    depth, confidence = _dominant(preference, mixture.depth, mixture.confidence)
    if decode == 'agree':
        depth = _mean_depth(mixture.depth, weight * _agrees(mixture.depth, depth, config))
    elif decode == 'soft':
        depth = _mean_depth(mixture.depth, weight)
    agreement = (weight * _agrees(mixture.depth, depth, config)).sum(EXPERT_AXIS)
    return Decoded(
        depth.squeeze(EXPERT_AXIS),
        confidence.squeeze(EXPERT_AXIS),
        boundary_confidence(mixture, depth, config),
        agreement.clamp(max=1.0),
    )


def boundary_confidence(mixture: Mixture, depth: Tensor, config: ModelConfig) -> Tensor:
    """
    Return the mixture's mass within `confidence_tau` (relative) of a depth, in closed form.

    Parameters
    ----------
    mixture : the components.
    depth : (..., 1, H, W), the published depth.
    config : of the network.

    Returns
    -------
    (..., H, W) in [0, 1]: 1 = surely on one surface, 0 = between surfaces.
    """
    tau = config.confidence_tau
    if config.mixture_variable == 'depth':
        near, far = depth * (1 - tau) - mixture.depth, depth * (1 + tau) - mixture.depth
    else:
        offset = depth.log() - mixture.depth.log()
        near, far = offset + math.log1p(-tau), offset + math.log1p(tau)
    cdf = _laplace_cdf if config.likelihood == 'laplace' else _gaussian_cdf
    mass = cdf(far / mixture.scale) - cdf(near / mixture.scale)
    return (mixture.log_weight.exp() * mass).sum(EXPERT_AXIS).clamp(0.0, 1.0)


def mixture_log_likelihood(
    expert_depth: Tensor,
    expert_scale: Tensor,
    gate_log_weights: Tensor,
    target_depth: Tensor,
    likelihood: str,
    variable: str,
) -> Tensor:
    """
    Return the log density of the true depth at each pixel, (..., H, W) float32.

    Parameters
    ----------
    expert_depth, expert_scale, gate_log_weights : (..., E, H, W), the components.
    target_depth : (..., H, W), positive and finite.
    likelihood, variable : as in ModelConfig. With `log_depth` it is the density of log depth.
    """
    depth, scale = expert_depth.float(), expert_scale.float()
    target = target_depth.float().unsqueeze(EXPERT_AXIS)
    residual = target - depth if variable == 'depth' else target.log() - depth.log()
    if likelihood == 'laplace':
        log_density = -residual.abs() / scale - (2 * scale).log()
    else:
        log_density = -0.5 * (residual / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)
    return torch.logsumexp(gate_log_weights.float() + log_density, dim=EXPERT_AXIS)


def gate_entropy(gate_log_weights: Tensor) -> Tensor:
    """Return the entropy in nats of gate weights (..., E, H, W), as (..., H, W)."""
    log_weights = gate_log_weights.float()
    return -(log_weights.exp() * log_weights).sum(EXPERT_AXIS)


def _dominant(preference: Tensor, *values: Tensor) -> list[Tensor]:
    """Return each value (..., 1, H, W) of the most preferred component; ties: the first."""
    best, *chosen = (x.narrow(EXPERT_AXIS, 0, 1) for x in (preference, *values))
    for expert in range(1, preference.shape[EXPERT_AXIS]):
        other, *others = (x.narrow(EXPERT_AXIS, expert, 1) for x in (preference, *values))
        larger = other > best
        best = torch.where(larger, other, best)
        chosen = [torch.where(larger, b, a) for a, b in zip(chosen, others, strict=True)]
    return chosen


def _agrees(expert_depth: Tensor, depth: Tensor, config: ModelConfig) -> Tensor:
    """Return 1 for the components within `agree_tau` of a depth, else 0."""
    return ((expert_depth - depth).abs() <= config.agree_tau * depth).to(depth.dtype)


def _mean_depth(expert_depth: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean (..., 1, H, W) of the components' depths."""
    total = (weight * expert_depth).sum(EXPERT_AXIS, keepdim=True)
    return total / weight.sum(EXPERT_AXIS, keepdim=True)


def _laplace_cdf(z: Tensor) -> Tensor:
    return 0.5 + 0.5 * z.sign() * (1 - (-z.abs()).exp())


def _gaussian_cdf(z: Tensor) -> Tensor:
    return 0.5 + 0.5 * torch.erf(z * math.sqrt(0.5))
