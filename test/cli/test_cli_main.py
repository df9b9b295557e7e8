"""What all commands have in common."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

from moe3d_engine.cli.main import build_parser
from moe3d_engine.cli.main import run
from moe3d_engine.errors import InputError
import pytest


def command_that(raises: BaseException | None = None, code: int = 0) -> SimpleNamespace:
    """Return a command that raises or returns a code, and keeps the arguments it got."""

    def execute(args: argparse.Namespace) -> int:
        command.got = args
        if raises is not None:
            raise raises
        return code

    command = SimpleNamespace(
        NAME='walk',
        HELP='walk about',
        add_arguments=lambda parser: parser.add_argument('--far', type=int),
        execute=execute,
    )
    return command


def test_command_gets_its_arguments_and_its_code_comes_back() -> None:
    command = command_that(code=1)

    code = run(['walk', '--far', '3', '--json'], [command])

    assert code == 1
    assert command.got.far == 3
    assert command.got.json is True


@pytest.mark.parametrize('error', [InputError('No legs. Grow some.'), OSError('No legs.')])
def test_expected_error_is_one_line_and_code_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(['walk'], [command_that(error)])

    output = capsys.readouterr()
    assert code == 2
    assert output.err == f'moe3d walk: {error}\n'
    assert output.out == ''


def test_interruption_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(['walk'], [command_that(KeyboardInterrupt())]) == 130
    assert capsys.readouterr().err == ''


def test_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(['walk'], [command_that(ZeroDivisionError())])


@pytest.mark.parametrize('argv', [[], ['fly'], ['walk', '--far', 'x']])
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as info:
        run(argv, [command_that()])

    assert info.value.code == 2


def test_help_lists_the_commands() -> None:
    assert 'walk about' in build_parser([command_that()]).format_help()
