"""The training loop, flat and resumable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
import json
import os
from pathlib import Path
from typing import Any
from typing import cast

from accelerate import Accelerator
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
from moe3d_engine.evaluation.held_out import evaluate_windows
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model import preset
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import save_weights
from moe3d_engine.model.mobile_stem import MobileStem
from moe3d_engine.synthetic.dataset import SyntheticDataset
from moe3d_engine.synthetic.scene_set import SyntheticSet
from moe3d_engine.training.config import learning_rate_factor
from moe3d_engine.training.config import TrainConfig
from moe3d_engine.training.data import WindowDataset
from moe3d_engine.training.data import WindowSampler
from moe3d_engine.training.losses import boundary_weights
from moe3d_engine.training.losses import camera_loss
from moe3d_engine.training.losses import entropy_loss
from moe3d_engine.training.losses import interior_loss
from moe3d_engine.training.losses import local_extrema
from moe3d_engine.training.losses import mixture_loss
from moe3d_engine.training.losses import teacher_loss
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import torch
from torch import nn
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

STEM_PREFIX = 'patch_embed.patch_embed.'


def train(config: TrainConfig, *, resume: bool = False) -> dict[str, float]:
    """
    Train the network on windows of rendered sets and keep the best averaged weights.

    The run folder gets `config.json`, `metrics.jsonl` (a line per evaluation), `last.pt` (all
    state, to resume from) and `best.safetensors` (averaged weights, largest
    delta < 1.25 on the held-out sets).

    Parameters
    ----------
    config : the run.
    resume : continue from `last.pt` of the run folder.

    Returns
    -------
    Held-out metrics of the last evaluation.

    Raises
    ------
    CheckpointError
        If `resume` is set and the run folder has no `last.pt`.
    """
    accelerator = Accelerator(mixed_precision='bf16')
    run = Path(config.run)
    run.mkdir(parents=True, exist_ok=True)
    config.write(run / 'config.json')
    network = build_network(config)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(parameter_groups(network, config), betas=(0.9, 0.98), fused=True)
    state = {'network': network, 'averaged': averaged, 'optimizer': optimizer}
    first_step, best = load_state(run / 'last.pt', state) if resume else (0, float('inf'))
    model, optimizer = accelerator.prepare(network, optimizer)
    held_out = SyntheticDataset(config.held_out)
    judged = [held_out[i] for i in range(min(config.held_out_sets, len(held_out)))]
    steps = range(first_step + 1, config.steps + 1)
    batches = open_batches(config, steps, accelerator)
    progress = tqdm(batches, initial=first_step, total=config.steps)
    progress.disable = not accelerator.is_main_process
    metrics: dict[str, float] = {}
    for step, cpu_batch in zip(steps, progress, strict=True):
        batch = {name: value.to(accelerator.device) for name, value in cpu_batch.items()}
        for group in optimizer.param_groups:
            rate = config.learning_rate * learning_rate_factor(step, config)
            group['lr'] = rate * group['relative_rate']
        outputs = model(batch['images'], return_experts=True)
        losses = window_losses(outputs, batch, network, config, step)
        optimizer.zero_grad()
        accelerator.backward(losses['total'])
        if torch.isfinite(accelerator.clip_grad_norm_(model.parameters(), 1.0)):
            optimizer.step()
            averaged.update_parameters(network)
        if step % 10 == 0:
            progress.set_postfix({k: f'{float(v.detach()):.3f}' for k, v in losses.items()})
        if not accelerator.is_main_process:
            continue
        last = step == config.steps
        if last or step % config.eval_every == 0:
            mean_network = cast('Moe3dNet', averaged.module)
            metrics = evaluate_network(mean_network, judged, accelerator.device)
            append_metrics(run / 'metrics.jsonl', step, losses, metrics)
            score = 1 - metrics['delta_1']
            if score < best:
                best = score
                save_weights(mean_network, run / 'best.safetensors')
        if last or step % config.save_every == 0:
            save_state(run / 'last.pt', state, step, best)
    return metrics


def build_network(config: TrainConfig) -> Moe3dNet:
    """Return the network to train: random by seed, or from `config.init`."""
    if config.init:
        return load_weights(Path(config.init))
    torch.manual_seed(config.seed)
    network = Moe3dNet(replace(preset(config.preset), num_experts=config.num_experts))
    network.break_symmetry(config.seed)
    if config.stem_init:
        state = torch.load(config.stem_init, weights_only=True, map_location='cpu')
        stem = network.aggregator.patch_embed.patch_embed
        if not isinstance(stem, MobileStem):
            raise ConfigError(f'stem_init needs stem mobile; {config.preset} has another one.')
        stem.load_efficientnet_lite0(state)
    return network


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the groups of the optimiser: stem or not, with weight decay (kernels) or not."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = STEM_PREFIX in name, parameter.ndim >= 2
            groups.setdefault(key, []).append(parameter)
    return [
        {
            'params': parameters,
            'relative_rate': config.stem_rate if is_stem else 1.0,
            'weight_decay': config.weight_decay if is_kernel else 0.0,
        }
        for (is_stem, is_kernel), parameters in sorted(groups.items())
    ]


def open_batches(
    config: TrainConfig, steps: range, accelerator: Accelerator
) -> Iterable[dict[str, Tensor]]:
    """Return the loader of the batches of `steps` for this process."""
    sets = SyntheticDataset(config.data)
    sampler = WindowSampler(
        len(sets),
        config.batch_size,
        config.view_counts,
        steps,
        config.seed,
        accelerator.process_index,
    )
    dataset = WindowDataset(sets, config.far_m, augment=True)
    return DataLoader(dataset, batch_sampler=sampler, num_workers=1, prefetch_factor=4)


def window_losses(
    outputs: NetworkOutputs,
    batch: dict[str, Tensor],
    network: Moe3dNet,
    config: TrainConfig,
    step: int,
) -> dict[str, Tensor]:
    """Return the losses of one batch of windows by name; `total` is their weighted sum."""
    depth = batch['depth']
    near, far = local_extrema(depth)
    weights = boundary_weights(near, far, config.boundary_weight)
    losses = {
        'nll': mixture_loss(outputs, depth, weights, network.config),
        'camera': camera_loss(outputs.pose_encoding, batch['pose_encoding']),
    }
    total = losses['nll'] + config.camera_weight * losses['camera']
    if config.num_experts > 1:
        ramp = min(1.0, 5 * step / config.steps)
        losses['entropy'] = entropy_loss(outputs, weights)
        total = total + ramp * config.entropy_weight * losses['entropy']
        losses['interior'] = interior_loss(outputs, depth, near, far)
        total = total + config.interior_weight * losses['interior']
        teaching = max(0.0, 1 - step / max(1.0, config.teacher_share * config.steps))
        if teaching > 0:
            losses['teacher'] = teacher_loss(outputs, near, far, weights)
            total = total + teaching * losses['teacher']
    return losses | {'total': total}


def evaluate_network(
    network: Moe3dNet, sets: list[SyntheticSet], device: torch.device
) -> dict[str, float]:
    """Return the held-out figures of a network; see `evaluate_windows`."""

    def predict(images: Float32Array) -> RawOutputs:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            outputs = network(torch.from_numpy(images).to(device))
        arrays = (getattr(outputs, name).float().cpu().numpy() for name in RawOutputs._fields)
        return RawOutputs(*arrays)

    network.eval()
    metrics = evaluate_windows(predict, sets, confidence_tau=network.config.confidence_tau)
    network.train()
    return metrics


def append_metrics(
    path: Path, step: int, losses: dict[str, Tensor], metrics: dict[str, float]
) -> None:
    """Append one line of JSON with the step, the losses and the held-out metrics."""
    line = {'step': step} | {k: round(float(v.detach()), 5) for k, v in losses.items()}
    line |= {k: round(v, 5) for k, v in metrics.items()}
    with path.open('a') as file:
        file.write(json.dumps(line) + '\n')
    tqdm.write(json.dumps(line))


def save_state(path: Path, state: dict[str, Any], step: int, best: float) -> None:
    """Write all state atomically, so that a kill in the middle leaves the previous file."""
    content = {name: part.state_dict() for name, part in state.items()}
    temporary = path.with_suffix('.tmp')
    torch.save(content | {'step': step, 'best': best}, temporary)
    os.replace(temporary, path)


def load_state(path: Path, state: dict[str, Any]) -> tuple[int, float]:
    """
    Restore all state; return the last step done and the best score.

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
    return int(content['step']), float(content['best'])
