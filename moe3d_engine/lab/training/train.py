"""The training loop, flat and resumable."""

from __future__ import annotations

import json
import os
from pathlib import Path
import sys
import time
from typing import Any
from typing import cast

from accelerate import Accelerator
from moe3d_engine.errors import CheckpointError
from moe3d_engine.lab.datasets import open_dataset
from moe3d_engine.lab.datasets import ViewSet
from moe3d_engine.lab.runs.held_out import evaluate_windows
from moe3d_engine.lab.training.calibrate import calibrate
from moe3d_engine.lab.training.calibrate import calibrate_sweep
from moe3d_engine.lab.training.camera_metrics import camera_metrics
from moe3d_engine.lab.training.config import learning_rate_factor
from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.data import num_workers
from moe3d_engine.lab.training.data import PacedBatches
from moe3d_engine.lab.training.data import WindowDataset
from moe3d_engine.lab.training.data import WindowSampler
from moe3d_engine.lab.training.objective import window_losses
from moe3d_engine.lab.training.plots import plot_metrics
from moe3d_engine.lab.training.predict import computes_bfloat16
from moe3d_engine.lab.training.predict import predict_with_network
from moe3d_engine.lab.training.start import build_network
from moe3d_engine.lab.training.sweep_data import SweepDataset
from moe3d_engine.lab.training.sweep_losses import sweep_losses
from moe3d_engine.lab.training.sweep_metrics import sweep_metrics
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.checkpoint import save_weights
from moe3d_engine.model.sweep.geometry import Cameras
import torch
from torch import nn
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset
from tqdm import tqdm

HEADS = ('depth_head.', 'sweep.')
STEM_PREFIX = 'patch_embed.patch_embed.'
SHOWN_METRICS = ('delta_1', 'flying_pred', 'rotation_deg')


def train(config: TrainConfig, *, resume: bool = False) -> dict[str, float]:
    """
    Train the network on windows of a data set and keep the average of its weights.

    The run folder gets `config.json`, `metrics.jsonl` (a line per evaluation), `curves.png`,
    `last.pt` (all state, to resume from, on a GPU or not) and `weights.safetensors` (the average
    of the weights at each evaluation, calibrated in the end).

    Parameters
    ----------
    config : the run.
    resume : continue from `last.pt` of the run folder.

    Returns
    -------
    Held-out metrics of the last evaluation; empty on all processes but the main one.

    Raises
    ------
    CheckpointError
        If `resume` is set and the run folder has no `last.pt`, or `init` cannot be read.

    Notes
    -----
    `accelerate launch` and `torchrun` start several processes. Each takes `batch_size` windows of
    its own per step; gradients are averaged; the main one evaluates and writes.
    """
    accelerator = Accelerator(mixed_precision=mixed_precision(), cpu=on_cpu())
    run = Path(config.run)
    run.mkdir(parents=True, exist_ok=True)
    network = build_network(config).to(accelerator.device)
    averaged = average_of(network, config.ema_decay)
    optimizer = torch.optim.AdamW(parameter_groups(network, config), betas=(0.9, 0.98), fused=True)
    state = {'network': network, 'averaged': averaged, 'optimizer': optimizer}
    first_step = load_state(run / 'last.pt', state) if resume else 0
    model, optimizer = accelerator.prepare(network, optimizer)
    held_out = open_dataset(config.held_out, config.image_hw)
    judged = [held_out[i] for i in range(min(config.held_out_sets, len(held_out)))]
    steps = range(first_step + 1, config.steps + 1)
    batches = open_batches(config, steps, accelerator)
    is_main = accelerator.is_main_process
    progress = tqdm(batches, initial=first_step, total=config.steps, disable=not is_main)
    if is_main:
        config.write(run / 'config.json')
    metrics: dict[str, float] = {}
    saved_at = time.monotonic()
    for step, cpu_batch in zip(steps, progress, strict=True):
        batch = {n: v.to(accelerator.device, non_blocking=True) for n, v in cpu_batch.items()}
        for group in optimizer.param_groups:
            rate = config.learning_rate * learning_rate_factor(step, config)
            group['lr'] = rate * group['relative_rate']
        losses = losses_of(model, batch, network.config, config, step)
        optimizer.zero_grad()
        accelerator.backward(losses['total'])
        if torch.isfinite(accelerator.clip_grad_norm_(model.parameters(), 1.0)):
            optimizer.step()
            averaged.update_parameters(network)
        if not is_main:
            continue
        if step % 10 == 0:
            progress.set_postfix(shown_figures(losses, metrics))
        last = step == config.steps
        if last or step % config.eval_every == 0:
            metrics = evaluate_network(averaged, judged, config)
            append_metrics(run / 'metrics.jsonl', step, losses, metrics, batches.take_rate())
            plot_metrics(run)
            save_weights(cast('Moe3dNet', averaged.module), run / 'weights.safetensors')
        if last or time.monotonic() - saved_at > config.save_every_s:
            save_state(run / 'last.pt', state, step)
            saved_at = time.monotonic()
    if is_main:
        mean_network = cast('Moe3dNet', averaged.module)
        if config.part == 'all':
            mean_network = calibrate(mean_network, judged)
        elif config.sweeps:
            mean_network = calibrate_sweep(mean_network, judged, config.far_m)
        save_weights(mean_network, run / 'weights.safetensors')
    accelerator.end_training()
    return metrics


def losses_of(
    model: nn.Module,
    batch: dict[str, Tensor],
    network: ModelConfig,
    config: TrainConfig,
    step: int,
) -> dict[str, Tensor]:
    """Run the network on a batch and return the losses of the part that is trained."""
    if config.sweeps:
        cameras = Cameras(*(batch[name] for name in Cameras._fields))
        first = torch.zeros(1, dtype=torch.int64, device=cameras.trust.device)
        outputs = model(batch['images'], first, cameras, batch['hint'], return_experts=True)
        return sweep_losses(outputs, batch, network, config)
    published = torch.arange(0) if config.part == 'cameras' else None
    outputs = model(batch['images'], published, return_experts=True)
    return window_losses(outputs, batch, network, config, step)


def on_cpu() -> bool:
    """Return whether training runs on the CPU; accelerate wants to be told with each state."""
    return not torch.cuda.is_available()


def mixed_precision() -> str:
    """Return accelerate's name of the arithmetic: bfloat16 where the device computes in it."""
    device = torch.device('cpu' if on_cpu() else 'cuda')
    return 'bf16' if computes_bfloat16(device) else 'no'


def average_of(network: Moe3dNet, decay: float) -> AveragedModel:
    """Return the running average of the weights; what is not trained is shared, not copied."""
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
    for mean, value in zip(averaged.module.parameters(), network.parameters(), strict=True):
        if not value.requires_grad:
            mean.data = value.data
    return averaged


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the optimiser's groups by learning rate; only kernels have weight decay."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            rate = 1.0 if name.startswith(HEADS) else config.trunk_rate
            rate *= config.stem_rate if STEM_PREFIX in name else 1.0
            groups.setdefault((rate, parameter.ndim >= 2), []).append(parameter)
    return [
        {
            'params': parameters,
            'relative_rate': rate,
            'weight_decay': config.weight_decay if is_kernel else 0.0,
        }
        for (rate, is_kernel), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def open_batches(config: TrainConfig, steps: range, accelerator: Accelerator) -> PacedBatches:
    """Return the loader of the batches of `steps` for this process."""
    sets = open_dataset(config.data, config.image_hw, max(config.view_counts))
    sampler = WindowSampler(
        len(sets),
        config.batch_size,
        config.view_counts,
        steps,
        config.seed,
        accelerator.process_index,
    )
    dataset: Dataset[dict[str, Any]]
    if config.sweeps:
        dataset = SweepDataset(sets, config.far_m)
    else:
        dataset = WindowDataset(sets, config.far_m, metric=config.metric, augment=True)
    batches = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers(config.workers, accelerator.num_processes),
        prefetch_factor=4,
        pin_memory=accelerator.device.type == 'cuda',
    )
    return PacedBatches(batches, config.batch_size * accelerator.num_processes)


def shown_figures(losses: dict[str, Tensor], metrics: dict[str, float]) -> dict[str, str]:
    """Return what the progress bar says: losses of this step, figures of the last evaluation."""
    figures = {name: float(value.detach()) for name, value in losses.items()}
    figures |= {name: metrics[name] for name in SHOWN_METRICS if name in metrics}
    return {name: f'{value:.3f}' for name, value in figures.items()}


def evaluate_network(
    averaged: AveragedModel, sets: list[ViewSet], config: TrainConfig
) -> dict[str, float]:
    """Return the held-out figures of what is trained of the averaged network."""
    network = cast('Moe3dNet', averaged.module).eval()
    if config.sweeps:
        return sweep_metrics(network, sets)
    predict = predict_with_network(network)
    metrics = camera_metrics(predict, sets)
    if config.part == 'cameras':
        return metrics
    tau = network.config.confidence_tau
    return evaluate_windows(predict, sets, confidence_tau=tau) | metrics


def append_metrics(
    path: Path,
    step: int,
    losses: dict[str, Tensor],
    metrics: dict[str, float],
    windows_per_s: float,
) -> None:
    """Append one line of JSON with the step, the losses, the speed and the held-out metrics."""
    line = {'step': step, 'windows_per_s': round(windows_per_s, 2)}
    line |= {k: round(float(v.detach()), 5) for k, v in losses.items()}
    line |= {k: round(v, 5) for k, v in metrics.items()}
    with path.open('a') as file:
        file.write(json.dumps(line) + '\n')
    tqdm.write(json.dumps(line), file=sys.stderr)


def save_state(path: Path, state: dict[str, Any], step: int) -> None:
    """Write all state atomically, so that a kill in the middle leaves the previous file."""
    content = {name: part.state_dict() for name, part in state.items()}
    temporary = path.with_suffix('.tmp')
    torch.save(content | {'step': step}, temporary)
    os.replace(temporary, path)


def load_state(path: Path, state: dict[str, Any]) -> int:
    """
    Restore all state; return the last step done.

    Raises
    ------
    CheckpointError
        If the file is missing.
    """
    if not path.exists():
        raise CheckpointError(f'There is no {path} to resume from. Start without --resume.')
    content = torch.load(path, weights_only=True, map_location='cpu')
    for name, part in state.items():
        part.load_state_dict(content[name])
    return int(content['step'])
