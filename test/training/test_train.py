"""The training loop: what it leaves behind, and that an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from moe3d_engine.errors import CheckpointError
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.synthetic.dataset import write_dataset
from moe3d_engine.training.config import TrainConfig
from moe3d_engine.training.train import train
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
        entropy_weight=0.0,
        teacher_share=0.0,
        eval_every=4,
        save_every=2,
    )


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(config: TrainConfig) -> None:
    interrupted = replace(config, run=f'{config.run}-interrupted', steps=2)
    train(config)
    train(interrupted)
    metrics = train(replace(interrupted, steps=4), resume=True)

    states = [
        torch.load(Path(run) / 'last.pt', weights_only=True)['network']
        for run in (config.run, interrupted.run)
    ]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, msg=name)
    assert metrics['retained'] == 1.0


def test_run_folder_holds_configuration_figures_and_loadable_weights(config: TrainConfig) -> None:
    run = Path(config.run)
    if not (run / 'last.pt').exists():
        train(config)

    lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    assert json.loads((run / 'config.json').read_text())['steps'] == 4
    assert lines[-1]['step'] == 4
    assert {'abs_rel', 'flying_gt', 'flying_pred', 'ece'} <= lines[-1].keys()
    assert load_weights(run / 'best.safetensors').config.num_experts == 2


def test_resuming_without_a_checkpoint_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='Start without --resume'):
        train(replace(config, run=str(tmp_path)), resume=True)
