"""The training loop: what it leaves behind, and that an interruption changes nothing."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
import json
import os
from pathlib import Path
import subprocess
import sys

from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.synthetic.dataset import write_dataset
from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.data import num_workers
from moe3d_engine.lab.training.objective import window_losses
from moe3d_engine.lab.training.start import build_network
from moe3d_engine.lab.training.train import average_of
from moe3d_engine.lab.training.train import train
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import save_weights
import pytest
import torch


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Return a run of the tiny network on two rendered sets."""
    folder = tmp_path_factory.mktemp('training')
    write_dataset(folder / 'data', range(2), num_views=2, image_hw=(28, 42), processes=1)
    return TrainConfig(
        data=str(folder / 'data'),
        held_out=str(folder / 'data'),
        run=str(folder / 'whole'),
        preset='tiny',
        num_experts=2,
        steps=4,
        batch_size=1,
        view_counts=(2,),
        image_hw=(28, 42),
        entropy_weight=0.0,
        eval_every=4,
    )


def network_of(config: TrainConfig) -> torch.Tensor:
    """Return all weights of a run's last checkpoint as one vector."""
    state = torch.load(Path(config.run) / 'last.pt', weights_only=True)['network']
    return torch.cat([value.flatten() for value in state.values()])


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(config: TrainConfig) -> None:
    interrupted = replace(config, run=f'{config.run}-interrupted', steps=2)
    train(config)
    train(interrupted)
    halfway = network_of(interrupted)
    metrics = train(replace(interrupted, steps=4), resume=True)

    whole, resumed = network_of(config), network_of(interrupted)
    assert (resumed - whole).norm() < 0.01 * (whole - halfway).norm()
    assert metrics['retained'] == 1.0


def test_run_folder_holds_configuration_figures_and_loadable_weights(config: TrainConfig) -> None:
    run = Path(config.run)
    if not (run / 'last.pt').exists():
        train(config)

    lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    assert json.loads((run / 'config.json').read_text())['steps'] == 4
    assert lines[-1]['step'] == 4
    assert {'abs_rel', 'flying_gt', 'flying_pred', 'ece'} <= lines[-1].keys()
    assert lines[-1]['windows_per_s'] > 0
    assert load_weights(run / 'weights.safetensors').config.num_experts == 2
    assert (run / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_step_mixes_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    # No GPU is here; torch checks devices in the same way where only shapes are computed.
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda *_: False)
    network = Moe3dNet(preset('moe3d-small')).to('meta')
    maps = (1, 2, 96, 128)
    shapes = {
        'images': (1, 2, 3, 96, 128),
        'depth': maps,
        'valid': maps,
        'pose_encoding': (1, 2, 9),
    }
    batch = {name: torch.rand(shape, device='meta') for name, shape in shapes.items()}

    outputs = network(batch['images'], None, return_experts=True)
    losses = window_losses(outputs, batch, network.config, TrainConfig('d', 'h', 'r'), 1)
    losses['total'].backward()

    assert {str(loss.device) for loss in losses.values()} == {'meta'}
    assert all(str(p.grad.device) == 'meta' for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ('asked', 'cores', 'processes', 'expected'),
    [(0, 2, 1, 1), (0, 1, 1, 1), (0, 16, 1, 15), (0, 64, 1, 16), (0, 16, 4, 3), (5, 2, 1, 5)],
)
def test_windows_are_loaded_on_all_cores_but_one(
    asked: int, cores: int, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(cores)))

    assert num_workers(asked, processes) == expected


def test_resuming_without_a_checkpoint_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='Start without --resume'):
        train(replace(config, run=str(tmp_path)), resume=True)


def test_mixture_starts_with_the_depth_of_the_single_head_that_it_is_made_from(
    config: TrainConfig, tmp_path: Path
) -> None:
    single = Moe3dNet(replace(preset('tiny'), num_experts=1))
    save_weights(single, tmp_path / 'single.safetensors')
    images = torch.rand(1, 2, 3, 28, 42)

    for space in ('pixel', 'feature'):
        start = replace(config, init=str(tmp_path / 'single.safetensors'), expert_space=space)
        with torch.no_grad():
            difference = build_network(start)(images).depth / single(images).depth - 1
        assert build_network(start).config.num_experts == 2
        tolerance = 1e-4 if space == 'pixel' else 0.2  # features are perturbed to tell them apart
        assert difference.abs().max() < tolerance


@pytest.mark.parametrize(
    ('other', 'advice'),
    [
        ({'num_experts': 3}, '--num-experts 2'),
        ({'likelihood': 'gaussian'}, '--likelihood laplace'),
    ],
)
def test_mixture_of_another_head_than_asked_for_is_refused(
    other: dict[str, object], advice: str, config: TrainConfig, tmp_path: Path
) -> None:
    path = tmp_path / 'mixture.safetensors'
    save_weights(Moe3dNet(replace(preset('tiny'), num_experts=2)), path)

    assert build_network(replace(config, init=str(path))).config.num_experts == 2
    with pytest.raises(ConfigError, match=f'Say {advice}'):
        build_network(replace(config, init=str(path), **other))


def test_tuning_the_head_of_vggt_leaves_the_trunk_and_moves_the_head(
    config: TrainConfig, tmp_path: Path
) -> None:
    vggt = Moe3dNet(replace(preset('tiny'), num_experts=1)).state_dict()
    torch.save(vggt, tmp_path / 'vggt.pt')
    tuned = replace(
        config,
        init=f'vggt:{tmp_path / "vggt.pt"}',
        metric=False,
        trunk_rate=0.0,
        run=str(tmp_path / 'run'),
        steps=2,
    )

    train(tuned)

    state = torch.load(tmp_path / 'run' / 'last.pt', weights_only=True)['network']
    trunk = [name for name in vggt if not name.startswith('depth_head.')]
    assert all(torch.equal(state[name], vggt[name]) for name in trunk)
    head = 'depth_head.scratch.output_conv1.weight'
    assert not torch.equal(state[head], vggt[head])


def test_frozen_trunk_keeps_no_activations_and_its_average_no_copy(config: TrainConfig) -> None:
    network = build_network(replace(config, trunk_rate=0.0))
    averaged = average_of(network, 0.9)

    features = network.encode_images(torch.rand(1, 3, 28, 42))
    assert not features['tokens'].requires_grad
    pairs = zip(averaged.module.parameters(), network.parameters(), strict=True)
    assert all((a.data_ptr() == b.data_ptr()) != b.requires_grad for a, b in pairs)


def test_vggt_in_metres_is_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match='--no-metric'):
        replace(config, init='vggt:model.pt')


def test_damaged_checkpoint_of_vggt_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / 'model.pt'
    path.write_bytes(b'no checkpoint')
    with pytest.raises(CheckpointError, match='Cannot read the checkpoint'):
        build_network(replace(config, init=f'vggt:{path}', metric=False))


@pytest.mark.parametrize('likelihood', ['laplace', 'gaussian'])
def test_a_few_steps_lower_the_likelihood_loss(
    config: TrainConfig, likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawing the curves after each step would take longer than all else.
    monkeypatch.setattr('moe3d_engine.lab.training.train.plot_metrics', lambda *arguments: None)
    run = replace(
        config, run=f'{config.run}-{likelihood}', likelihood=likelihood, steps=12, eval_every=1,
        held_out_sets=1, learning_rate=3e-3, warmup_steps=1,
    )  # fmt: skip
    train(run)

    lines = (Path(run.run) / 'metrics.jsonl').read_text().splitlines()
    nll = [json.loads(line)['nll'] for line in lines]
    assert sum(nll[-3:]) < sum(nll[:3])


def test_two_processes_train_one_network(config: TrainConfig, tmp_path: Path) -> None:
    names = ('data', 'preset')
    options = [f'--{name.replace("_", "-")}={getattr(config, name)}' for name in names]
    options += [
        '--out',
        str(tmp_path),
        '--held-out',
        str(tmp_path / 'held_out'),
        '--steps',
        '3',
        '--num-experts',
        '2',
        '--sets',
        '2',
        '--held-out-sets',
        '1',
    ]
    options += ['--image-hw', '28', '42', '--batch-size', '1', '--view-counts', '2']
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    environment = os.environ | {'OMP_NUM_THREADS': '1'}

    done = subprocess.run(
        [*command, '-m', 'moe3d_ros.cli', 'train', *options, '--json'],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert 0 <= figures['delta_1'] <= 1
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line)['step'] for line in lines] == [3]


def test_training_the_cameras_leaves_every_weight_of_depth_alone(
    config: TrainConfig, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    sizes = {'vit_depth': 1, 'depth': 1, 'taps': (0, 0, 0, 0), 'num_experts': 2}
    start = Moe3dNet(replace(preset('moe3d-small'), matching=False, **sizes))
    save_weights(start, tmp_path / 'start.safetensors')
    write_dataset(tmp_path / 'data', range(1), num_views=2, image_hw=(32, 48), processes=1)

    metrics = train(
        replace(
            config,
            data=str(tmp_path / 'data'),
            held_out=str(tmp_path / 'data'),
            run=str(tmp_path / 'run'),
            init=str(tmp_path / 'start.safetensors'),
            part='cameras',
            image_hw=(32, 48),
            steps=2,
        )
    )

    trained = load_weights(tmp_path / 'run' / 'weights.safetensors')
    assert trained.config == replace(start.config, matching=True)
    moved = {
        name.split('.')[0]
        for name, value in trained.state_dict().items()
        if name not in start.state_dict() or not torch.equal(value, start.state_dict()[name])
    }
    assert moved == {'camera_head', 'pose_matcher'}
    assert metrics.keys() == {'rotation_deg', 'direction_deg', 'translation_share', 'pose_auc_30'}
