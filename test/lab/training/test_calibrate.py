"""Calibration: what it changes, and that confidence becomes a probability."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moe3d_engine.lab.runs.held_out import evaluate_windows
from moe3d_engine.lab.synthetic.dataset import SyntheticDataset
from moe3d_engine.lab.synthetic.dataset import write_dataset
from moe3d_engine.lab.training.calibrate import calibrate
from moe3d_engine.lab.training.predict import predict_with_network
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
import pytest
import torch


@pytest.mark.parametrize('num_experts', [1, 2])
def test_calibration_lowers_the_calibration_error_and_keeps_weights(
    tmp_path: Path, num_experts: int
) -> None:
    write_dataset(tmp_path, range(3), num_views=2, image_hw=(28, 42), processes=1)
    sets = [SyntheticDataset(tmp_path)[i] for i in range(3)]
    torch.manual_seed(0)
    config = replace(preset('tiny'), num_experts=num_experts, mixture_variable='log_depth')
    network = Moe3dNet(replace(config, scale_limit=0.02)).eval()

    calibrated = calibrate(network, sets, num_views=2)

    before, after = (
        evaluate_windows(predict_with_network(x), sets, confidence_tau=0.05, num_views=2)['ece']
        for x in (network, calibrated)
    )
    assert after < 0.7 * before
    assert calibrated.config.scale_limit > 0.02
    assert network.config.scale_limit == 0.02
    for name, value in network.state_dict().items():
        assert torch.equal(calibrated.state_dict()[name], value)
