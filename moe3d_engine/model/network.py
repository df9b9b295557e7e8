"""Moe3dNet: views in; depth, its confidences and camera poses out."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import NamedTuple

from moe3d_engine.errors import ShapeError
from moe3d_engine.model.aggregator import Aggregator
from moe3d_engine.model.camera_head import CameraHead
from moe3d_engine.model.checkpoint import assign_state
from moe3d_engine.model.checkpoint import mixture_state_from_vggt
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.dpt_head import DepthHead
from moe3d_engine.model.dpt_head import ResidualConvUnit
from moe3d_engine.model.image_branch import ConvStem
from moe3d_engine.model.mixture import decode_mixture
from moe3d_engine.model.mixture import make_mixture
import torch
from torch import Tensor
from torch import nn

EXPERT_SPREAD = 0.8  # experts of an untrained network start within exp(+-0.8) of initial_depth


class NetworkOutputs(NamedTuple):
    """
    What the network says of V views, of which P are published; B is absent without a batch.

    Parameters
    ----------
    depth : (B, P, H, W) float32 along optical z, in the unit of the weights.
    depth_confidence : (B, P, H, W) above 1, not a probability; VGGT's, of the dominant expert.
    boundary_confidence : (B, P, H, W) in [0, 1], the probability that `depth` is right within
        `confidence_tau`: 1 = surely on one surface, 0 = between surfaces.
    agreement : (B, P, H, W) in [0, 1], weight of the experts within `agree_tau` of `depth`.
    pose_encoding : (B, V, 9) of all views: translation, quaternion xyzw (camera from world, the
        world is the first camera), vertical and horizontal field of view in radians.
    expert_depth, expert_scale, gate_weights, gate_log_weights : (B, P, E, H, W) on request.
    """

    depth: Tensor
    depth_confidence: Tensor
    boundary_confidence: Tensor
    agreement: Tensor
    pose_encoding: Tensor
    expert_depth: Tensor | None = None
    expert_scale: Tensor | None = None
    gate_weights: Tensor | None = None
    gate_log_weights: Tensor | None = None


class Moe3dNet(nn.Module):
    """
    VGGT with a mixture of depths in place of its single depth.

    Parameters are those of VGGT, by name and shape, but for the last two convolutions of the
    depth head, which hold every expert, and the gate. A new network is randomly initialised.

    Parameters
    ----------
    config : sizes and settings; see `preset`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.aggregator = Aggregator(config)
        self.camera_head = CameraHead(config)
        self.depth_head = DepthHead(config)
        self._initialize()

    def forward(
        self, images: Tensor, *, decode: str = 'agree', return_experts: bool = False
    ) -> NetworkOutputs:
        """
        Reconstruct views.

        Parameters
        ----------
        images : (B, V, 3, H, W) or (V, 3, H, W), floating point RGB in [0, 1]; height and width
            are multiples of the patch size.
        decode : `agree`, `dominant` or `soft`; see `decode_mixture`.
        return_experts : whether to return the components of the mixture, too.

        Raises
        ------
        ShapeError
            If the images have another shape or type.
        """
        self._check_images(images)
        batched = images if images.ndim == 5 else images[None]
        features = self.encode_images(batched.flatten(0, 1))
        windows = {name: x.unflatten(0, batched.shape[:2]) for name, x in features.items()}
        outputs = self.reconstruct(windows, decode=decode, return_experts=return_experts)
        if images.ndim == 5:
            return outputs
        return NetworkOutputs(*(None if x is None else x.squeeze(0) for x in outputs))

    def encode_images(self, images: Tensor) -> dict[str, Tensor]:
        """
        Return what depends on one image alone.

        Parameters
        ----------
        images : (N, 3, H, W) in [0, 1].

        Returns
        -------
        Features by name; the first axis of each is N. `tokens` (N, h, w, C) and the stem's maps.
        """
        return self.aggregator.encode_images(images)

    def reconstruct(
        self,
        features: Mapping[str, Tensor],
        publish: Tensor | None = None,
        *,
        decode: str = 'agree',
        return_experts: bool = False,
    ) -> NetworkOutputs:
        """
        Reconstruct windows of views from their features.

        Parameters
        ----------
        features : of `encode_images`, each (B, V, ...).
        publish : (P,) int64, the views whose depth is wanted; None means all.
        decode, return_experts : as for `forward`.
        """
        tokens = features['tokens']
        grid_hw = (tokens.shape[2], tokens.shape[3])
        taps, last = self.aggregator(tokens)
        pose_encoding = self.camera_head(last[:, :, 0])
        skips = {name: x for name, x in features.items() if name != 'tokens'}
        if publish is not None:
            taps = [x.index_select(1, publish) for x in taps]
            skips = {name: x.index_select(1, publish) for name, x in skips.items()}
        windows = taps[0].shape[:2]  # (B, P)
        experts, gate = self.depth_head(
            [x.flatten(0, 1) for x in taps],
            grid_hw,
            {name: x.flatten(0, 1) for name, x in skips.items()},
        )
        mixture = make_mixture(experts, gate, self.config)
        decoded = decode_mixture(mixture, decode, self.config)
        outputs = NetworkOutputs(
            *(x.unflatten(0, windows) for x in decoded), pose_encoding=pose_encoding
        )
        if not return_experts:
            return outputs
        return outputs._replace(
            expert_depth=mixture.depth.unflatten(0, windows),
            expert_scale=mixture.scale.unflatten(0, windows),
            gate_weights=mixture.log_weight.exp().unflatten(0, windows),
            gate_log_weights=mixture.log_weight.unflatten(0, windows),
        )

    def load_vggt_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """
        Load VGGT's weights; every expert becomes VGGT's head and the gate is undecided.

        Parameters
        ----------
        state_dict : by VGGT's names. The point and track heads are ignored.

        Raises
        ------
        CheckpointError
            If tensors are missing, unexpected or of another shape; the message names them.

        Notes
        -----
        A network built on the `meta` device takes the tensors themselves, without a copy.
        """
        assign_state(self, mixture_state_from_vggt(self, state_dict), source='VGGT')

    def break_symmetry(self, seed: int) -> None:
        """
        Give experts that are alike different gradients, without changing their depths.

        Equal experts under an undecided gate would stay equal for ever. This draws the gate's
        weights and shifts the experts' scales a little.
        """
        if self.config.num_experts == 1:
            return
        generator = torch.Generator().manual_seed(seed)
        hidden, out = self.depth_head.gate[0], self.depth_head.gate[2]
        nn.init.kaiming_normal_(hidden.weight, nonlinearity='relu', generator=generator)
        nn.init.normal_(out.weight, std=0.1, generator=generator)
        shift = 0.1 * torch.randn(self.config.num_experts, generator=generator)
        with torch.no_grad():
            scale_bias = self.depth_head.scratch.output_conv2[2].bias[1::2]
            scale_bias += shift.to(scale_bias)

    def bake_positions(self, image_hw: tuple[int, int]) -> None:
        """Fix the image size: keep the resized position embedding as a constant, for export."""
        encoder = self.aggregator.patch_embed
        rows, columns = (side // self.config.patch_size for side in image_hw)
        with torch.no_grad():
            encoder.baked_position = encoder.position_embedding((rows, columns)).clone()

    def _check_images(self, images: Tensor) -> None:
        """Raise ShapeError unless the images are what `forward` takes."""
        patch = self.config.patch_size
        shape = tuple(images.shape)
        if images.ndim not in (4, 5) or shape[-3] != 3 or not images.is_floating_point():
            raise ShapeError(
                'Images have shape (B, V, 3, H, W) or (V, 3, H, W) and a floating-point type; '
                f'got shape {shape} and type {images.dtype}. Divide 8-bit RGB by 255.'
            )
        if 0 in shape or shape[-2] % patch or shape[-1] % patch:
            raise ShapeError(
                f'Height and width must be positive multiples of {patch}; got {shape[-2]} x '
                f'{shape[-1]} in shape {shape}. Resize or crop the images first.'
            )

    def _initialize(self) -> None:
        """Draw random weights that training from scratch can start from."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
            elif isinstance(module, nn.ConvTranspose2d):  # one input pixel per output pixel
                nn.init.normal_(module.weight, std=module.in_channels**-0.5)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, ResidualConvUnit):
                nn.init.zeros_(module.conv2.weight)  # else the fusion's sums grow level by level
            elif isinstance(module, ConvStem):
                for stage in module.stages:
                    nn.init.kaiming_normal_(stage.weight, nonlinearity='relu')
        encoder = self.aggregator.patch_embed
        for token in (
            encoder.cls_token,
            encoder.pos_embed,
            encoder.register_tokens,
            self.aggregator.camera_token,
            self.aggregator.register_token,
        ):
            nn.init.trunc_normal_(token, std=0.02)
        self._initialize_outputs()

    @torch.no_grad()
    def _initialize_outputs(self) -> None:
        """Start with spread constant depths, an undecided gate and a camera that looks ahead."""
        experts = self.config.num_experts
        last = self.depth_head.scratch.output_conv2[2]
        nn.init.normal_(last.weight, std=0.02)
        spread = EXPERT_SPREAD if experts > 1 else 0.0
        last.bias[0::2] = math.log(self.config.initial_depth) + torch.linspace(
            -spread, spread, experts
        )
        if experts > 1:
            nn.init.zeros_(self.depth_head.gate[2].weight)
        # Four equal corrections add up to no rotation and a field of view of one radian.
        pose = self.camera_head.pose_branch.fc2
        pose.bias.copy_(torch.tensor([0, 0, 0, 0, 0, 0, 0.25, 0.25, 0.25]))
