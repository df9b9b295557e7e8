"""A machine with a GPU, played by doubles of CUDA and TensorRT, and plans for it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
import gc
import importlib.util
from pathlib import Path
import shutil
import sys
from types import ModuleType
from types import SimpleNamespace
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import LEAST_COMPARED
from moe3d_engine.backends.tensorrt.backend import open_tensorrt
from moe3d_engine.backends.tensorrt.backend import TensorRtBackend
from moe3d_engine.errors import EngineError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.plans.gpu import Gpu
from moe3d_engine.plans.manifest import NOT_RUN
from moe3d_engine.plans.manifest import plan_request
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import write_manifest
from moe3d_engine.types import Float32Array
import pytest

GPU = Gpu('Double', '8.9')
VIEWS = (1, 2, 4)
VERSION = '10.3.0'  # of tensorrt
SOURCE_HW = ((32, 32), (480, 640), (480, 640))  # least, usual and largest camera image
WritePlans = Callable[..., Path]


def load(name: str) -> ModuleType:
    """Return a module of this folder, which is no package."""
    if name not in sys.modules:
        path = Path(__file__).with_name(f'{name}.py')
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope='session')
def tensorrt_double() -> ModuleType:
    return load('tensorrt_double')


@pytest.fixture(scope='session')
def cuda_double() -> ModuleType:
    return load('cuda_double')


@pytest.fixture
def images() -> Float32Array:
    """Return three images of the tiny network's size."""
    return textured_images(3, (56, 70))


@pytest.fixture(scope='session')
def sweeping(sweeping_card: Path) -> WeightsCard:
    return find_weights(str(sweeping_card))


@pytest.fixture(scope='session')
def compiled(tiny: WeightsCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the three plans of the tiny network and their reference."""
    return compile_for_double(tiny, tmp_path_factory.mktemp('compiled'))


@pytest.fixture(scope='session')
def compiled_sweeping(sweeping: WeightsCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the four plans of the network that sweeps, and their reference."""
    return compile_for_double(sweeping, tmp_path_factory.mktemp('compiled'))


def compile_for_double(card: WeightsCard, folder: Path) -> Path:
    """Write the plans of a card for the double, and their reference; return their folder."""
    for package in ('tensorrt_rtx', 'cuda.bindings.runtime', 'openvino', 'onnx_ir'):
        pytest.importorskip(package)
    preprocess_graph = pytest.importorskip('moe3d_engine.plans.preprocess_graph')
    from moe3d_engine.backends.open import open_float32
    from moe3d_engine.plans.self_check import write_reference
    import openvino

    double = load('tensorrt_double')
    graphs = {name: card.verified_file(name) for name in card.graphs}
    graphs['preprocess'] = folder / 'preprocess.onnx'
    preprocess_graph.write_preprocess_graph(graphs['preprocess'], card.input_hw)
    for name, graph in graphs.items():
        profile = {}
        views = VIEWS
        if name == 'reconstruct' and card.spec.sweeps:
            views = (LEAST_COMPARED, *VIEWS[1:])
        for port in openvino.Core().read_model(graph).inputs:
            shape = port.get_partial_shape()
            rest = [shape[axis].get_max_length() for axis in range(1, len(shape))]
            least = 1 if port.any_name in {'images', 'publish', 'hint', 'source'} else views[0]
            profile[port.any_name] = [(n, *rest) for n in (least, *views[1:])]
        if name == 'preprocess':
            height, width = card.input_hw
            profile = {
                'source': [(n, *hw, 3) for n, hw in zip(VIEWS, SOURCE_HW, strict=True)],
                'rows': [(height, hw[0]) for hw in SOURCE_HW],
                'columns': [(width, hw[1]) for hw in SOURCE_HW],
            }
        double.write_plan(folder / f'{name}.plan', graph, profile)
    write_reference(card, folder, open_float32)
    return folder


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401
    """Put a GPU, cuda-python and tensorrt into this machine, and an empty cache."""
    for package in ('tensorrt_rtx', 'cuda.bindings.runtime', 'openvino'):
        pytest.importorskip(package)
    double = load('tensorrt_double')
    world = double.World(load('cuda_double').CudaDouble())
    monkeypatch.setitem(sys.modules, 'cuda.bindings.runtime', world.cuda)
    install(world, monkeypatch, 'tensorrt')
    for module in ('backends.tensorrt.usable_plans', 'backends.open'):
        monkeypatch.setattr(f'moe3d_engine.{module}.current_gpu', lambda: GPU)
    monkeypatch.setenv('MOE3D_CACHE', str(tmp_path / 'cache'))
    return world


@pytest.fixture
def use_runtime(
    world: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], SimpleNamespace]:
    """Return a function that installs another runtime in place of `tensorrt`."""
    return partial(install, world, monkeypatch)


def install(
    world: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> SimpleNamespace:
    """Install one of the two runtimes, and take the other away."""
    module: SimpleNamespace = load('tensorrt_double').make_module(world, name)
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    monkeypatch.setitem(sys.modules, 'tensorrt_rtx', None)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def backend(
    world: Any,  # noqa: ANN401
    tiny: WeightsCard,
    write_plans: WritePlans,
) -> Iterator[TensorRtBackend]:
    """Open plans of the tiny network on the double."""
    write_plans()
    backend = open_tensorrt(tiny)
    yield backend
    world.cuda.fails.clear()
    world.cuda.lost = None
    backend.close()


@pytest.fixture
def sweeping_folder(
    world: Any,  # noqa: ANN401
    sweeping: WeightsCard,
    compiled_sweeping: Path,
    tmp_path: Path,
) -> Path:
    """Put the plans of the network that sweeps into the cache; return their folder."""
    return put_plans(sweeping, compiled_sweeping, tmp_path / 'cache')


@pytest.fixture
def refusal(
    world: Any,  # noqa: ANN401
    tiny: WeightsCard,
) -> Callable[..., str]:
    """Return a function that says why the plans in the cache cannot be opened."""

    def refuse(kind: type[Moe3dError] = EngineError) -> str:
        with pytest.raises(kind) as caught:
            open_tensorrt(tiny)
        message = str(caught.value)
        del caught
        gc.collect()
        assert world.cuda.in_use() == 0
        assert not world.alive  # no engine, no context
        assert world.num_crashes == 0
        return message

    return refuse


@pytest.fixture
def write_plans(tiny: WeightsCard, compiled: Path, tmp_path: Path) -> WritePlans:
    """Return a function that puts plans into the cache, with changes to their manifest."""
    return partial(put_plans, tiny, compiled, tmp_path / 'cache')


def put_plans(card: WeightsCard, compiled: Path, cache: Path, **changes: Any) -> Path:  # noqa: ANN401
    """Copy the plans of a card into a cache, with changes to their manifest."""
    from moe3d_engine.assets.card import sha256_of

    request = plan_request(
        card, runtime='tensorrt', runtime_version=VERSION, gpu_name=GPU.name,
        compute_capability=GPU.compute_capability, precision='fp32', views=VIEWS,
    )  # fmt: skip
    request = type(request)(**asdict(request) | changes)
    folder = cache / card.name / request.key
    shutil.copytree(compiled, folder)
    plans = {path.stem: path for path in folder.glob('*.plan')}
    manifest = PlanManifest(
        **asdict(request),
        plan_sha256={name: sha256_of(path) for name, path in plans.items()},
        plan_bytes={name: path.stat().st_size for name, path in plans.items()},
        state=NOT_RUN,
        self_check=None,
        created_by='a test',
    )
    write_manifest(manifest, folder)
    return folder
