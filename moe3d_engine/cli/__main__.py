"""`python -m moe3d_engine.cli`: the engine's commands without the ROS adapter."""

from __future__ import annotations

import sys

from moe3d_engine.cli import ENGINE_COMMANDS
from moe3d_engine.cli.main import run

sys.exit(run(None, ENGINE_COMMANDS))
