"""
Export the tiny random network of the tests (56 x 70, four views, metric) to a folder.

A program of its own, so that the processes of one run can share the result: the exporter takes
half a minute, whatever the size of the network.
"""

from __future__ import annotations

from pathlib import Path
import sys

from moe3d_engine.graphs.export import export_weights
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
import torch


def main(folder: Path) -> None:
    """Write the weights and their card, `tiny.json`."""
    torch.manual_seed(0)
    network = Moe3dNet(preset('tiny'))
    network.break_symmetry(0)
    with torch.no_grad():
        network.depth_head.scratch.output_conv2[2].weight *= 8  # depth that varies
    export_weights(
        network, folder, name='tiny', input_hw=(56, 70), max_views=4, metric=True, training={}
    )


if __name__ == '__main__':
    main(Path(sys.argv[1]))
