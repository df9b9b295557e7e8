"""Steps on the network itself: VGGT-1B's shape, and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import tempfile
import time
from typing import Any

from driver_steps import Note
from moe3d_engine.lab.commands.bench import VGGT_ON_H100
from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.objective import window_losses
from moe3d_engine.lab.training.train import parameter_groups
from moe3d_engine.lab.training.train import train
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
import numpy as np
import torch

VGGT_HW = (336, 518)  # of the published table
VGGT_S = 70  # of the step's time, after which no further size is begun
TRAIN_S = 60


def bfloat16(device: str) -> torch.autocast:
    """Return autocast as in training; a CPU of a rehearsal may be very slow in it."""
    return torch.autocast(device, torch.bfloat16, enabled=device == 'cuda')


def timed(run: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the least seconds of a call, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        if device == 'cuda':
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device == 'cuda':
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def vggt(note: Note, _: Path, rehearse: bool) -> None:
    """Time VGGT-1B's shape with random weights beside the published figures."""
    begin = time.perf_counter()
    device, name = ('cpu', 'tiny') if rehearse else ('cuda', 'vggt-1b')
    height, width = (28, 42) if rehearse else VGGT_HW
    for num_experts in (4, 1):
        with torch.device(device):
            network = Moe3dNet(replace(preset(name), num_experts=num_experts)).eval()
        for views in (1, 2) if rehearse else (1, 2, 4, 8, 10, 20, 50, 100):
            if time.perf_counter() - begin > VGGT_S:
                note(stopped=f'{VGGT_S} s were up before {num_experts} experts, {views} views')
                return
            images = torch.rand(views, 3, height, width, device=device)
            try:
                found = time_views(network, images, device)
            except torch.cuda.OutOfMemoryError as error:
                found = {'out of memory': str(error)[:200]}
            published = VGGT_ON_H100.get(views)
            found |= {"VGGT's aggregator alone, published: s, GB": published}
            note(**{f'{num_experts} experts, {views} views': found})
        del network


def time_views(network: Moe3dNet, images: torch.Tensor, device: str) -> dict[str, Any]:
    """Return seconds of aggregator, of a plain window and of a window that slides by one view."""
    if device == 'cuda':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    last = torch.tensor([len(images) - 1], device=device)
    with torch.inference_mode(), bfloat16(device):
        features = network.encode_images(images)
        window = {key: values[None] for key, values in features.items()}
        repeats = 3 if len(images) < 50 else 1
        found: dict[str, Any] = {
            'encode all': timed(lambda: network.encode_images(images), device, repeats),
            'encode one': timed(lambda: network.encode_images(images[-1:]), device, repeats),
            'decode newest': timed(lambda: network.reconstruct(window, last), device, repeats),
            'decode all': timed(lambda: network.reconstruct(window), device, repeats),
        }
    found['plain s'] = found['encode all'] + found['decode all']
    found['window reuse s'] = found['encode one'] + found['decode newest']
    if device == 'cuda':
        found['peak GB'] = torch.cuda.max_memory_allocated() / 1e9
    return found


def training(note: Note, _: Path, rehearse: bool) -> None:
    """Time training steps at several batch sizes, then a run with its loader, and resume it."""
    device = 'cpu' if rehearse else 'cuda'
    config = TrainConfig('', '', '', preset='tiny' if rehearse else 'moe3d-small')
    hw = (28, 42) if rehearse else config.image_hw
    for batch_size in (1, 2) if rehearse else (4, 16, 64, 128):
        try:
            note(**{f'windows of 4 per s, batch {batch_size}': step_rate(config, hw, batch_size,
                                                                          device)})  # fmt: skip
        except torch.cuda.OutOfMemoryError as error:
            note(**{f'windows of 4 per s, batch {batch_size}': str(error)[:200]})
    with tempfile.TemporaryDirectory() as folder:
        write_planes(Path(folder) / 'data', 4 if rehearse else 64, hw)
        run = replace(
            config, data=f'{folder}/data', held_out=f'{folder}/data', run=f'{folder}/run',
            image_hw=hw, batch_size=1 if rehearse else 32, steps=2 if rehearse else 120,
            eval_every=2 if rehearse else 60, held_out_sets=1,
            workers=1 if rehearse else 0,
        )  # fmt: skip
        train(run)
        train(replace(run, steps=run.steps + 2), resume=True)
        lines = (Path(run.run) / 'metrics.jsonl').read_text().splitlines()
        rates = {line['step']: line['windows_per_s'] for line in map(json.loads, lines)}
        note(**{'moe3d train, windows per s by step, with its loader': rates})


def step_rate(config: TrainConfig, hw: tuple[int, int], batch_size: int, device: str) -> float:
    """Return windows of four views per second that a training step takes, on random images."""
    torch.manual_seed(0)
    network = Moe3dNet(preset(config.preset)).to(device)
    optimizer = torch.optim.AdamW(parameter_groups(network, config), fused=True)
    shape = (batch_size, 4, *hw)
    batch = {
        'images': torch.rand(batch_size, 4, 3, *hw, device=device),
        'depth': 1 + torch.rand(shape, device=device),
        'valid': torch.ones(shape, device=device),
        'pose_encoding': torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1.0], device=device).expand(
            batch_size, 4, 9
        ),
    }

    def step() -> None:
        with bfloat16(device):
            outputs = network(batch['images'], None, return_experts=True)
        losses = window_losses(outputs, batch, network.config, config, 100)
        optimizer.zero_grad()
        losses['total'].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return batch_size / timed(step, device, 2 if device == 'cpu' else 8)


def write_planes(folder: Path, count: int, hw: tuple[int, int]) -> None:
    """Write sets of a slanted, textured plane, for the loader to work on as on rendered ones."""
    rng = np.random.default_rng(0)
    shard = folder / f'sets-{0:010d}-{count:04d}'
    shard.mkdir(parents=True)
    views, (height, width) = 4, hw
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    depth = 2 + rows / height + columns / width
    poses = np.tile(np.eye(4), (count, views, 1, 1))
    poses[:, :, 0, 3] = 0.1 * np.arange(views)
    camera = [[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1]]
    arrays = {
        'rgb': rng.integers(0, 256, (count, views, height, width, 3), np.uint8),
        'depth': np.broadcast_to(depth, (count, views, height, width)).astype(np.float32),
        'object_id': np.zeros((count, views, height, width), np.int16),
        'intrinsics': np.broadcast_to(np.array(camera, np.float64), (count, views, 3, 3)),
        'world_from_cam': poses,
        'seed': np.arange(count),
    }
    for name, values in arrays.items():
        np.save(shard / f'{name}.npy', values)
