"""What all commands have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
import subprocess
import sys
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


@pytest.mark.parametrize(
    ('module', 'advice'),
    [
        ('scipy.spatial', 'pip install scipy'),
        ('skimage', 'pip install scikit-image'),
        ('sensor_msgs.msg', 'Source the setup file'),
    ],
)
def test_missing_package_is_one_line_that_says_where_it_comes_from(
    module: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(['walk'], [command_that(ModuleNotFoundError(name=module))])

    output = capsys.readouterr()
    assert code == 2
    assert output.err.startswith('moe3d walk: this needs')
    assert advice in output.err
    assert output.err.count('\n') == 1


def test_missing_module_of_our_own_keeps_its_traceback() -> None:
    with pytest.raises(ModuleNotFoundError):
        run(['walk'], [command_that(ModuleNotFoundError(name='moe3d_engine.walking'))])


@pytest.mark.parametrize(
    ('module', 'words'),
    [
        ('matplotlib', ['evaluate', '--bag', 'missing']),
        ('scipy', ['evaluate', '--bag', 'missing']),
        ('rosbags', ['evaluate', '--bag', 'missing']),
        ('matplotlib', ['evaluate', '--data', 'missing']),
        ('matplotlib', ['train', '--data', 'missing']),
        ('accelerate', ['train', '--data', 'missing']),
    ],
)
def test_command_asks_for_its_packages_before_it_looks_at_its_data(
    module: str, words: list[str], tmp_path: Path
) -> None:
    code = (
        'import sys\n'
        f'sys.modules[{module!r}] = None\n'
        'from moe3d_ros.cli import main\n'
        f'sys.exit(main({words!r}))'
    )

    ended = subprocess.run(
        [sys.executable, '-c', code],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert ended.returncode == 2
    assert f'this needs the package {module}, which is not installed' in ended.stderr
    assert not list(tmp_path.iterdir())


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


def test_command_without_a_result_has_no_json() -> None:
    command = command_that()
    command.HAS_RESULT = False

    with pytest.raises(SystemExit) as info:
        run(['walk', '--json'], [command])

    assert info.value.code == 2


def test_help_lists_the_commands() -> None:
    assert 'walk about' in build_parser([command_that()]).format_help()
