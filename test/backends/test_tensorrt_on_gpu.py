"""The real thing, where there is a GPU: plans are built, checked, opened and compared."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from moe3d_engine.assets import WeightsCard
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.plans.gpu import current_gpu
from moe3d_engine.plans.manifest import RUNTIMES
from moe3d_engine.plans.manifest import supports_rtx
import numpy as np
import pytest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(current_gpu() is None, reason='needs an NVIDIA GPU'),
]


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
@pytest.mark.parametrize('runtime', RUNTIMES)
def test_window_on_the_gpu_is_that_of_openvino(
    runtime: str,
    precision: str,
    tiny: WeightsCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for package in (runtime, 'openvino', 'onnx_ir'):
        if find_spec(package) is None:
            pytest.skip(f'{package} is not installed')
    gpu = current_gpu()
    if runtime == 'tensorrt_rtx' and gpu and not supports_rtx(gpu.compute_capability):
        pytest.skip(f'TensorRT-RTX does not run on the {gpu.name} ({gpu.compute_capability})')
    from moe3d_engine.backends.open import open_float32
    from moe3d_engine.backends.openvino_backend import open_openvino
    from moe3d_engine.backends.tensorrt.backend import open_plans
    from moe3d_engine.backends.tensorrt.backend import open_tensorrt
    from moe3d_engine.plans.build import build_plans
    from moe3d_engine.plans.build import BuildOptions
    from moe3d_engine.plans.compiler import CompileOptions
    from moe3d_engine.plans.self_check import compare

    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path))
    options = BuildOptions(runtime, precision, CompileOptions(views=(1, 2, 4)))
    built = build_plans(tiny, options, tmp_path, open_plans=open_plans, open_float32=open_float32)
    assert built.manifest.state == 'checked'

    images = textured_images(4, tiny.input_hw, seed=5)
    ours, theirs = open_tensorrt(tiny), open_openvino(tiny, precision='f32')
    window: list[object] = []
    reference: list[object] = []
    for count in range(8):  # from the third on, graphs are launched
        image = images[count % 4][None]
        window = [*window[-2:], *ours.encode(image)]
        reference = [*reference[-2:], *theirs.encode(image)]
        raw = ours.reconstruct(window, [len(window) - 1])
        expected = theirs.reconstruct(reference, [len(reference) - 1])
        assert compare(expected, raw).abs_rel < (1e-4 if precision == 'fp32' else 1e-2)

    source = (255 * images[:1].transpose(0, 2, 3, 1)).astype(np.uint8)
    fitted, features = ours.encode_sources(source)
    np.testing.assert_array_equal(fitted, source)
    assert np.isfinite(ours.reconstruct(features, [0]).depth).all()
    ours.close()
    theirs.close()
