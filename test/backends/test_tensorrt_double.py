"""The doubles offer nothing that NVIDIA's modules lack, with the same names and arguments."""

from __future__ import annotations

import inspect
from pathlib import Path
import re
import subprocess
import sys
from types import ModuleType
from typing import Any

from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.gpu import current_gpu
import pytest

real_trt = pytest.importorskip('tensorrt_rtx')
real_cuda = pytest.importorskip('cuda.bindings.runtime')

CLASSES = {
    'RuntimeDouble': 'Runtime',
    'EngineDouble': 'ICudaEngine',
    'ConfigDouble': 'IRuntimeConfig',
    'ContextDouble': 'IExecutionContext',
}
# TensorRT's own bindings without builder and parser. A Runtime of theirs must not be made in this
# process: without a driver it is broken.
LEAN = 'tensorrt_lean_bindings'


def public(kind: type) -> dict[str, Any]:
    """Return what a class of the doubles offers to the backend."""
    return {name: value for name, value in vars(kind).items() if not name.startswith('_')}


def real_arguments(function: Any) -> list[list[str]]:  # noqa: ANN401
    """Return the names of the arguments of each overload, as pybind11 has written them down."""
    signatures = re.findall(
        rf'^(?:\d+\. )?{function.__name__}\((.*)\) -> ', function.__doc__, re.M
    )
    return [
        re.findall(r'(?:^|, )(\w+): ', signature)[1:]  # without self
        for signature in signatures
        if signature != '*args, **kwargs'
    ]


@pytest.mark.parametrize('module', ['tensorrt_rtx', LEAN])
@pytest.mark.parametrize('name', CLASSES)
def test_tensorrt_has_the_methods_and_arguments_of_the_double(
    name: str, module: str, tensorrt_double: ModuleType
) -> None:
    real = getattr(pytest.importorskip(module), CLASSES[name])
    offered = public(getattr(tensorrt_double, name))
    if module == LEAN:  # these are of TensorRT-RTX alone
        offered.pop('cuda_graph_strategy', None)
        offered.pop('dynamic_shapes_kernel_specialization_strategy', None)

    assert offered
    for attribute, value in offered.items():
        found = getattr(real, attribute)
        assert callable(value) == callable(found), attribute
        if callable(value):
            arguments = list(inspect.signature(value).parameters)[1:]
            assert arguments in real_arguments(found), attribute


def test_runtime_is_made_with_a_logger(tensorrt_double: ModuleType) -> None:
    double = tensorrt_double.RuntimeDouble.__init__

    assert list(inspect.signature(double).parameters)[1:] in real_arguments(
        real_trt.Runtime.__init__
    )


def test_broken_runtime_of_tensorrt_is_refused_and_does_not_end_the_process() -> None:
    pytest.importorskip(LEAN)
    if current_gpu() is not None:
        pytest.skip('there is a GPU, so the runtime is not broken')
    code = (
        f'import gc, {LEAN} as trt\n'
        'from moe3d_engine.backends.tensorrt.runtime import TensorRtRuntime\n'
        'try:\n'
        '    TensorRtRuntime(trt)\n'
        'except Exception as error:\n'
        '    print(error)\n'
        'gc.collect()'
    )

    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert f'{LEAN} 11.4' in result.stdout
    assert 'cannot start: createInferRuntime' in result.stdout
    assert 'driver version is insufficient' in result.stdout


def test_tensorrt_has_no_graphs_of_its_own_so_that_the_backend_captures() -> None:
    lean = pytest.importorskip(LEAN)

    assert not hasattr(lean, 'CudaGraphStrategy')
    assert 'USER_MANAGED' in lean.ExecutionContextAllocationStrategy.__members__


@pytest.mark.parametrize('name', ['tensorrt', 'tensorrt_rtx'])
def test_modules_of_the_double_have_what_the_real_one_has(
    name: str, tensorrt_double: ModuleType
) -> None:
    module = tensorrt_double.make_module(None, name)

    for attribute, value in vars(module).items():
        if attribute not in {'Runtime', '__name__', '__version__'}:
            assert value is getattr(real_trt, attribute)


def test_cuda_has_the_functions_and_arguments_of_the_double(cuda_double: ModuleType) -> None:
    offered = {n: v for n, v in public(cuda_double.CudaDouble).items() if n.startswith('cuda')}

    assert len(offered) > 15
    for name, value in offered.items():
        found = getattr(real_cuda, name)
        if inspect.isfunction(value):
            expected = list(inspect.signature(found).parameters)
            assert list(inspect.signature(value).parameters)[1:] == expected, name
        else:
            assert value is found or value == found, name


def test_functions_of_cuda_return_as_many_values_as_the_double(cuda_double: ModuleType) -> None:
    double = cuda_double.CudaDouble()
    _, stream = double.cudaStreamCreateWithFlags(real_cuda.cudaStreamNonBlocking)
    pairs = {
        'cudaSetDevice': (0,),
        'cudaGetLastError': (),
        'cudaMalloc': (8,),
        'cudaMallocHost': (8,),
        'cudaStreamCreateWithFlags': (real_cuda.cudaStreamNonBlocking,),
    }
    for name, arguments in pairs.items():
        returned = getattr(real_cuda, name)(*arguments)
        assert len(returned) == len(getattr(double, name)(*arguments)), name
        assert isinstance(returned[0], real_cuda.cudaError_t)
    assert double.cudaStreamSynchronize(stream) == (real_cuda.cudaError_t.cudaSuccess,)


@pytest.mark.skipif(current_gpu() is not None, reason='there is a GPU')
def test_real_cuda_without_a_driver_is_refused_with_what_to_install() -> None:
    from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda
    from moe3d_engine.backends.tensorrt.cuda_buffers import import_cuda

    with pytest.raises(BackendError, match=r'could not start: .*pip install "cuda-python'):
        Cuda(import_cuda())


@pytest.mark.skipif(sys.platform != 'linux', reason='wheels exist for Linux only')
def test_real_runtime_refuses_a_plan_that_is_none(tmp_path: Path) -> None:
    from moe3d_engine.backends.tensorrt.runtime import TensorRtRuntime

    path = tmp_path / 'reconstruct.plan'
    path.write_bytes(b'no plan' * 100)

    with pytest.raises(EngineError, match=r'tensorrt_rtx .* cannot read the plan .+: .+ Delete'):
        TensorRtRuntime(real_trt).load(path)
