"""The `moe3d` command line: argparse and one call into the library for each command."""

from __future__ import annotations

from moe3d_engine.cli import bench
from moe3d_engine.cli import build
from moe3d_engine.cli import cost
from moe3d_engine.cli import doctor
from moe3d_engine.cli import evaluate
from moe3d_engine.cli import export
from moe3d_engine.cli import reconstruct
from moe3d_engine.cli import samples
from moe3d_engine.cli import train
from moe3d_engine.cli import weights

ENGINE_COMMANDS = (
    reconstruct,
    samples,
    train,
    evaluate,
    bench,
    cost,
    export,
    build,
    weights,
    doctor,
)
