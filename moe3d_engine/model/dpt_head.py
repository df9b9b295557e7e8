"""VGGT's depth head with expert branches and a gate in place of its last convolutions."""

from __future__ import annotations

from contextlib import nullcontext

from moe3d_engine.model.aggregator import NUM_SPECIAL
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.mobile_stem import SKIP_CHANNELS
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import interpolate

POSITION_RATIO = 0.1
POSITION_BASE = 100.0


def position_map(channels: int, hw: tuple[int, int], aspect: float, like: Tensor) -> Tensor:
    """
    Return sines and cosines of the position on the image plane, times 0.1.

    Parameters
    ----------
    channels : the first half tells x, the second half y; each sines, then cosines.
    hw : rows and columns of the map.
    aspect : width over height of the image; its half diagonal has length 1.
    like : a tensor of the device and type that are wanted.

    Returns
    -------
    (channels, h, w).
    """
    rows, columns = hw
    diagonal = (aspect**2 + 1) ** 0.5
    steps = torch.arange(channels // 4, dtype=torch.float32, device=like.device)
    frequency = POSITION_BASE ** (-steps / (channels // 4))

    def encode(count: int, span: float) -> Tensor:
        reach = span * (count - 1) / count
        place = torch.linspace(-reach, reach, count, dtype=torch.float32, device=like.device)
        angle = frequency[:, None] * place
        return POSITION_RATIO * torch.cat((angle.sin(), angle.cos()))  # (channels / 2, count)

    x = encode(columns, aspect / diagonal)[:, None, :].expand(-1, rows, -1)
    y = encode(rows, 1 / diagonal)[:, :, None].expand(-1, -1, columns)
    return torch.cat((x, y)).to(like.dtype)


def _float32(like: Tensor) -> torch.autocast:
    """Return a context in which autocast leaves the types of operations alone."""
    return torch.autocast(like.device.type, enabled=False)


def resize(x: Tensor, hw: tuple[int, int]) -> Tensor:
    """Resize a map bilinearly, corners to corners."""
    return interpolate(x, size=hw, mode='bilinear', align_corners=True)


class ResidualConvUnit(nn.Module):
    """
    Two convolutions and a skip.

    The published code rectifies its input in place, so the skip adds the rectified input.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Refine a map (N, features, h, w)."""
        x = x.relu()
        x = x + self.conv2(self.conv1(x).relu())
        return x


class FusionBlock(nn.Module):
    """Add a level to the coarser ones and resize to the next."""

    def __init__(self, features: int, *, has_skip: bool) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        if has_skip:
            self.resConfUnit1 = ResidualConvUnit(features)
        self.resConfUnit2 = ResidualConvUnit(features)

    def forward(self, x: Tensor, skip: Tensor | None, out_hw: tuple[int, int]) -> Tensor:
        """
        Return the fused map at `out_hw`.

        The published code resizes before the 1x1 convolution; they commute, and this order is
        four times cheaper.
        """
        if skip is not None:
            x = x + self.resConfUnit1(skip)
        return resize(self.out_conv(self.resConfUnit2(x)), out_hw)


class Scratch(nn.Module):
    """The fusion layers of a DPT head and its output convolutions, under VGGT's names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        features, experts = config.dpt_features, config.num_experts
        hidden = experts * config.expert_hidden
        outputs = experts if config.expert_space == 'pixel' else 1
        channels = config.dpt_channels
        self.layer1_rn = nn.Conv2d(channels[0], features, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(channels[1], features, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(channels[2], features, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(channels[3], features, 3, padding=1, bias=False)
        self.refinenet1 = FusionBlock(features, has_skip=True)
        self.refinenet2 = FusionBlock(features, has_skip=True)
        self.refinenet3 = FusionBlock(features, has_skip=True)
        self.refinenet4 = FusionBlock(features, has_skip=False)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        # Expert k owns hidden channels k * expert_hidden ... and outputs 2 k, 2 k + 1.
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs * config.expert_hidden, 2 * outputs, 1, groups=outputs),
        )


class DepthHead(nn.Module):
    """
    Tapped tokens of a view to the raw channels of its mixture.

    With one expert this is VGGT's depth head. The gate and the experts see the same
    full-resolution feature.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, dim = config.dpt_channels, 2 * config.embed_dim
        self.patch_size = config.patch_size
        self.fp32 = config.heads_fp32
        self.blends_features = config.num_experts > 1 and config.expert_space == 'feature'
        self.norm = nn.LayerNorm(dim)
        self.projects = nn.ModuleList(nn.Conv2d(dim, channel, 1) for channel in channels)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            )
        )
        self.scratch = Scratch(config)
        features = config.dpt_features
        self.gate: nn.Sequential | None = None
        if config.num_experts > 1:
            self.gate = nn.Sequential(
                nn.Conv2d(features // 2, config.gate_hidden, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(config.gate_hidden, config.num_experts, 1),
            )
        self.image_branch = nn.ModuleDict()
        if config.image_branch:
            widths = (features // 2, features, features, features)
            for level, (skip, width) in enumerate(zip(SKIP_CHANNELS, widths, strict=True)):
                self.image_branch[f'skip{2**level}'] = nn.Conv2d(skip, width, 1)

    def forward(
        self, taps: list[Tensor], grid_hw: tuple[int, int], skips: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """
        Return the raw channels of the mixture.

        Parameters
        ----------
        taps : four times (N, NUM_SPECIAL + h * w, dim).
        grid_hw : h and w, the grid of patches.
        skips : the stem's maps; used where the network has an image branch.

        Returns
        -------
        experts : (N, 2 E, H, W) float32, two channels per expert.
        gate : (N, E, H, W) float32 logits; None with one depth.
        """
        return self.branches(self.feature(taps, grid_hw, skips))

    def feature(
        self, taps: list[Tensor], grid_hw: tuple[int, int], skips: dict[str, Tensor]
    ) -> Tensor:
        """Return the full-resolution feature (N, dpt_features / 2, H, W) of `forward`'s inputs."""
        if self.fp32:
            taps = [tap.float() for tap in taps]
            skips = {name: skip.float() for name, skip in skips.items()}
        with _float32(taps[0]) if self.fp32 else nullcontext():
            return self._feature(taps, grid_hw, skips)

    def branches(self, feature: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return experts and gate, see `forward`, of a full-resolution feature."""
        if self.gate is not None:
            return self._branches(feature, self.gate)
        with _float32(feature) if self.fp32 else nullcontext():
            return self.scratch.output_conv2(feature).float(), None

    def _feature(
        self, taps: list[Tensor], grid_hw: tuple[int, int], skips: dict[str, Tensor]
    ) -> Tensor:
        """Fuse the levels, as VGGT does."""
        rows, columns = grid_hw
        aspect = columns / rows
        scratch = self.scratch
        level1, level2, level3, level4 = self._levels(taps, grid_hw)
        level1 = self._add_image(scratch.layer1_rn(level1), skips, 'skip4')
        level2 = self._add_image(scratch.layer2_rn(level2), skips, 'skip8')
        level3, level4 = scratch.layer3_rn(level3), scratch.layer4_rn(level4)
        x = scratch.refinenet4(level4, None, grid_hw)
        x = scratch.refinenet3(x, level3, (2 * rows, 2 * columns))
        x = scratch.refinenet2(x, level2, (4 * rows, 4 * columns))
        x = scratch.refinenet1(x, level1, (8 * rows, 8 * columns))
        x = scratch.output_conv1(self._add_image(x, skips, 'skip2'))
        x = resize(x, (rows * self.patch_size, columns * self.patch_size))
        x = x + position_map(x.shape[1], (x.shape[2], x.shape[3]), aspect, x)
        return self._add_image(x, skips, 'skip1')

    def _branches(self, feature: Tensor, gate: nn.Sequential) -> tuple[Tensor, Tensor | None]:
        """
        Return the raw channels of experts and gate.

        The hidden layers, nearly all that a mixture costs, run in the type that autocast decides
        and with channels last, in which a CPU computes them twice as fast. The projections to log
        depth, log confidence and logits are float32.
        """
        device = feature.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        feature = feature.to(dtype=dtype, memory_format=torch.channels_last)
        convolve, rectify, project = self.scratch.output_conv2
        choose_hidden, rectify_choice, choose = gate
        hidden = rectify(convolve(feature)).float()
        choice = rectify_choice(choose_hidden(feature)).float()
        with _float32(feature):
            logits = choose(choice)
            if not self.blends_features:
                return project(hidden), logits
            by_expert = hidden.unflatten(1, (logits.shape[1], -1))
            return project((logits.softmax(1)[:, :, None] * by_expert).sum(1)), None

    def _levels(self, taps: list[Tensor], grid_hw: tuple[int, int]) -> list[Tensor]:
        """Return the taps as maps at strides patch / 4, patch / 2, patch and 2 patch."""
        levels = []
        for tap, project, layer in zip(taps, self.projects, self.resize_layers, strict=True):
            x = self.norm(tap[:, NUM_SPECIAL:]).unflatten(1, grid_hw).permute(0, 3, 1, 2)
            x = project(x)
            x = x + position_map(x.shape[1], grid_hw, grid_hw[1] / grid_hw[0], x)
            levels.append(layer(x))
        return levels

    def _add_image(self, x: Tensor, skips: dict[str, Tensor], name: str) -> Tensor:
        """Add a map of the stem to a map of the head at the same resolution."""
        if name in self.image_branch:
            x = x + self.image_branch[name](skips[name])
        return x
