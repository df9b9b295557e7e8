"""The researcher's commands: samples, evaluate and cost, on the smallest things that they take."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import cv2
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import read_record
from moe3d_engine.lab.synthetic.dataset import write_dataset
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model.checkpoint import save_weights
from moe3d_ros.cli import main
import pytest
import torch

HW = (28, 42)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `data` and the checkpoints of a mixture and of a single head."""
    folder = tmp_path_factory.mktemp('research')
    write_dataset(folder / 'data', range(2), num_views=2, image_hw=HW, processes=1)
    torch.manual_seed(0)
    for name, experts in (('mixture', 2), ('single', 1)):
        network = Moe3dNet(replace(preset('tiny'), num_experts=experts))
        (folder / name).mkdir()
        save_weights(network, folder / name / 'weights.safetensors')
    return folder


def figures_of(record: EvaluationRecord) -> dict[str, float]:
    """Return every figure, over all frames, by method and name."""
    summary = record.summary()
    return {f'{m} {name}': x for m, figures in summary.items() for name, x in figures.items()}


def test_samples_are_a_picture_with_a_row_per_scene(tmp_path: Path) -> None:
    out = tmp_path / 'sheet.png'
    options = ['--scenes', '2', '--style', 'fast', '--image-hw', *map(str, HW)]

    assert main(['samples', '--out', str(out), *options]) == 0

    assert cv2.imread(str(out)).shape == (2 * HW[0], 4 * HW[1], 3)


@pytest.mark.parametrize(
    ('command', 'name'),
    [
        (['samples', '--out', 'sheet.png'], 'sheet.png'),
        (['evaluate', '--out', '.'], 'sheet.png'),
        (['evaluate', '--compare', 'a', 'b', '--out', '.'], 'sheet.png'),
        (['demo', '--out', '.'], 'sheet.png'),
        (['train', '--out', '.'], 'last.pt'),
    ],
)
def test_no_command_writes_over_what_is_there(
    command: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text('mine')

    assert main(command) == 2

    assert '--force' in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ['mine']


def test_evaluation_judges_every_network_with_every_rejection_at_the_same_share(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [str(folder / name / 'weights.safetensors') for name in ('mixture', 'single')]
    data = ['--data', str(folder / 'data'), '--sets', '2', '--views', '2', '--retained', '0.8']
    data += ['--image-hw', *map(str, HW)]

    code = main(['evaluate', *weights, *data, '--out', str(tmp_path), '--json'])

    assert code == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report['figures']) == weights
    for methods in report['figures'].values():
        assert methods['before rejection']['retained'] == 1.0
        for name in ('agreement', 'depth edges', 'SOR', 'ROR', 'VGGT percentile'):
            assert methods[name]['retained'] == pytest.approx(0.8, abs=1e-3)
        assert methods['DA3 percentile']['retained'] <= 0.8 + 1e-3
        assert methods['best plane']['abs_rel'] <= methods['best constant']['abs_rel']
    assert cv2.imread(str(tmp_path / 'mixture' / 'experts.png')) is not None


def test_evaluation_of_each_network_is_a_record_that_can_be_compared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [str(folder / name / 'weights.safetensors') for name in ('mixture', 'single')]
    data = ['--data', str(folder / 'data'), '--sets', '2', '--views', '2']
    data += ['--image-hw', *map(str, HW)]
    assert main(['evaluate', *weights, *data, '--out', str(tmp_path)]) == 0
    paths = [str(tmp_path / name / 'evaluation.json') for name in ('mixture', 'single')]
    printed = capsys.readouterr().out

    assert main(['evaluate', '--compare', *paths, '--json']) == 0

    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)['figures']}
    assert {'boundary_f1', 'retained'} <= set(rows)  # so little training publishes hardly a pixel
    record = read_record(Path(paths[0]))
    assert record.counts() == {'in': 2, 'published': 2, 'dropped': {}}
    assert rows['retained']['a'] == pytest.approx(record.summary()['published']['retained'])
    assert f'  {tmp_path / "mixture" / "report.html"}' in printed
    one = ['evaluate', weights[0], *data, '--out', str(tmp_path / 'one')]
    assert main(one) == 0
    again = read_record(tmp_path / 'one' / 'evaluation.json')
    assert [frame.key for frame in again.frames] == [frame.key for frame in record.frames]
    assert figures_of(again) == pytest.approx(figures_of(record), rel=1e-2, abs=1e-2, nan_ok=True)
    assert again.configuration == record.configuration


def test_networks_of_one_name_need_folders_of_their_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [str(folder / 'mixture' / 'weights.safetensors')] * 2

    assert main(['evaluate', *weights, '--out', str(tmp_path)]) == 2

    assert 'mixture, mixture' in capsys.readouterr().err


def test_evaluation_prints_a_table_per_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(folder / 'mixture' / 'weights.safetensors')
    data = ['--data', str(folder / 'data'), '--sets', '1', '--views', '1']

    assert main(['evaluate', weights, *data, '--all-metrics', '--image-hw', *map(str, HW)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'### {weights}'
    assert 'MoGe F1 | DBE acc [px] | DBE comp [px] | in free space' in lines[1]
    assert {'| published', '| best plane'} <= {line[: line.index(' |', 1)] for line in lines[3:]}


def test_decode_of_exported_weights_cannot_be_changed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['evaluate', 'moe3d-small', '--data', str(folder / 'data'), '--decode', 'soft']

    assert main([*command, '--sets', '2', '--image-hw', *map(str, HW)]) == 2

    assert 'decode agree' in capsys.readouterr().err


def test_cost_compares_with_the_single_head(capsys: pytest.CaptureFixture[str]) -> None:
    options = ['--preset', 'tiny', '--experts', '2', '--views', '1', '--repeats', '0', '--json']

    assert main(['cost', *options, '--image-hw', *map(str, HW)]) == 0

    single, mixture = json.loads(capsys.readouterr().out)['networks']
    assert single['gflops_overhead_percent'] == 0
    assert mixture['gflops_overhead_percent'] > 0
    assert mixture['parameters'] > single['parameters']
