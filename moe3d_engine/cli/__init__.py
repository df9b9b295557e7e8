"""The `moe3d` command line: argparse and one call into the library for each command."""

from __future__ import annotations

from moe3d_engine.cli import doctor
from moe3d_engine.cli import export
from moe3d_engine.cli import reconstruct
from moe3d_engine.cli import train

ENGINE_COMMANDS = (reconstruct, train, export, doctor)
