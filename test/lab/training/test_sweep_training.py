"""Training of the plane sweep: its windows, its losses, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.datasets import open_dataset
from moe3d_engine.lab.runs.poses.pose_noise import known_cameras
from moe3d_engine.lab.runs.poses.pose_noise import perturbed
from moe3d_engine.lab.synthetic.dataset import write_dataset
from moe3d_engine.lab.training.calibrate import calibrate_sweep
from moe3d_engine.lab.training.config import TrainConfig
from moe3d_engine.lab.training.data import WindowKey
from moe3d_engine.lab.training.sweep_data import SweepDataset
from moe3d_engine.lab.training.sweep_losses import plane_loss
from moe3d_engine.lab.training.train import train
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import save_weights
from networks import MOBILE_TINY
import numpy as np
import pytest
import torch

HW = (32, 48)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two rendered walks and a network without a sweep."""
    folder = tmp_path_factory.mktemp('walks')
    write_dataset(folder / 'data', range(2), 3, HW, processes=1, walks=True)
    torch.manual_seed(0)
    save_weights(Moe3dNet(MOBILE_TINY), folder / 'alone.safetensors')
    return folder


def test_a_window_has_cameras_trust_and_a_hint(folder: Path) -> None:
    sets = open_dataset(str(folder / 'data'), HW, 3)
    dataset = SweepDataset(sets, 60.0)
    for seed in range(6):
        item = dataset[WindowKey(seed % 2, 3, seed)]
        assert item['images'].shape == (3, 3, *HW)
        assert item['depth'].shape == item['valid'].shape == (1, *HW)
        assert item['hint'].shape == (1, 2, HW[0] // 4, HW[1] // 4)
        assert item['trust'].min() >= 0
        assert item['trust'].max() <= 1
        assert all(np.isfinite(values).all() for values in item.values())
        turn = item['cam_from_world'][:, :3, :3].astype(np.float64)
        np.testing.assert_allclose(
            turn @ turn.swapaxes(1, 2), np.tile(np.eye(3), (3, 1, 1)), atol=1e-4
        )


def test_a_walk_has_the_steps_and_turns_of_a_robot(folder: Path) -> None:
    sets = open_dataset(str(folder / 'data'), HW, 3)
    for index in range(2):
        poses = sets[index].world_from_cam
        steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
        assert (steps < 0.4).all()
        cosine = (
            np.trace(poses[:-1, :3, :3].swapaxes(1, 2) @ poses[1:, :3, :3], axis1=1, axis2=2) - 1
        ) / 2
        assert (np.degrees(np.arccos(cosine.clip(-1, 1))) < 25).all()


def test_perturbed_poses_keep_the_first_and_err_as_much_as_is_said() -> None:
    poses = np.tile(np.eye(4), (400, 1, 1))
    poses[1:, 0, 3] = 0.5
    noisy = perturbed(poses, np.random.default_rng(0), 0.5, 0.1)
    np.testing.assert_allclose(noisy[0], np.eye(4))
    moved = np.linalg.norm(noisy[1:, :3, 3] - poses[1:, :3, 3], axis=1)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.05, rel=0.15)
    cosine = (np.trace(noisy[1:, :3, :3], axis1=1, axis2=2) - 1) / 2
    turned = np.degrees(np.arccos(cosine.clip(-1, 1)))
    assert np.sqrt(np.mean(turned**2)) == pytest.approx(0.5, rel=0.15)


def test_the_plane_loss_is_least_for_the_planes_beside_the_truth() -> None:
    planes = torch.linspace(0, 1, 11)[None, :, None, None]
    truth, valid = torch.full((1, 1, 1, 1), 0.33), torch.ones(1, 1, 1, 1)
    losses = []
    for best in range(11):
        logits = torch.full((1, 11, 1, 1), -4.0)
        logits[0, best] = 4.0
        losses.append(float(plane_loss(logits, planes, truth, valid)))
    assert int(np.argmin(losses)) == 3
    outside = plane_loss(torch.randn(1, 11, 1, 1), planes, truth + 2, valid, inside=True)
    assert float(outside) == 0


def test_only_the_sweep_is_trained_and_a_view_alone_stays_as_it_was(folder: Path) -> None:
    config = TrainConfig(
        data=str(folder / 'data'), held_out=str(folder / 'data'), run=str(folder / 'run'),
        init=str(folder / 'alone.safetensors'), part='sweep', steps=2, batch_size=1,
        view_counts=(3,), image_hw=HW, eval_every=2, held_out_sets=1, warmup_steps=1,
    )  # fmt: skip
    metrics = train(config)
    assert np.isfinite(metrics['abs_rel'])
    before = load_weights(folder / 'alone.safetensors').eval()
    after = load_weights(folder / 'run' / 'weights.safetensors').eval()
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, rtol=0, atol=0)
    images = torch.rand(1, 3, *HW)
    with torch.no_grad():
        torch.testing.assert_close(after(images).depth, before(images).depth)


def test_experts_are_trained_under_a_sweep_that_stays_as_it_is(folder: Path) -> None:
    torch.manual_seed(0)
    swept = folder / 'swept.safetensors'
    save_weights(Moe3dNet(replace(MOBILE_TINY, sweep=True)), swept)
    config = TrainConfig(
        data=str(folder / 'data'), held_out=str(folder / 'data'), run=str(folder / 'experts'),
        init=str(swept), part='experts', steps=2, batch_size=1,
        view_counts=(3,), image_hw=HW, eval_every=2, held_out_sets=1, warmup_steps=1,
    )  # fmt: skip
    train(config)
    before = load_weights(swept).state_dict()
    after = load_weights(folder / 'experts' / 'weights.safetensors').state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name.split('.')[1] for name in changed} == {'sides', 'experts'}


@pytest.mark.parametrize('depths', [1, 2])
def test_depths_of_the_sweep_are_begun_anew(folder: Path, depths: int) -> None:
    torch.manual_seed(0)
    swept = folder / 'swept.safetensors'
    save_weights(Moe3dNet(replace(MOBILE_TINY, sweep=True)), swept)
    config = TrainConfig(
        data=str(folder / 'data'), held_out=str(folder / 'data'), run=str(folder / f'new{depths}'),
        init=str(swept), part='experts', swept_depths=depths, steps=1, batch_size=1,
        view_counts=(3,), image_hw=HW, eval_every=1, held_out_sets=1, warmup_steps=1,
    )  # fmt: skip

    metrics = train(config)

    assert np.isfinite(metrics['abs_rel'])
    before = load_weights(swept)
    after = load_weights(folder / f'new{depths}' / 'weights.safetensors')
    assert after.config.swept_depths == depths
    old, new = before.state_dict(), after.state_dict()
    kept, begun = 'sweep.matching.from8.weight', 'sweep.experts.look.weight'
    assert torch.equal(old[kept], new[kept])
    assert old[begun].shape != new[begun].shape or not torch.equal(old[begun], new[begun])


def test_depths_of_the_sweep_are_not_begun_where_nothing_of_it_is_trained() -> None:
    with pytest.raises(ConfigError, match='part is all'):
        TrainConfig(data='', held_out='', run='', swept_depths=1)


def test_calibration_moves_the_certainty_of_the_sweep_alone(folder: Path) -> None:
    torch.manual_seed(0)
    network = Moe3dNet(replace(MOBILE_TINY, sweep=True)).eval()
    sets = open_dataset(str(folder / 'data'), HW, 3)
    calibrated = calibrate_sweep(network, [sets[0]], 60.0)
    changed = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(value, calibrated.state_dict()[name])
    }
    assert changed == {'sweep.experts.say.bias'}


def test_unknown_cameras_are_none_and_true_ones_are_trusted(folder: Path) -> None:
    item = open_dataset(str(folder / 'data'), HW, 3)[0]
    assert known_cameras(item, 'unknown') is None
    true = known_cameras(item, 'true')
    assert true is not None
    np.testing.assert_array_equal(true.trust, 1.0)
