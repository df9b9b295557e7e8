"""Outputs are there whole or not at all, and what was there before survives a failure."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.assets.whole import written_into
from moe3d_engine.assets.whole import written_whole
import pytest


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_has_no_name_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / 'made' / 'a.npz'

    with written_whole(path) as new:
        new.write_text('all of it')
        assert (new.name, path.exists()) == ('a.npz', False)

    assert path.read_text() == 'all of it'
    assert names(tmp_path / 'made') == ['a.npz']


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_interrupted_file_leaves_the_old_one_alone(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / 'a.ply'
    path.write_text('old')

    def write() -> None:
        with written_whole(path) as new:
            new.write_text('half')
            raise error

    with pytest.raises(error):
        write()

    assert path.read_text() == 'old'
    assert names(tmp_path) == ['a.ply']


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / 'maps'
    (path / 'deep').mkdir(parents=True)

    with written_whole(path) as new:
        new.mkdir()
        (new / 'a').write_text('new')

    assert names(path) == ['a']
    assert names(tmp_path) == ['maps']


def test_files_join_a_folder_and_the_last_one_comes_last(tmp_path: Path) -> None:
    (tmp_path / 'other').write_text('mine')
    (tmp_path / 'b.json').write_text('old')
    (tmp_path / 'c.onnx').mkdir()  # cannot be replaced by a file: the move breaks off here

    def write() -> None:
        with written_into(tmp_path, last='b.json') as new:
            for name in ('a.onnx', 'b.json', 'c.onnx'):
                (new / name).write_text('new')

    with pytest.raises(IsADirectoryError):
        write()

    assert (tmp_path / 'a.onnx').read_text() == 'new'
    assert (tmp_path / 'b.json').read_text() == 'old'
    assert names(tmp_path) == ['a.onnx', 'b.json', 'c.onnx', 'other']
