"""What can go wrong with plans on a GPU: each is refused with what to do, and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import shutil
import sys
from types import ModuleType
from typing import Any

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backends.tensorrt.backend import open_plans
from moe3d_engine.backends.tensorrt.backend import open_tensorrt
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ShapeError
from moe3d_engine.plans.gpu import Gpu
from moe3d_engine.plans.manifest import read_manifest
from moe3d_engine.types import Float32Array
import pytest

World = Any  # of tensorrt_double.py, which is loaded by conftest.py
WritePlans = Callable[..., Path]
Refusal = Callable[..., str]


def rehash(folder: Path) -> None:
    """Write the true hashes of altered plans to their manifest."""
    from moe3d_engine.assets.card import sha256_of

    path = folder / 'manifest.json'
    content = json.loads(path.read_text())
    for plan in folder.glob('*.plan'):
        content['plan_sha256'][plan.stem] = sha256_of(plan)
        content['plan_bytes'][plan.stem] = plan.stat().st_size
    path.write_text(json.dumps(content))


class TestNothingToRunOn:
    def test_without_a_gpu(self, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = 'moe3d_engine.backends.tensorrt.usable_plans.current_gpu'
        monkeypatch.setattr(seen, lambda: None)

        message = refusal(BackendError)

        assert 'No NVIDIA GPU is to be seen (look at nvidia-smi)' in message
        assert 'openvino' in message

    def test_without_tensorrt(self, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, 'tensorrt', None)

        message = refusal()

        assert (
            'pip install "tensorrt>=10.3,<12"; for CUDA 12: "tensorrt-cu12>=10.3,<12"' in message
        )

    @pytest.mark.usefixtures('write_plans')
    def test_tensorrt_rtx_alone_on_a_gpu_that_it_does_not_support(
        self,
        refusal: Refusal,
        use_runtime: Callable[[str], Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        use_runtime('tensorrt_rtx')
        seen = 'moe3d_engine.backends.tensorrt.usable_plans.current_gpu'
        monkeypatch.setattr(seen, lambda: Gpu('H100', '9.0'))

        message = refusal()

        assert 'package tensorrt cannot be imported' in message
        assert 'moe3d build moe3d' not in message  # its plans could not run here

    def test_without_cuda_python(
        self,
        refusal: Refusal,
        write_plans: WritePlans,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        write_plans()
        monkeypatch.setitem(sys.modules, 'cuda.bindings.runtime', None)
        monkeypatch.setitem(sys.modules, 'cuda.cudart', None)

        message = refusal(BackendError)

        assert 'package cuda-python cannot be imported' in message
        assert 'pip install "cuda-python<13" for CUDA 12' in message

    def test_with_a_driver_that_is_too_old(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.cuda.fails['cudaSetDevice'] = world.cuda.cudaError_t.cudaErrorInsufficientDriver

        message = refusal(BackendError)

        assert 'could not start: cudaErrorInsufficientDriver (35)' in message
        assert 'pip install "cuda-python<13" for CUDA 12' in message

    def test_without_plans(self, refusal: Refusal) -> None:
        message = refusal()

        assert 'There are no plans of tiny' in message
        assert 'tiny.json --precision fp16 --views 1 4 4`' in message


class TestPlansThatDoNotFit:
    @pytest.mark.parametrize(
        ('changes', 'sentence'),
        [
            ({'runtime_version': '10.4.0'}, 'are tensorrt 10.4.0, expected tensorrt 10.3.0'),
            ({'runtime': 'tensorrt_rtx'}, 'are tensorrt_rtx 10.3.0, expected tensorrt 10.3.0'),
            ({'gpu_name': 'Orin'}, 'were built on Orin, this GPU is Double (8.9)'),
            ({'compute_capability': '8.7'}, 'compute capability 8.7, this GPU is Double (8.9)'),
            ({'weights_sha256': 'f' * 64}, 'weights are tiny ffffffffffff..., expected tiny'),
            ({'onnx_sha256': {'reconstruct': '0' * 64}}, 'ONNX graphs are 000000000000...'),
            ({'input_hw': (98, 98)}, 'are (98, 98), expected (56, 70)'),
            ({'views': (2, 2, 4)}, 'They take 2 to 4 views'),
        ],
    )
    def test_are_refused_with_the_command_that_mends_it(
        self,
        changes: dict[str, Any],
        sentence: str,
        refusal: Refusal,
        write_plans: WritePlans,
    ) -> None:
        write_plans(**changes)

        message = refusal()

        assert sentence in message
        assert 'tiny.json --precision fp32 --views 1 4 4`' in message

    def test_plans_of_fewer_views_are_used_for_these(
        self, world: World, tiny: WeightsCard, write_plans: WritePlans, images: Float32Array
    ) -> None:
        folder = write_plans(views=(1, 2, 2))
        for path in folder.glob('*.plan'):
            magic, text = path.read_bytes().split(b'\n')
            plan = json.loads(text)
            for name in plan['profile'].keys() - {'rows', 'columns'}:
                plan['profile'][name][2][0] = 2
            path.write_bytes(magic + b'\n' + json.dumps(plan).encode())
        rehash(folder)
        backend = open_tensorrt(tiny)

        assert backend.spec.max_views == 2
        with pytest.raises(ShapeError, match='encodes 1 to 2 images at once; got 3'):
            backend.encode(images)
        backend.close()

    def test_plans_of_another_size_than_their_manifest_says_are_refused(
        self, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans(views=(1, 2, 3))

        message = refusal()

        assert 'is not one of tiny: its ' in message
        assert '(4, 56, 70, 3) of uint8, expected is an output (3, 56, 70, 3) of uint8' in message
        assert 'moe3d build' in message

    def test_plans_of_another_graph_are_refused(
        self, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        folder = write_plans()
        shutil.copy(folder / 'image_encoder.plan', folder / 'reconstruct.plan')
        rehash(folder)

        assert 'reconstruct is not one of tiny: its agreement is missing' in refusal()

    def test_plans_with_inputs_in_16_bits_are_refused(
        self,
        refusal: Refusal,
        write_plans: WritePlans,
        tensorrt_double: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        write_plans()
        half = tensorrt_double.real.DataType.HALF
        monkeypatch.setattr(
            tensorrt_double.EngineDouble, 'get_tensor_dtype', lambda self, name: half
        )

        message = refusal()

        assert 'has the type HALF; expected one of FLOAT, INT64, UINT8' in message


class TestDamagedPlans:
    def test_missing(self, refusal: Refusal, write_plans: WritePlans) -> None:
        (write_plans() / 'reconstruct.plan').unlink()

        message = refusal()

        assert 'reconstruct.plan is missing. Build it again: `moe3d build' in message

    def test_truncated(self, refusal: Refusal, write_plans: WritePlans) -> None:
        path = write_plans() / 'image_encoder.plan'
        path.write_bytes(path.read_bytes()[:-1])

        message = refusal()

        assert 'image_encoder.plan is truncated or altered' in message
        assert 'Build it again: `moe3d build' in message

    def test_altered(self, refusal: Refusal, write_plans: WritePlans) -> None:
        path = write_plans() / 'preprocess.plan'
        content = bytearray(path.read_bytes())
        content[0] ^= 1
        path.write_bytes(content)

        message = refusal()

        assert 'preprocess.plan is corrupt: its sha256 is not the one' in message
        assert 'Build it again: `moe3d build' in message

    def test_of_the_right_hash_that_the_runtime_cannot_read(
        self, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        folder = write_plans()
        (folder / 'reconstruct.plan').write_bytes(b'of another version')
        rehash(folder)

        message = refusal()

        assert 'tensorrt 10.3.0 cannot read the plan' in message
        assert 'the magic tag of the plan is wrong' in message
        assert f'Delete {folder} and run moe3d build' in message

    def test_without_a_reference(self, refusal: Refusal, write_plans: WritePlans) -> None:
        (write_plans() / 'reference.npz').unlink()

        assert 'self-check is missing or corrupt' in refusal()

    def test_with_a_corrupt_manifest(self, refusal: Refusal, write_plans: WritePlans) -> None:
        (write_plans() / 'manifest.json').write_text('{')

        assert 'There are no plans of tiny' in refusal()


class TestWrongNumbers:
    def test_wrong_depth_is_refused_when_plans_are_opened(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        def distort(plan: str, outputs: dict[str, Any]) -> None:
            if plan == 'reconstruct':
                outputs['depth'] *= 1.01

        write_plans()
        world.distort = distort

        message = refusal()

        assert 'tensorrt (fp32) computes something else than the network of tiny' in message
        assert 'abs_rel 0.01 (at most 0.0001)' in message
        assert 'It must not be used' in message

    def test_views_in_the_wrong_order_are_refused(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        def distort(plan: str, outputs: dict[str, Any]) -> None:
            if plan == 'image_encoder':
                for name, values in outputs.items():
                    outputs[name] = values[::-1]

        write_plans()
        world.distort = distort

        assert 'computes something else' in refusal()

    @pytest.mark.parametrize(('name', 'error'), [('fitted', 2), ('images', 0.01)])
    def test_camera_images_that_are_fitted_wrongly_are_refused(
        self, name: str, error: float, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        def distort(plan: str, outputs: dict[str, Any]) -> None:
            if plan == 'preprocess':
                outputs[name] = (outputs[name] + error).astype(outputs[name].dtype)

        write_plans()
        world.distort = distort

        message = refusal()

        assert 'The plan preprocess fits camera images to tiny wrongly' in message
        assert 'must not be used' in message


def test_new_plans_are_opened_for_the_self_check_of_a_build(
    world: World, tiny: WeightsCard, write_plans: WritePlans
) -> None:
    folder = write_plans()

    backend = open_plans(tiny, folder, read_manifest(folder))

    assert backend.spec.max_views == 4
    backend.close()
    assert world.cuda.in_use() == 0
