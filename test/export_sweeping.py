"""
Export the tiny random network that sweeps planes (64 x 96, four views, metric) to a folder.

A program of its own, as `export_tiny.py` is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys

sys.path.insert(1, str(Path(__file__).resolve().parent / 'support'))  # as pytest's `pythonpath`

from moe3d_engine.graphs.export import export_weights
from moe3d_engine.model import Moe3dNet
from networks import MOBILE_TINY
import torch


def main(folder: Path) -> None:
    """Write the weights and their card, `sweeping.json`."""
    torch.manual_seed(0)
    network = Moe3dNet(replace(MOBILE_TINY, sweep=True))
    network.break_symmetry(0)
    with torch.no_grad():
        network.depth_head.scratch.output_conv2[2].weight *= 8  # depth that varies
        network.sweep.planes.hourglass.leave.weight *= 10  # planes that differ clearly
    export_weights(
        network, folder, name='sweeping', input_hw=(64, 96), max_views=4, metric=True, training={}
    )


if __name__ == '__main__':
    main(Path(sys.argv[1]))
