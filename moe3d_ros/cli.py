"""The console script `moe3d`: the engine's commands and those that need ROS."""

from __future__ import annotations

from collections.abc import Sequence
import sys

from moe3d_engine.cli import ENGINE_COMMANDS
from moe3d_engine.cli.main import run
from moe3d_ros.commands import ROS_COMMANDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run `moe3d` and return its exit code; the ROS form of a command replaces the engine's."""
    commands = {command.NAME: command for command in (*ENGINE_COMMANDS, *ROS_COMMANDS)}
    return run(argv, list(commands.values()))


if __name__ == '__main__':
    sys.exit(main())
