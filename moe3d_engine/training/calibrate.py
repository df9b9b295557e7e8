"""Fit what turns a trained mixture's boundary confidence into a probability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
import math

from moe3d_engine.datasets import ViewSet
from moe3d_engine.evaluation.held_out import judged_depth
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.mixture import decode_mixture
from moe3d_engine.model.mixture import Mixture
from moe3d_engine.preprocess import to_network
from moe3d_engine.training.predict import run_network
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

LARGEST_FACTOR = 4.0
STEPS = 9  # of each factor, between 1 / LARGEST_FACTOR and LARGEST_FACTOR
STRIDE = 3  # of the pixels that are looked at, in rows and columns


def calibrate(network: Moe3dNet, sets: Iterable[ViewSet], num_views: int = 3) -> Moe3dNet:
    """
    Return the network with the gate temperature and the scale limit that fit held-out scenes.

    Both are factors of what the network has; they change how sure it says it is, not which expert
    wins. Chosen are those of the smallest cross entropy of `boundary_confidence` against whether
    the published depth is right within `confidence_tau` (Guo et al. 2017, On Calibration of
    Modern Neural Networks, section 4.2, with a second temperature for the components).

    Parameters
    ----------
    network : trained; it stays as it is.
    sets : held-out sets that training never saw, other than those of the reported figures.
    num_views : views per window.
    """
    windows = [_sample(network, item, num_views) for item in sets]
    steps = torch.linspace(-math.log(LARGEST_FACTOR), math.log(LARGEST_FACTOR), STEPS).exp()
    factors = [float(step) for step in steps]
    best, chosen = float('inf'), (1.0, 1.0)
    for temperature in factors:
        for scale in factors:
            loss = sum(_cross_entropy(network, *pair, temperature, scale) for pair in windows)
            if loss < best:
                best, chosen = loss, (temperature, scale)
    config = replace(
        network.config,
        gate_temperature=network.config.gate_temperature * chosen[0],
        scale_limit=network.config.scale_limit * chosen[1],
    )
    calibrated = Moe3dNet(config)
    calibrated.load_state_dict(network.state_dict())
    return calibrated.eval()


def _sample(network: Moe3dNet, item: ViewSet, num_views: int) -> tuple[Mixture, Tensor]:
    """Return components (E, N, 1) and true depth (N, 1) of some pixels of a window."""
    outputs = run_network(network, to_network(item.rgb[:num_views]))
    truth = torch.from_numpy(judged_depth(item, num_views))[:, ::STRIDE, ::STRIDE]
    known = torch.isfinite(truth)

    def pick(values: Tensor | None) -> Tensor:
        assert values is not None
        return values[:, :, ::STRIDE, ::STRIDE].movedim(1, 0)[:, known].unsqueeze(-1).float()

    depth, scale = pick(outputs.expert_depth), pick(outputs.expert_scale)
    log_weight = pick(outputs.gate_log_weights)
    return Mixture(depth, torch.ones_like(depth), scale, log_weight), truth[known].unsqueeze(-1)


def _cross_entropy(
    network: Moe3dNet, mixture: Mixture, truth: Tensor, temperature: float, scale: float
) -> float:
    """Return the mean cross entropy of a window's confidence with two factors applied."""
    changed = mixture._replace(
        scale=scale * mixture.scale,
        log_weight=torch.log_softmax(mixture.log_weight / temperature, dim=0),
    )
    decoded = decode_mixture(changed, 'agree', network.config)
    aligned = (truth / decoded.depth).median() * decoded.depth
    right = ((aligned - truth).abs() <= network.config.confidence_tau * truth).float()
    return float(binary_cross_entropy(decoded.boundary_confidence.clamp(1e-4, 1 - 1e-4), right))
