"""Exported weights: dynamic axes, 16-bit storage, no trace of the machine, the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
import re

from moe3d_engine.assets import find_weights
from moe3d_engine.cli.main import run
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.parity import check_parity
from moe3d_engine.graphs.parity import compare_outputs
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.lab.commands import export as export_command
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')


@pytest.mark.parametrize('role', ['image_encoder', 'reconstruct'])
def test_views_stay_dynamic_and_sizes_fixed(tiny_card: Path, role: str) -> None:
    graph = onnx.load(find_weights(str(tiny_card)).verified_file(role)).graph
    axes = {
        tensor.name: [a.dim_param or a.dim_value for a in tensor.type.tensor_type.shape.dim]
        for tensor in (*graph.input, *graph.output)
    }

    if role == 'image_encoder':
        assert axes == {
            'images': ['num_views', 3, 56, 70],
            'tokens': ['num_views', 4, 5, 32],
        }
    else:
        maps = ['depth', 'boundary_confidence', 'agreement', 'depth_confidence']
        assert axes == {
            'tokens': ['num_views', 4, 5, 32],
            'publish': ['num_published'],
            **{name: ['num_published', 56, 70] for name in maps},
            'pose_encoding': ['num_views', 9],
        }


@pytest.mark.parametrize(
    ('role', 'name'),
    [
        ('image_encoder', 'images'),
        ('image_encoder', 'tokens'),
        ('reconstruct', 'publish'),
        ('reconstruct', 'depth'),
        ('reconstruct', 'pose_encoding'),
    ],
)
def test_frozen_axis_is_refused(tiny_card: Path, role: str, name: str) -> None:
    from moe3d_engine.graphs.graph_file import read_graph
    from moe3d_engine.graphs.onnx_export import check_dynamic_axes
    import onnx_ir as ir

    graph = read_graph(find_weights(str(tiny_card)).verified_file(role)).graph
    check_dynamic_axes(graph, role)
    value = next(v for v in (*graph.inputs, *graph.outputs) if v.name == name)
    value.shape = ir.Shape([3, *value.shape[1:]])

    with pytest.raises(EngineError, match=f'{name} in {role}'):
        check_dynamic_axes(graph, role)


def test_loop_over_views_that_freezes_their_number_is_refused(tmp_path: Path) -> None:
    from moe3d_engine.graphs.onnx_export import export_onnx
    from moe3d_engine.model import Moe3dNet
    from moe3d_engine.model import preset

    class Chunked(Moe3dNet):
        def encode_images(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            tokens = [super(Chunked, self).encode_images(x[None])['tokens'] for x in images]
            return {'tokens': torch.cat(tokens)}

    with pytest.raises(EngineError, match='num_views'):
        export_onnx(Chunked(preset('tiny')), (28, 28), tmp_path, 'x')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('role', ['image_encoder', 'reconstruct'])
def test_graph_holds_no_path_of_this_machine(tiny_card: Path, role: str) -> None:
    content = find_weights(str(tiny_card)).verified_file(role).read_bytes()

    for trace in (b'/home', b'/root', b'/tmp', b'site-packages', b'moe3d_engine', b'.py'):
        assert trace not in content


def test_large_weights_are_stored_in_16_bits(tiny_card: Path) -> None:
    card = find_weights(str(tiny_card))
    large = [
        weight
        for role in ('image_encoder', 'reconstruct')
        for weight in onnx.load(card.verified_file(role)).graph.initializer
        if weight.name.startswith('network.') and np.prod(weight.dims) >= 1024
    ]

    assert large
    assert {weight.data_type for weight in large} == {onnx.TensorProto.FLOAT16}


def test_storing_in_16_bits_loses_nothing() -> None:
    from moe3d_engine.graphs.onnx_export import store_half
    import onnx_ir as ir

    exact = np.arange(2048, dtype=np.float32) / 1024
    inexact = exact + np.float32(1e-6)
    initializers = [
        onnx.numpy_helper.from_array(values, name)
        for name, values in (('exact', exact), ('inexact', inexact))
    ]
    add = onnx.helper.make_node('Add', ['exact', 'inexact'], ['sum'])
    total = onnx.helper.make_tensor_value_info('sum', onnx.TensorProto.FLOAT, [2048])
    graph = onnx.helper.make_graph([add], 'test', [], [total], initializers)
    model = ir.from_proto(onnx.helper.make_model(graph))

    store_half(model.graph)

    stored = ir.to_proto(model).graph
    types = {weight.name: weight.data_type for weight in stored.initializer}
    assert types == {
        'exact.f16': onnx.TensorProto.FLOAT16,
        'inexact': onnx.TensorProto.FLOAT,
    }
    assert [(n.op_type, list(n.input), list(n.output)) for n in stored.node] == [
        ('Cast', ['exact.f16'], ['exact']),
        ('Add', ['exact', 'inexact'], ['sum']),
    ]


def test_command_exports_the_same_bytes_again_and_records_the_run(
    tiny_card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from moe3d_engine.lab.training.config import TrainConfig
    from moe3d_engine.model.checkpoint import load_weights
    from moe3d_engine.model.checkpoint import save_weights

    first = find_weights(str(tiny_card))
    checkpoint = tmp_path / 'run' / 'weights.safetensors'
    checkpoint.parent.mkdir()
    save_weights(load_weights(first.verified_file('weights')), checkpoint)
    config = TrainConfig(data='d', held_out='h', run='r', seed=5, view_counts=(1, 2))
    config.write(checkpoint.parent / 'config.json')
    lines = [{'step': s, 'delta_1': s / 3} for s in (1, 2)]
    (checkpoint.parent / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    out = tmp_path / 'out'
    options = ['--name', 'tiny', '--input-hw', '56', '70', '--data', 'none', '--json']
    options += ['--precision', 'fp32', 'fp16']

    code = run(['export', str(checkpoint), '--out', str(out), *options], [export_command])

    card = find_weights(str(out / 'tiny.json'))
    assert code == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary['card'] == str(out / 'tiny.json')
    assert 'fp16 parity of depth' in summary
    assert {role: card.files[role] for role in first.files} == first.files
    assert card.files.keys() - first.files.keys() == {'image_encoder.fp16', 'reconstruct.fp16'}
    assert card.verified_file('reconstruct.fp16').name == 'tiny.reconstruct.fp16.onnx'
    assert card.training == {
        'command': 'moe3d train --view-counts 1 2 --seed 5',
        'seed': 5,
        'figures': lines[1],
        'data': 'none',
    }


def test_input_that_is_no_multiple_of_the_patch_is_refused(tmp_path: Path) -> None:
    from moe3d_engine.graphs.export import export_weights
    from moe3d_engine.model import Moe3dNet
    from moe3d_engine.model import preset

    with pytest.raises(ConfigError, match='multiple of 14'):
        export_weights(
            Moe3dNet(preset('tiny')), tmp_path, name='x', input_hw=(56, 72), max_views=2,
            metric=False, training={},
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('precision', 'message'),
    [('int8', 'needs images'), ('fp4', r"one of fp32, fp16, bf16, int8, fp8; got 'fp4'")],
)
def test_precision_without_what_it_needs_is_refused(
    precision: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ['--out', str(tmp_path / 'out'), '--input-hw', '56', '70', '--precision', precision]

    code = run(['export', '--random-weights', 'tiny', *options], [export_command])

    assert code == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'out').exists()


def test_export_that_breaks_off_leaves_nothing_and_the_weights_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moe3d_engine.graphs import export

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, '_check_precision', interrupt)
    (tmp_path / 'x.safetensors').write_text('of before')

    with pytest.raises(KeyboardInterrupt):
        export.export_weights(
            export.random_network('tiny'), tmp_path, name='x', input_hw=(56, 70), max_views=2,
            metric=False, training={},
        )  # fmt: skip

    assert [path.name for path in tmp_path.iterdir()] == ['x.safetensors']
    assert (tmp_path / 'x.safetensors').read_text() == 'of before'


@pytest.mark.parametrize('name', ['x.json', 'x.safetensors', 'x.reconstruct.fp16.onnx'])
def test_weights_of_the_same_name_are_not_written_over_without_force(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text('mine')
    command = ['export', 'checkpoint', '--name', 'x', '--out', str(tmp_path)]

    assert run(command, [export_command]) == 2
    assert f'{tmp_path / name} exists already' in capsys.readouterr().err
    assert run([*command, '--force'], [export_command]) == 2
    assert 'exists already' not in capsys.readouterr().err
    assert (tmp_path / name).read_text() == 'mine'


def test_checkpoint_and_random_weights_exclude_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(['export', '--out', 'x'], [export_command]) == 2
    assert run(['export', 'a', '--random-weights', 'tiny', '--out', 'x'], [export_command]) == 2
    assert capsys.readouterr().err.count('either a CHECKPOINT or --random-weights') == 2


def make_outputs(depth: float, pose: float) -> RawOutputs:
    """Return constant outputs of one view."""
    ones = np.ones((1, 4, 4), np.float32)
    return RawOutputs(depth * ones, 0.5 * ones, ones, np.full((1, 9), pose, np.float32), ones)


def test_depth_error_is_relative_and_pose_error_absolute() -> None:
    errors = compare_outputs(make_outputs(10, 2), make_outputs(11, 2.5), 'fp32')

    assert errors['depth'].max == pytest.approx(0.1)
    assert errors['pose_encoding'].mean == pytest.approx(0.5)
    assert errors['agreement'].within
    assert not errors['depth'].within


def test_nan_is_never_within_tolerance() -> None:
    errors = compare_outputs(make_outputs(10, 2), make_outputs(np.nan, 2), 'bf16')

    assert not errors['depth'].within


def test_backends_that_disagree_are_refused(tiny_card: Path) -> None:
    from moe3d_engine.backends.torch_backend import open_torch
    from moe3d_engine.backends.torch_backend import TorchBackend

    class Wrong(TorchBackend):
        name = 'wrong'

        def reconstruct(
            self,
            features: Sequence[object],
            publish: Sequence[int],
            cameras: WindowCameras | None = None,
        ) -> RawOutputs:
            raw = super().reconstruct(features, publish, cameras)
            return raw._replace(depth=1.01 * raw.depth)

    card = find_weights(str(tiny_card))
    right = open_torch(card)
    wrong = Wrong(card, right._network)

    images = textured_images(2, card.input_hw)
    with pytest.raises(BackendError, match=r'wrong of tiny \(fp32\) and torch disagree on depth'):
        check_parity(right, wrong, 'fp32', images)
