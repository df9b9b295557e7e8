"""The console script `moe3d`: every command of the installation, each loaded when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
import sys

from moe3d_engine.cli import build
from moe3d_engine.cli import reconstruct
from moe3d_engine.cli.main import Command
from moe3d_engine.cli.main import run
from moe3d_ros.tools.commands import doctor
from moe3d_ros.tools.commands import replay
from moe3d_ros.tools.commands import run as run_command

ROBOT_COMMANDS = (run_command, replay, reconstruct, build, doctor)


def installed_commands() -> list[Command]:
    """Return the robot's commands, and those of the laboratory where it is installed."""
    commands: list[Command] = [*ROBOT_COMMANDS]
    if find_spec('moe3d_engine.lab') is not None:
        from moe3d_engine.lab.commands import LAB_COMMANDS
        from moe3d_ros.tools.commands import demo
        from moe3d_ros.tools.commands import evaluate
        from moe3d_ros.tools.commands import tables

        lab = {command.NAME: command for command in LAB_COMMANDS}
        commands = [demo, *commands, *(lab | {evaluate.NAME: evaluate}).values(), tables]
    return commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run `moe3d` and return its exit code."""
    return run(argv, installed_commands())


if __name__ == '__main__':
    sys.exit(main())
