"""What one training run is made of; saved as JSON into its folder."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
import json
from pathlib import Path

from moe3d_engine.errors import ConfigError

VGGT_PREFIX = 'vggt:'  # of `init`
PARTS = ('all', 'cameras', 'sweep', 'experts')


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """
    Settings of a training run.

    Parameters
    ----------
    data, held_out : data sets, see `moe3d_engine.lab.datasets.open_dataset`: a folder of rendered
        sets, or a reader and a folder such as `hypersim:/data/hypersim`.
    run : folder for checkpoints, metrics and this configuration.
    preset : name of the network's configuration.
    init : weights to start from: a file of `save_weights`, whose own configuration then counts,
        or `vggt:` and a checkpoint of VGGT for `preset`; empty = random. Experts of a single head
        become copies of it.
    stem_init : weights of EfficientNet-Lite0 (.pth) for a random network's stem; empty = random.
    stem_rate, trunk_rate : learning rate of the mobile stem, and of everything but the depth
        head, relative to the depth head's. With trunk_rate 0 only the depth head is trained and
        no activation of the rest is kept.
    part : what is trained. `all`: everything, as the rates say. `cameras`: the camera head and the
        matching of a network that has its depth already; no depth is decoded and none changes.
        `sweep`: the plane sweep and its experts alone, with known cameras; what a view alone
        gives stays as it is. `experts`: of the sweep, its experts and the gate alone.
    swept_depths : so many depths of the sweep are learnt anew, see ModelConfig; 0 = go on with
        those of `init`.
    metric : learn depth in metres. Else each window is scaled as in VGGT's training: the mean
        distance of its points from the first camera is 1.
    num_experts : experts of the head; 1 trains the single-regression twin, whose likelihood is
        VGGT's confidence loss.
    likelihood : `laplace` or `gaussian` components.
    expert_space : `pixel` or `feature`, see ModelConfig.
    image_hw : height and width of the images that a reader returns.
    steps : optimiser steps in all.
    batch_size : windows per step and process.
    view_counts : window lengths; each step draws one of them.
    learning_rate : peak of the schedule (warm-up, constant, linear decay over `decay_share`).
    boundary_weight : weight of a pixel whose 5x5 window of true depth holds a step.
    entropy_weight : lambda of the gate's entropy, ramped up over the first fifth of the run.
    nll_weight : weight of the mixture's likelihood.
    expert_weight : weight of the experts' L1 log error to the near or the far surface.
    gradient_weight : weight of the gradient of that error.
    side_weight : weight of the gate's cross entropy, near or far.
    camera_weight : weight of the camera loss.
    match_weight : weight of the matches' cross entropy and of their depth's log error.
    plane_weight : weight of the sweep's cross entropies.
    far_m : true depth is clipped here; the sky lies at this distance.
    seed : seed of weights, order and augmentation.
    eval_every : steps between evaluations.
    held_out_sets : held-out windows of an evaluation.
    save_every_s : seconds between checkpoints.
    workers : processes that load and augment windows, for each process that trains; 0 is one for
        each core but one, at most 16.
    """

    data: str
    held_out: str
    run: str
    preset: str = 'moe3d-small'
    init: str = ''
    stem_init: str = ''
    stem_rate: float = 0.3
    trunk_rate: float = 1.0
    part: str = 'all'
    swept_depths: int = 0
    metric: bool = True
    num_experts: int = 4
    likelihood: str = 'laplace'
    expert_space: str = 'pixel'
    image_hw: tuple[int, int] = (144, 192)
    steps: int = 2800
    batch_size: int = 4
    view_counts: tuple[int, ...] = (1, 2, 4)
    learning_rate: float = 6e-4
    weight_decay: float = 0.05
    warmup_steps: int = 100
    decay_share: float = 0.4
    boundary_weight: float = 5.0
    entropy_weight: float = 3e-4
    nll_weight: float = 0.5
    expert_weight: float = 1.0
    gradient_weight: float = 2.0
    side_weight: float = 1.0
    camera_weight: float = 1.0
    match_weight: float = 0.1
    plane_weight: float = 0.3
    far_m: float = 60.0
    ema_decay: float = 0.995
    seed: int = 0
    eval_every: int = 250
    held_out_sets: int = 24
    save_every_s: float = 60.0
    workers: int = 0

    def __post_init__(self) -> None:
        """
        Check the ranges once.

        Raises
        ------
        ConfigError
            If a setting is out of range or contradicts another.
        """
        if self.steps < 1 or self.batch_size < 1 or not self.view_counts:
            raise ConfigError(
                f'A run needs at least one step, one window and one window length; got steps='
                f'{self.steps}, batch_size={self.batch_size}, view_counts={self.view_counts}.'
            )
        if self.workers < 0:
            raise ConfigError(f'workers is 0 (all cores but one) or more; got {self.workers}.')
        if self.part not in PARTS:
            raise ConfigError(f'part is one of {", ".join(PARTS)}; got {self.part!r}.')
        if self.swept_depths and not self.sweeps:
            raise ConfigError(
                f'swept_depths {self.swept_depths} is learnt with part sweep or experts, but part '
                f'is {self.part}. Leave one of them out.'
            )
        if not 0 <= self.decay_share <= 1:
            raise ConfigError(f'decay_share lies in [0, 1]; got {self.decay_share}.')
        if self.init.startswith(VGGT_PREFIX) and self.metric:
            raise ConfigError(
                'Weights of VGGT are not metric, so their depth head cannot be tuned in metres. '
                'Train with metric off (--no-metric).'
            )

    @property
    def sweeps(self) -> bool:
        """Whether windows have known cameras, and losses are those of the sweep."""
        return self.part in ('sweep', 'experts')

    def write(self, path: Path) -> None:
        """Write the configuration as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + '\n')


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the factor of the peak learning rate: warm-up, constant, linear decay to 1 %."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    decay_steps = config.decay_share * config.steps
    remaining = config.steps - step
    return 1.0 if remaining >= decay_steps else max(remaining / decay_steps, 0.01)
