"""What exists is not written over without a word, by any command."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.cli.output import check_free
from moe3d_engine.cli.output import claim_report
from moe3d_engine.errors import ConfigError
import pytest


def test_existing_file_is_refused_by_name_and_force_allows_it(tmp_path: Path) -> None:
    path = tmp_path / 'cloud.ply'
    check_free(path, force=False)
    path.touch()

    with pytest.raises(ConfigError, match=r'cloud\.ply exists already.*--force'):
        check_free(path, force=False)
    check_free(path, force=True)


def test_link_to_nowhere_is_no_free_place(tmp_path: Path) -> None:
    (tmp_path / 'a.ply').symlink_to(tmp_path / 'nothing')

    with pytest.raises(ConfigError, match='exists already'):
        check_free(tmp_path / 'a.ply', force=False)


def test_only_an_empty_folder_is_free(tmp_path: Path) -> None:
    check_free(tmp_path, force=False)
    (tmp_path / 'notes').touch()

    with pytest.raises(ConfigError, match='exists already'):
        check_free(tmp_path, force=False)


def test_report_replaces_a_report_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    claim_report(tmp_path / 'report', force=False)
    assert not caplog.text
    (tmp_path / 'report' / 'report.html').touch()

    claim_report(tmp_path / 'report', force=False)

    assert f'The report in {tmp_path / "report"} is replaced.' in caplog.text


def test_report_does_not_move_into_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / 'thesis.tex').touch()

    with pytest.raises(ConfigError, match='--force'):
        claim_report(tmp_path, force=False)
    claim_report(tmp_path, force=True)

    assert (tmp_path / 'thesis.tex').is_file()
