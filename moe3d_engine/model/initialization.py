"""Random weights: for training from scratch, and for experts that start alike."""

from __future__ import annotations

import math

from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.dpt_head import ResidualConvUnit
from moe3d_engine.model.mobile_stem import MobileStem
import torch
from torch import nn

EXPERT_SPREAD = 0.8  # experts of an untrained network start within exp(+-0.8) of initial_depth
TOKENS = (
    'aggregator.patch_embed.cls_token',
    'aggregator.patch_embed.pos_embed',
    'aggregator.patch_embed.register_tokens',
    'aggregator.camera_token',
    'aggregator.register_token',
)
IMAGE_BRANCH = 'depth_head.image_branch'
IMAGE_GAIN = 0.1  # maps of the pretrained stem have a deviation of 8 to 10
EXPERT_HIDDEN = 'depth_head.scratch.output_conv2.0'
EXPERT_OUTPUT = 'depth_head.scratch.output_conv2.2'
GATE_HIDDEN = 'depth_head.gate.0'
GATE_OUTPUT = 'depth_head.gate.2'


@torch.no_grad()
def initialize(network: nn.Module, config: ModelConfig) -> None:
    """
    Draw weights that training from scratch can start from.

    The network then predicts nearly constant depths, one per expert, under an undecided gate,
    and a camera that looks ahead.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
        elif isinstance(module, nn.ConvTranspose2d):  # one input pixel per output pixel
            nn.init.normal_(module.weight, std=module.in_channels**-0.5)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
    _initialize_blocks(network, config)
    for name, parameter in network.named_parameters():
        if name in TOKENS:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith('.bias'):
            nn.init.zeros_(parameter)
    _initialize_outputs(network, config)


def _initialize_blocks(network: nn.Module, config: ModelConfig) -> None:
    """Treat the layers apart that would blow up or drown a signal."""
    for module in network.modules():
        if isinstance(module, ResidualConvUnit):  # else the fusion's sums grow level by level
            nn.init.zeros_(module.conv2.weight)
        elif isinstance(module, MobileStem):
            for kernel in module.parameters():
                if kernel.ndim == 4:
                    nn.init.kaiming_normal_(kernel, nonlinearity='relu')
    if config.image_branch:
        for conv in network.get_submodule(IMAGE_BRANCH).children():
            kernel = conv.get_parameter('weight')
            nn.init.normal_(kernel, std=IMAGE_GAIN * kernel.shape[1] ** -0.5)


def _initialize_outputs(network: nn.Module, config: ModelConfig) -> None:
    """Set the layers whose outputs have a meaning."""
    nn.init.normal_(network.get_parameter(f'{EXPERT_OUTPUT}.weight'), std=0.02)
    log_depth = network.get_parameter(f'{EXPERT_OUTPUT}.bias')[0::2]
    spread = EXPERT_SPREAD if len(log_depth) > 1 else 0.0
    offsets = torch.linspace(-spread, spread, len(log_depth))
    log_depth.copy_(math.log(config.initial_depth) + offsets)
    if config.num_experts > 1:
        nn.init.zeros_(network.get_parameter(f'{GATE_OUTPUT}.weight'))
    # Four equal corrections add up to no rotation and a field of view of one radian.
    pose = torch.tensor([0, 0, 0, 0, 0, 0, 0.25, 0.25, 0.25])
    network.get_parameter('camera_head.pose_branch.fc2.bias').copy_(pose)


@torch.no_grad()
def break_symmetry(network: nn.Module, config: ModelConfig, seed: int) -> None:
    """Draw the gate's weights and shift the experts' scales a little; depths stay."""
    generator = torch.Generator().manual_seed(seed)
    hidden = network.get_parameter(f'{GATE_HIDDEN}.weight')
    nn.init.kaiming_normal_(hidden, nonlinearity='relu', generator=generator)
    nn.init.normal_(network.get_parameter(f'{GATE_OUTPUT}.weight'), std=0.1, generator=generator)
    log_confidence = network.get_parameter(f'{EXPERT_OUTPUT}.bias')[1::2]
    log_confidence += 0.1 * torch.randn(len(log_confidence), generator=generator)
    if config.expert_space == 'feature':  # equal features would get equal gradients
        kernel = network.get_parameter(f'{EXPERT_HIDDEN}.weight')
        kernel.mul_(1 + 0.1 * torch.randn(kernel.shape, generator=generator))
