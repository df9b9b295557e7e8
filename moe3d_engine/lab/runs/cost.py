"""
What a mixture of experts costs over a single head: parameters, operations, CPU latency.

This module imports torch at its top, since each of its functions needs it and a command imports
it only when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.dpt_head import DepthHead
from moe3d_engine.model.network import Moe3dNet
import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend
from torch.utils.flop_counter import FlopCounterMode


class NetworkSize(NamedTuple):
    """What a network holds and computes for one window."""

    parameters: int
    gflops: float  # matrix products, attention and convolutions; a multiply-add counts 2


def network_size(config: ModelConfig, image_hw: tuple[int, int], num_views: int) -> NetworkSize:
    """
    Count parameters and operations without weights or images in memory.

    Parameters
    ----------
    config : of the network.
    image_hw : height and width of the images in pixels.
    num_views : views of the window; the depth of all is published.

    Raises
    ------
    ShapeError
        If the network cannot take such images.
    """
    with torch.device('meta'):
        network = Moe3dNet(config).eval()
    # Fake tensors have a shape and a device that autocast knows, as `meta` is not, but no numbers.
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    # Attention in its fused form has no formula for the CPU; as matrix products it is counted.
    attention = sdpa_kernel(SDPBackend.MATH)
    with fake, attention, torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.to_empty(device='cpu')(torch.empty(num_views, 3, *image_hw))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSize(parameters, counter.get_total_flops() / 1e9)


def window_gflops(
    config: ModelConfig,
    image_hw: tuple[int, int],
    num_views: int,
    *,
    num_new: int,
    num_published: int,
) -> float:
    """
    Count the operations of a window of which some views were seen before.

    Parameters
    ----------
    config : of the network.
    image_hw : height and width of the images in pixels.
    num_views : views of the window.
    num_new : views whose features are computed; those of the others were kept.
    num_published : views whose depth is decoded.
    """
    with torch.device('meta'):
        network = Moe3dNet(config).eval()
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    attention = sdpa_kernel(SDPBackend.MATH)
    with fake, attention, torch.no_grad():
        network.to_empty(device='cpu')
        features = network.encode_images(torch.empty(num_views, 3, *image_hw))
        window = {name: values[None] for name, values in features.items()}
        with FlopCounterMode(display=False) as counter:
            network.encode_images(torch.empty(num_new, 3, *image_hw))
            network.reconstruct(window, torch.arange(num_published))
    return float(counter.get_total_flops() / 1e9)


def median_latencies_ms(
    config: ModelConfig,
    expert_counts: Sequence[int],
    image_hw: tuple[int, int],
    num_views: int,
    *,
    repeats: int,
    bfloat16: bool,
) -> list[float]:
    """
    Time the network on the CPU with each number of experts, in turns.

    Parameters
    ----------
    config : of the network, but for the number of experts.
    expert_counts : the numbers of experts.
    image_hw : height and width of the images in pixels.
    num_views : views of the window; the depth of all is published.
    repeats : timed rounds, at least 1; each runs every network once, so that a change of the
        machine's load meets all. One round before is not timed.
    bfloat16 : whether to run under autocast. Weights stay float32 and are cast once.

    Returns
    -------
    Median time per window in the order of `expert_counts`.

    Raises
    ------
    ConfigError
        If `repeats` is below 1.
    ShapeError
        If the network cannot take such images.

    Notes
    -----
    Weights are random. The networks share everything but the depth head, so that VGGT-1B takes
    5 GB (7 GB under autocast) and activations, however many networks there are.
    """
    if repeats < 1:
        raise ConfigError(f'repeats must be at least 1; got {repeats}.')
    networks = _networks(config, expert_counts)
    images = torch.rand(num_views, 3, *image_hw)
    times_ms = np.zeros((1 + repeats, len(networks)))
    # Not inference_mode: autocast keeps no cast weights there and would cast them at each call.
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
        for row in times_ms:
            for column, network in enumerate(networks):
                start = perf_counter()
                network(images)
                row[column] = 1e3 * (perf_counter() - start)
    medians: list[float] = np.median(times_ms[1:], axis=0).tolist()
    return medians


def _networks(config: ModelConfig, expert_counts: Sequence[int]) -> list[Moe3dNet]:
    """Return one network per number of experts; they share all but the depth head."""
    networks = [Moe3dNet(replace(config, num_experts=expert_counts[0]))]
    for count in expert_counts[1:]:
        with torch.device('meta'):
            network = Moe3dNet(replace(config, num_experts=count))
        network.aggregator = networks[0].aggregator
        network.camera_head = networks[0].camera_head
        network.depth_head = DepthHead(network.config)
        networks.append(network)
    return [network.eval() for network in networks]
