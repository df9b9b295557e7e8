"""The network's configuration and its named presets."""

from __future__ import annotations

from dataclasses import dataclass

from moe3d_engine.errors import ConfigError

LIKELIHOODS = ('laplace', 'gaussian')
MIXTURE_VARIABLES = ('depth', 'log_depth')
EXPERT_SPACES = ('pixel', 'feature')
STEMS = ('patch', 'mobile')


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """
    Everything that decides the network's parameters and the meaning of its outputs.

    The defaults are VGGT-1B with four experts. Lengths are in pixels of the input image.

    Parameters
    ----------
    image_size : side of the image that the position embedding was made for.
    patch_size : side of a patch; height and width of an image are multiples of it.
    embed_dim : width of a token.
    vit_depth, vit_heads : blocks and attention heads of the image encoder.
    depth, heads : pairs of frame and global blocks of the aggregator, and their heads.
    taps : the four pairs of blocks that the depth head reads.
    dpt_features, dpt_channels : width of the depth head's fusion and of its four levels.
    camera_depth, camera_heads : blocks and heads of the camera head.
    num_experts : experts of the mixture; 1 is the plain single head of VGGT, without a gate.
    expert_hidden, gate_hidden : width of an expert's and of the gate's hidden layer.
    expert_space : what the gate chooses: in `pixel` space depths, as published; in `feature` space
        it blends the experts' hidden features and makes one depth of the blend (for comparison).
    stem : how patches become tokens: `patch` (one linear map) or `mobile` (EfficientNet-Lite0, at
        patch size 16).
    image_branch : whether the stem's maps also enter the depth head at their own resolution.
    matching : whether poses are solved from matches between views, see `matching.PoseMatcher`;
        else they are the camera head's, as in VGGT. Needs stem `mobile`.
    sweep : whether views are compared along the rays of known cameras, see `sweep.branch`; two
        experts of its own then join the others, and the trunk sees a view alone. Needs stem
        `mobile`, an image branch and a gate.
    swept_depths : depths per pixel that the sweep adds: 2, a near and a far expert; 1 replaces the
        whole mixture by one regression where there is a sweep (for comparison).
    likelihood : `laplace` or `gaussian` components.
    mixture_variable : what a component's scale is measured in: `depth` or `log_depth`.
    scale_limit : largest scale of a component; scale = scale_limit / confidence.
    gate_temperature : divisor of the gate's logits.
    near_bias : the expert of the largest w / mu^near_bias is published. 0: the most probable
        surface. 1: the least expected relative error, so a faint chance of an obstacle before a
        far background counts (a wrong far depth is off by many times the near one).
    agree_tau : relative distance within which components count as one surface.
    confidence_tau : relative tolerance that `boundary_confidence` speaks of.
    layer_scale : initial layer scale of aggregator and camera head.
    initial_depth : depth that a randomly initialised network predicts at first.
    heads_fp32 : whether the depth head's convolutions ignore autocast, as VGGT's do. The hidden
        layers of experts and gate, which VGGT does not have, follow it all the same.

    Raises
    ------
    ConfigError
        If two fields contradict each other or one has an unknown value.
    """

    image_size: int = 518
    patch_size: int = 14
    embed_dim: int = 1024
    vit_depth: int = 24
    vit_heads: int = 16
    depth: int = 24
    heads: int = 16
    taps: tuple[int, ...] = (4, 11, 17, 23)
    dpt_features: int = 256
    dpt_channels: tuple[int, ...] = (256, 512, 1024, 1024)
    camera_depth: int = 4
    camera_heads: int = 16
    num_experts: int = 4
    expert_hidden: int = 32
    gate_hidden: int = 32
    expert_space: str = 'pixel'
    stem: str = 'patch'
    image_branch: bool = False
    matching: bool = False
    sweep: bool = False
    swept_depths: int = 2
    likelihood: str = 'laplace'
    mixture_variable: str = 'depth'
    scale_limit: float = 0.2
    gate_temperature: float = 1.0
    near_bias: float = 0.0
    agree_tau: float = 0.05
    confidence_tau: float = 0.05
    layer_scale: float = 0.01
    initial_depth: float = 2.0
    heads_fp32: bool = True

    def __post_init__(self) -> None:
        """Turn lists, as JSON has them, into tuples and check what can contradict."""
        for name in ('taps', 'dpt_channels'):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, choices in (
            ('likelihood', LIKELIHOODS),
            ('mixture_variable', MIXTURE_VARIABLES),
            ('expert_space', EXPERT_SPACES),
            ('stem', STEMS),
        ):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f'{name} is one of {", ".join(choices)}; got {getattr(self, name)!r}.'
                )
        for name in ('gate_temperature', 'agree_tau', 'confidence_tau', 'scale_limit'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be positive; got {getattr(self, name)}.')
        if not 0 <= self.near_bias <= 1:
            raise ConfigError(f'near_bias lies in [0, 1]; got {self.near_bias}.')
        if self.num_experts < 1:
            raise ConfigError(f'num_experts must be at least 1; got {self.num_experts}.')
        self._check_trunk()
        self._check_stem()

    def _check_trunk(self) -> None:
        """Check taps, levels and the widths of attention heads."""
        if len(self.taps) != 4 or len(self.dpt_channels) != 4:
            raise ConfigError(
                f'The depth head has four levels; got taps {self.taps} and dpt_channels '
                f'{self.dpt_channels}.'
            )
        if not all(0 <= tap < self.depth for tap in self.taps):
            raise ConfigError(f'taps must lie in 0..{self.depth - 1}; got {self.taps}.')
        if self.embed_dim % self.vit_heads or self.embed_dim % (4 * self.heads):
            raise ConfigError(
                f'embed_dim {self.embed_dim} must be a multiple of vit_heads {self.vit_heads} '
                f'and of four times heads {self.heads}.'
            )
        if 2 * self.embed_dim % self.camera_heads:
            raise ConfigError(
                f'Twice embed_dim {self.embed_dim} must be a multiple of camera_heads '
                f'{self.camera_heads}.'
            )
        if self.image_size % self.patch_size:
            raise ConfigError(
                f'image_size {self.image_size} must be a multiple of patch_size {self.patch_size}.'
            )

    def _check_stem(self) -> None:
        """Check that the stem ends at the patch size and that the image branch has its maps."""
        if self.stem == 'mobile' and self.patch_size != 16:
            raise ConfigError(f'stem mobile has patch_size 16; got {self.patch_size}.')
        for name in ('image_branch', 'matching', 'sweep'):
            if getattr(self, name) and self.stem != 'mobile':
                raise ConfigError(f'{name} needs the maps of stem mobile; got stem {self.stem!r}.')
        if self.swept_depths not in (1, 2):
            raise ConfigError(f'swept_depths is 1 or 2; got {self.swept_depths}.')
        if self.sweep and (not self.image_branch or self.num_experts % 2):
            raise ConfigError(
                'A sweep needs an image branch and near and far experts; got image_branch '
                f'{self.image_branch} and num_experts {self.num_experts}.'
            )


PRESETS = {
    'vggt-1b': ModelConfig(),
    'moe3d-small': ModelConfig(
        image_size=224,
        patch_size=16,
        embed_dim=192,
        vit_depth=4,
        vit_heads=3,
        depth=4,
        heads=3,
        taps=(0, 1, 2, 3),
        dpt_features=64,
        dpt_channels=(48, 96, 192, 192),
        camera_depth=1,
        camera_heads=6,
        num_experts=4,
        expert_hidden=16,
        gate_hidden=16,
        stem='mobile',
        image_branch=True,
        matching=True,
        mixture_variable='log_depth',
        scale_limit=1.0,
        near_bias=0.5,
        layer_scale=1.0,
        heads_fp32=False,
    ),
    'tiny': ModelConfig(
        image_size=28,
        embed_dim=32,
        vit_depth=1,
        vit_heads=2,
        depth=2,
        heads=2,
        taps=(0, 0, 1, 1),
        dpt_features=16,
        dpt_channels=(16, 16, 32, 32),
        camera_depth=1,
        camera_heads=2,
        num_experts=2,
        expert_hidden=8,
        gate_hidden=8,
        layer_scale=1.0,
    ),
}


def preset(name: str) -> ModelConfig:
    """
    Return the configuration of a named network.

    Raises
    ------
    ConfigError
        If there is no such preset; the message lists those there are.
    """
    if name not in PRESETS:
        raise ConfigError(f'No network is called {name!r}; there are {", ".join(PRESETS)}.')
    return PRESETS[name]
