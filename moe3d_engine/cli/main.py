"""
The `moe3d` command: a parser made of command modules, and what all commands have in common.

A command is a module with `NAME`, `HELP`, `add_arguments(parser)` and `execute(args) -> int`; one
that has nothing to print says `HAS_RESULT = False`. It imports heavy packages inside `execute`
only, so that `--help` stays fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import logging
import sys
from typing import Protocol

from moe3d_engine.errors import Moe3dError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # as shells report SIGINT

# Where the package on PyPI is called otherwise than the module.
DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'onnx_ir': 'onnx-ir',
    'skimage': 'scikit-image',
}


class Command(Protocol):
    """What a command module offers."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""
        ...

    def execute(self, args: argparse.Namespace) -> int:
        """Run the command and return its exit code."""
        ...


def build_parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    """Return the parser of `moe3d` with these commands; those with a result get `--json`."""
    parser = argparse.ArgumentParser(
        prog='moe3d', description='Depth and clean point clouds from camera images.'
    )
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for command in commands:
        subparser = subparsers.add_parser(
            command.NAME, help=command.HELP, description=command.HELP
        )
        command.add_arguments(subparser)
        if getattr(command, 'HAS_RESULT', True):
            subparser.add_argument('--json', action='store_true', help='print the result as JSON')
        subparser.set_defaults(execute=command.execute)
    return parser


def run(argv: Sequence[str] | None, commands: Sequence[Command]) -> int:
    """
    Parse `argv` (None = the process's), run the command and return its exit code.

    Expected errors become one line on stderr and exit code 2.
    """
    args = build_parser(commands).parse_args(argv)
    logging.basicConfig(format='%(message)s', level=logging.WARNING, stream=sys.stderr)
    for package in ('moe3d_engine', 'moe3d_ros'):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        code: int = args.execute(args)
    except ModuleNotFoundError as error:
        print(f'moe3d {args.command}: {_how_to_install(error)}', file=sys.stderr)
        return EXIT_ERROR
    except (Moe3dError, OSError) as error:
        print(f'moe3d {args.command}: {error}', file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _how_to_install(error: ModuleNotFoundError) -> str:
    """Say which package is missing and where it comes from; raise the error if it is our own."""
    module = (error.name or '').split('.')[0]
    if not module or module.startswith('moe3d'):
        raise error
    if module == 'rclpy' or module.endswith('_msgs'):
        return (
            f'this needs {module} of ROS 2, which is not found. Source the setup file of your ROS '
            'distribution, or install what requirements/demo.txt lists.'
        )
    return (
        f'this needs the package {module}, which is not installed. Install it: pip install '
        f'{DISTRIBUTIONS.get(module, module)}'
    )
