"""`moe3d evaluate --dataset` on miniature trees, from the command line to the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
from moe3d_engine.lab.reports.record import read_record
from moe3d_ros.cli import main
import numpy as np
import pytest

HW = (56, 70)  # of the tiny network


def write_nyu(root: Path) -> None:
    """Write two images of which one has a damaged depth map."""
    for folder in ('nyu_images', 'nyu_depths'):
        (root / 'val' / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in (0, 1):
        image = rng.integers(0, 255, (*HW, 3), np.uint8)
        assert cv2.imwrite(str(root / 'val' / 'nyu_images' / f'{i}.png'), image)
        np.save(root / 'val' / 'nyu_depths' / f'{i}.npy', rng.uniform(1, 3, HW))
    (root / 'val' / 'nyu_depths' / '1.npy').write_bytes(b'no depth')


def write_nrgbd(root: Path) -> None:
    """Write one scene of one frame with depth in a small part of it."""
    folder = root / 'thin_geometry'
    for name in ('images', 'depth'):
        (folder / name).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    assert cv2.imwrite(str(folder / 'images' / 'img0.png'), image)
    depth = np.zeros((48, 64), np.uint16)
    depth[20:28, 28:36] = 2000
    assert cv2.imwrite(str(folder / 'depth' / 'depth0.png'), depth)
    np.savetxt(folder / 'poses.txt', np.eye(4))


def test_protocols_are_listed_with_their_references(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['evaluate', '--list-protocols']) == 0

    out = capsys.readouterr().out
    assert '| 7scenes | pi3-sparse | points | umeyama | Pi3' in out
    assert '| kitti | video-scale-shift |' in out


def test_what_was_judged_is_written_and_what_was_not_is_named(
    tiny_card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nyu(tmp_path / 'nyu')
    arguments = ['--dataset', 'nyu', '--root', str(tmp_path / 'nyu'), '--protocol', 'mono']
    out = tmp_path / 'out'

    assert main(['evaluate', str(tiny_card), *arguments, '--out', str(out)]) == 0

    assert '1 of 2 judged; unreadable: val/1' in capsys.readouterr().out
    record = read_record(out / 'evaluation.json')
    assert record.counts() == {'in': 2, 'published': 1, 'dropped': {'unreadable': 1}}
    assert set(record.configuration['weights_sha256']) >= {'image_encoder', 'reconstruct'}
    with (out / 'table.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]['method'].startswith('tiny: all pixels, resized')
    assert float(rows[0]['abs_rel']) > 0
    assert {path.name for path in out.iterdir()} == {
        '.moe3d-report', 'evaluation.json', 'table.csv', 'table.json', 'table.tex',
    }  # fmt: skip


def test_our_rows_stand_between_comparable_and_other_ones(
    tiny_card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nrgbd(tmp_path)
    arguments = ['--dataset', 'nrgbd', '--root', str(tmp_path), '--protocol', 'pi3-sparse']

    assert main(['evaluate', str(tiny_card), *arguments]) == 0

    out = capsys.readouterr().out
    order = [out.index(text) for text in ('| VGGT |', '| tiny: all pixels', '| MoE3D |')]
    assert order == sorted(order)
    assert 'missing: breakfast_room, complete_kitchen' in out


def test_json_has_counts_and_names(
    tiny_card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nyu(tmp_path)
    arguments = ['--dataset', 'nyu', '--root', str(tmp_path), '--protocol', 'mono', '--json']

    assert main(['evaluate', str(tiny_card), *arguments]) == 0

    result = json.loads(capsys.readouterr().out)['results'][str(tiny_card)]
    assert result['dropped'] == {'unreadable': ['val/1']}
    assert result['counts']['published'] == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--dataset', 'nyu'], '--root'),
        (['--dataset', 'nyu', '--root', '.'], '--protocol'),
        (['--dataset', 'nyu', '--root', '.', '--protocol', 'pi3-sparse'], 'it has mono'),
        (['--dataset', '7scenes', '--root', '.', '--protocol', 'pi3-sparse'], 'depth.proj.png'),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['evaluate', *arguments]) == 2

    assert message in capsys.readouterr().err
