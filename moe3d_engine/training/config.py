"""What one training run is made of; saved as JSON into its folder."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
import json
from pathlib import Path

from moe3d_engine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """
    Settings of a training run.

    Parameters
    ----------
    data, held_out : folders of rendered sets (see `moe3d_engine.synthetic`).
    run : folder for checkpoints, metrics and this configuration.
    preset : name of the network's configuration.
    init : safetensors file to start from; empty = random weights.
    stem_init : weights of EfficientNet-Lite0 (.pth) for a random network's stem; empty = random.
    stem_rate : learning rate of the stem relative to the rest.
    num_experts : experts of the head; 1 trains the single-regression twin.
    steps : optimiser steps in all.
    batch_size : windows per step and process.
    view_counts : window lengths; each step draws one of them.
    learning_rate : peak of the schedule (warm-up, constant, linear decay over `decay_share`).
    boundary_weight : weight of the loss where the 5x5 window of true depth spans over 5 %.
    entropy_weight : lambda of the gate's entropy, ramped up over the first fifth of the run.
    teacher_share : share of the steps during which the nearest and the farthest expert are
        taught local minima and maxima of the true depth.
    interior_weight : weight of the L1 log error of all experts away from boundaries.
    camera_weight : weight of the camera loss.
    far_m : true depth is clipped here; the sky lies at this distance.
    seed : seed of weights, order and augmentation.
    eval_every, save_every : steps between evaluations and checkpoints.
    held_out_sets : held-out windows of an evaluation.
    """

    data: str
    held_out: str
    run: str
    preset: str = 'moe3d-small'
    init: str = ''
    stem_init: str = ''
    stem_rate: float = 0.3
    num_experts: int = 4
    steps: int = 2800
    batch_size: int = 4
    view_counts: tuple[int, ...] = (1, 2, 4)
    learning_rate: float = 6e-4
    weight_decay: float = 0.05
    warmup_steps: int = 100
    decay_share: float = 0.4
    boundary_weight: float = 5.0
    entropy_weight: float = 3e-4
    teacher_share: float = 0.3
    interior_weight: float = 2.0
    camera_weight: float = 1.0
    far_m: float = 60.0
    ema_decay: float = 0.995
    seed: int = 0
    eval_every: int = 250
    held_out_sets: int = 24
    save_every: int = 100

    def __post_init__(self) -> None:
        """
        Check the ranges once.

        Raises
        ------
        ConfigError
            If a setting is out of range.
        """
        if self.steps < 1 or self.batch_size < 1 or not self.view_counts:
            raise ConfigError(
                f'A run needs at least one step, one window and one window length; got steps='
                f'{self.steps}, batch_size={self.batch_size}, view_counts={self.view_counts}.'
            )
        if not 0 <= self.decay_share <= 1 or not 0 <= self.teacher_share <= 1:
            raise ConfigError(
                f'decay_share and teacher_share lie in [0, 1]; got {self.decay_share} and '
                f'{self.teacher_share}.'
            )

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
