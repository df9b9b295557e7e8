"""Moe3dNet: views in; depth, its confidences and camera poses out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from moe3d_engine.errors import ShapeError
from moe3d_engine.model.aggregator import Aggregator
from moe3d_engine.model.camera_head import CameraHead
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.dpt_head import DepthHead
from moe3d_engine.model.initialization import break_symmetry
from moe3d_engine.model.initialization import initialize
from moe3d_engine.model.matching import Matches
from moe3d_engine.model.matching import PoseMatcher
from moe3d_engine.model.mixture import decode_mixture
from moe3d_engine.model.mixture import make_mixture
from moe3d_engine.model.mobile_stem import SKIP_CHANNELS
from moe3d_engine.model.state import assign_state
from moe3d_engine.model.state import mixture_state_from_vggt
from moe3d_engine.model.sweep.branch import Surfaces
from moe3d_engine.model.sweep.geometry import Cameras
from moe3d_engine.model.sweep.sweep import Sweep
import torch
from torch import nn
from torch import Tensor


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
        world is the first camera), vertical and horizontal field of view in radians; None where
        the cameras were given.
    expert_depth, expert_scale, gate_weights, gate_log_weights : (B, P, E, H, W) on request.
    matches : with the first view, on request, where the network has them.
    surfaces : of the sweep, (B * P, ...) each, on request, where the network has one.
    """

    depth: Tensor
    depth_confidence: Tensor
    boundary_confidence: Tensor
    agreement: Tensor
    pose_encoding: Tensor | None
    expert_depth: Tensor | None = None
    expert_scale: Tensor | None = None
    gate_weights: Tensor | None = None
    gate_log_weights: Tensor | None = None
    matches: Matches | None = None
    surfaces: Surfaces | None = None


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
        self.pose_matcher = PoseMatcher(config) if config.matching else None
        self.sweep: Sweep | None = None
        if config.sweep:
            self.sweep = Sweep(
                SKIP_CHANNELS, config.dpt_features // 2, config.num_experts, config.swept_depths
            )
        initialize(self, config)
        if self.sweep is not None:
            self.sweep.initialize()

    def forward(
        self,
        images: Tensor,
        publish: Tensor | None = None,
        cameras: Cameras | None = None,
        hint: Tensor | None = None,
        *,
        decode: str = 'agree',
        return_experts: bool = False,
    ) -> NetworkOutputs:
        """
        Reconstruct views.

        Parameters
        ----------
        images : (B, V, 3, H, W) or (V, 3, H, W), floating point RGB in [0, 1]; height and width
            are multiples of the patch size.
        publish : (P,) int64, the views whose depth is wanted; None means all.
        cameras : for a network with a sweep, of a batch (B, V, ...) or of one window (V, ...).
            None: cameras are estimated, and a sweep has nothing to compare with.
        hint : of a batch, see `reconstruct`.
        decode : `agree`, `dominant` or `soft`; see `decode_mixture`.
        return_experts : whether to return the components of the mixture and the matches, too.

        Raises
        ------
        ShapeError
            If the images have another shape or type.
        """
        self._check_images(images)
        is_batch = images.ndim == 5
        batched = images if is_batch else images[None]
        if cameras is not None and not is_batch:
            cameras = Cameras(*(x[None] for x in cameras))
        features = self.encode_images(batched.flatten(0, 1))
        windows = {name: _split(x, batched.shape[:2]) for name, x in features.items()}
        outputs = self.reconstruct(
            windows, publish, cameras, hint, decode=decode, return_experts=return_experts
        )
        if self.sweep is not None and cameras is None:
            pose_encoding, matches = self.estimate_cameras(windows)
            outputs = outputs._replace(
                pose_encoding=pose_encoding, matches=matches if return_experts else None
            )
        return outputs if is_batch else NetworkOutputs(*(_first_window(x) for x in outputs))

    def encode_images(self, images: Tensor) -> dict[str, Tensor]:
        """
        Return what depends on one image alone.

        Parameters
        ----------
        images : (N, 3, H, W) in [0, 1].

        Returns
        -------
        Features by name, each (N, ...): `tokens` (N, h, w, C), the image branch's maps, and the
        sweep's.
        """
        features = self.aggregator.encode_images(images)
        if self.sweep is not None:
            features |= self.sweep.matching(features)
        return features

    def estimate_cameras(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Matches | None]:
        """
        Return the pose encodings (B, V, 9) of windows, see NetworkOutputs, and their matches.

        Parameters
        ----------
        features : of `encode_images`, each (B, V, ...).
        """
        return self._cameras(features, self.aggregator(features['tokens'])[1])

    def _cameras(
        self, features: Mapping[str, Tensor], last: Tensor
    ) -> tuple[Tensor, Matches | None]:
        pose_encoding = self.camera_head(last[:, :, 0])
        if self.pose_matcher is None:
            return pose_encoding, None
        encoding, matches = self.pose_matcher(features, last, pose_encoding)
        return encoding, matches

    def reconstruct(
        self,
        features: Mapping[str, Tensor],
        publish: Tensor | None = None,
        cameras: Cameras | None = None,
        hint: Tensor | None = None,
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
        cameras : (B, V, ...), for a network with a sweep.
        hint : (B, P, 2, H / 4, W / 4), log depth at tracked points and how sure it is, in [0, 1].
        decode, return_experts : as for `forward`.
        """
        tokens = features['tokens']
        grid_hw = (tokens.shape[2], tokens.shape[3])
        if publish is None:
            publish = torch.arange(tokens.shape[1], device=tokens.device)
        windows: tuple[int, ...] = (tokens.shape[0], publish.shape[0])  # (B, P)
        pose_encoding = matches = surfaces = None
        if self.sweep is None:
            taps, last = self.aggregator(tokens)
            pose_encoding, matches = self._cameras(features, last)
            taps = [x.index_select(1, publish) for x in taps]
            windows = taps[0].shape[:2]
        else:  # the trunk sees each published view alone
            taps, _ = self.aggregator(tokens.index_select(1, publish).flatten(0, 1)[:, None])
        skips = {k: x.index_select(1, publish) for k, x in features.items() if k != 'tokens'}
        feature = self.depth_head.feature(
            [x.flatten(0, 1) for x in taps],
            grid_hw,
            {name: x.flatten(0, 1) for name, x in skips.items()},
        )
        experts, gate = self.depth_head.branches(feature)
        if self.sweep is not None and cameras is not None:
            assert gate is not None
            experts, gate, surfaces = self.sweep(
                features, publish, cameras, hint, feature, experts, gate
            )
        mixture = make_mixture(experts, gate, self.config)
        decoded = decode_mixture(mixture, decode, self.config)
        outputs = NetworkOutputs(
            depth=_split(decoded.depth, windows),
            depth_confidence=_split(decoded.depth_confidence, windows),
            boundary_confidence=_split(decoded.boundary_confidence, windows),
            agreement=_split(decoded.agreement, windows),
            pose_encoding=pose_encoding,
        )
        if not return_experts:
            return outputs
        return outputs._replace(
            expert_depth=_split(mixture.depth, windows),
            expert_scale=_split(mixture.scale, windows),
            gate_weights=_split(mixture.log_weight.exp(), windows),
            gate_log_weights=_split(mixture.log_weight, windows),
            matches=matches,
            surfaces=surfaces,
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
        assign_state(self, mixture_state_from_vggt(self, self.config, state_dict), source='VGGT')

    def break_symmetry(self, seed: int) -> None:
        """
        Give experts that are alike different gradients, without changing their depths.

        Equal experts under an undecided gate would stay equal for ever. This draws the gate's
        weights and shifts the experts' scales a little.
        """
        if self.config.num_experts > 1:
            break_symmetry(self, self.config, seed)

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


def _first_window(x: Any) -> Any:  # noqa: ANN401 (a field of NetworkOutputs)
    """Return an output without its batch axis."""
    if isinstance(x, Matches):
        return Matches(*(part[0] for part in x))
    if isinstance(x, Surfaces):
        return x
    return None if x is None else x[0]


def _split(x: Tensor, windows: tuple[int, ...]) -> Tensor:
    """Split the first axis, (B * V, ...), into windows (B, V, ...)."""
    return x.reshape(*windows, *x.shape[1:])
