"""The graph that fits camera images, run by OpenVINO, against the CPU's own fit."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import resampling_matrices
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.types import View
import numpy as np
import pytest

pytest.importorskip('onnx_ir')
openvino = pytest.importorskip('openvino')

from moe3d_engine.plans.preprocess_graph import input_shapes  # noqa: E402
from moe3d_engine.plans.preprocess_graph import SOURCE_HW  # noqa: E402
from moe3d_engine.plans.preprocess_graph import write_preprocess_graph  # noqa: E402

pytestmark = pytest.mark.instruction_sets

INPUT_HW = (28, 42)


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('preprocess') / 'preprocess.onnx'
    write_preprocess_graph(path, INPUT_HW)
    return path


@pytest.mark.parametrize('source_hw', [(480, 640), (57, 143), (20, 25), (28, 42), (300, 100)])
def test_graph_fits_images_as_the_cpu_does_up_to_one_grey_level(
    graph: Path, source_hw: tuple[int, int]
) -> None:
    sources = np.random.default_rng(1).integers(0, 256, (2, *source_hw, 3), np.uint8)
    rows, columns = resampling_matrices(source_hw, INPUT_HW)
    model = openvino.Core().compile_model(graph, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})

    outputs = model({'source': sources, 'rows': rows, 'columns': columns})

    fitted = outputs['fitted']
    expected = np.stack([fit_view(View(source), INPUT_HW).image for source in sources])
    assert fitted.dtype == np.uint8
    assert np.abs(fitted.astype(int) - expected).max() <= 1
    np.testing.assert_allclose(outputs['images'], to_network(fitted), atol=1e-6)


def test_same_size_gives_the_same_bytes(graph: Path, tmp_path: Path) -> None:
    again = tmp_path / 'again.onnx'
    write_preprocess_graph(again, INPUT_HW)

    assert again.read_bytes() == graph.read_bytes()


def test_profile_names_every_input_and_agrees_on_the_cameras_size(graph: Path) -> None:
    shapes = input_shapes(INPUT_HW, (1, 3, 4))

    model = openvino.Core().read_model(graph)
    assert shapes.keys() == {port.any_name for port in model.inputs}
    for number, (height, width) in enumerate(SOURCE_HW):
        assert shapes['source'][number][1:] == (height, width, 3)
        assert shapes['rows'][number] == (INPUT_HW[0], height)
        assert shapes['columns'][number] == (INPUT_HW[1], width)
    assert [shape[0] for shape in shapes['source']] == [1, 1, 4]
