"""The commands of `moe3d` for research and evaluation; a robot does not need them."""

from __future__ import annotations

from moe3d_engine.lab.commands import bench as bench
from moe3d_engine.lab.commands import cost as cost
from moe3d_engine.lab.commands import evaluate as evaluate
from moe3d_engine.lab.commands import export as export
from moe3d_engine.lab.commands import fuzz as fuzz
from moe3d_engine.lab.commands import samples as samples
from moe3d_engine.lab.commands import train as train
from moe3d_engine.lab.commands import weights as weights

LAB_COMMANDS = (samples, train, evaluate, bench, cost, fuzz, export, weights)
