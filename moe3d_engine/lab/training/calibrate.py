"""Fit what turns a trained mixture's boundary confidence into a probability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
import math

from moe3d_engine.backend import CAMERA_INPUTS
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.lab.datasets import ViewSet
from moe3d_engine.lab.datasets import ViewSets
from moe3d_engine.lab.runs.held_out import judged_depth
from moe3d_engine.lab.training.data import WindowKey
from moe3d_engine.lab.training.predict import run_network
from moe3d_engine.lab.training.sweep_data import SweepDataset
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.mixture import decode_mixture
from moe3d_engine.model.mixture import Mixture
from moe3d_engine.model.sweep.experts import own_experts
from moe3d_engine.types import Float32Array
from moe3d_engine.types import WindowCameras
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

LARGEST_FACTOR = 8.0
LARGEST_SHIFT = 2.0  # of log(confidence - 1)
STEPS = 49  # of the factor, between 1 / LARGEST_FACTOR and LARGEST_FACTOR
SEEDS = 4  # windows of a set that a sweep is calibrated on
STRIDE = 3  # of the pixels that are looked at, in rows and columns


def calibrate(network: Moe3dNet, sets: Iterable[ViewSet], num_views: int = 3) -> Moe3dNet:
    """
    Return the network with the scale limit that fits held-out scenes.

    One factor on the scales of all components changes how sure the network says it is, not what
    it publishes. Chosen is that of the smallest cross entropy of `boundary_confidence` against
    whether the depth is right within `confidence_tau`: temperature scaling (Guo et al. 2017, On
    Calibration of Modern Neural Networks, section 4.2) for a mixture of depths. The gate keeps its
    temperature: it was trained by cross entropy.

    Parameters
    ----------
    network : trained; it stays as it is.
    sets : held-out sets that training never saw, other than those of the reported figures.
    num_views : views per window.
    """
    windows = [_sample(network, item, num_views) for item in sets]
    steps = torch.linspace(-math.log(LARGEST_FACTOR), math.log(LARGEST_FACTOR), STEPS).exp()
    losses = [
        sum(_cross_entropy(network, *window, factor) for window in windows) for factor in steps
    ]
    factor = float(steps[int(torch.tensor(losses).argmin())])
    scale_limit = factor * network.config.scale_limit
    calibrated = Moe3dNet(replace(network.config, scale_limit=scale_limit))
    calibrated.load_state_dict(network.state_dict())
    return calibrated.eval()


def calibrate_sweep(network: Moe3dNet, sets: ViewSets, far_m: float) -> Moe3dNet:
    """
    Return the network whose sweep is as sure as it is right; a view alone stays as it is.

    As `calibrate` does, by one number for all scales of the sweep's experts, on windows such as
    it was trained on: with the images of poor cameras, wrong poses and sources that fail.

    Parameters
    ----------
    network : trained, with a sweep; it stays as it is.
    sets : held-out sets.
    far_m : depth is clipped here.
    """
    data = SweepDataset(sets, far_m)
    windows = []
    for index, seed in product(range(len(sets)), range(SEEDS)):
        window = data[WindowKey(index, len(sets[index].rgb), seed)]
        cameras = WindowCameras(*(window[name] for name in CAMERA_INPUTS))
        outputs = run_network(network, window['images'], 'agree', cameras, [0])
        truth = np.where(window['valid'] > 0, window['depth'], np.nan).astype(np.float32)
        windows.append(_sampled(outputs, truth))
    shifts = torch.linspace(-LARGEST_SHIFT, LARGEST_SHIFT, STEPS)
    losses = []
    for shift in shifts:
        surer = [(_surer(mixture, network, shift), truth) for mixture, truth in windows]
        losses.append(sum(_cross_entropy(network, *x, torch.ones(())) for x in surer))
    calibrated = Moe3dNet(network.config)
    calibrated.load_state_dict(network.state_dict())
    assert calibrated.sweep is not None
    best = float(shifts[int(torch.tensor(losses).argmin())])
    calibrated.sweep.experts.shift_certainty(best)
    return calibrated.eval()


def _surer(mixture: Mixture, network: Moe3dNet, shift: Tensor) -> Mixture:
    """Return a mixture with log(confidence - 1) of the sweep's experts raised by a shift."""
    limit, scale = network.config.scale_limit, mixture.scale.clone()
    own = own_experts(len(scale))
    scale[own] = limit / (1 + (limit / scale[own] - 1) * shift.exp())
    return mixture._replace(scale=scale)


def _sample(network: Moe3dNet, item: ViewSet, num_views: int) -> tuple[Mixture, Tensor]:
    """Return components (E, N, 1) and true depth (N, 1) of some pixels of a window."""
    outputs = run_network(network, to_network(item.rgb[:num_views]))
    return _sampled(outputs, judged_depth(item, num_views))


def _sampled(outputs: NetworkOutputs, true_depth: Float32Array) -> tuple[Mixture, Tensor]:
    """Return components and true depth of some pixels of outputs whose true depth is (P, H, W)."""
    truth = torch.from_numpy(true_depth)[:, ::STRIDE, ::STRIDE]
    known = torch.isfinite(truth)

    def pick(values: Tensor | None) -> Tensor:
        assert values is not None
        strided = values[:, :, ::STRIDE, ::STRIDE].movedim(1, 0).cpu()
        return strided[:, known].unsqueeze(-1).float()

    depth, scale = pick(outputs.expert_depth), pick(outputs.expert_scale)
    log_weight = pick(outputs.gate_log_weights)
    return Mixture(depth, torch.ones_like(depth), scale, log_weight), truth[known].unsqueeze(-1)


def _cross_entropy(network: Moe3dNet, mixture: Mixture, truth: Tensor, factor: Tensor) -> float:
    """Return the mean cross entropy of a window's confidence with all scales times a factor."""
    wider = mixture._replace(scale=factor * mixture.scale)
    decoded = decode_mixture(wider, 'agree', network.config)
    aligned = (truth / decoded.depth).median() * decoded.depth
    right = ((aligned - truth).abs() <= network.config.confidence_tau * truth).float()
    return float(binary_cross_entropy(decoded.boundary_confidence.clamp(1e-4, 1 - 1e-4), right))
