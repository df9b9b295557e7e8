"""OpenVINO on the CPU: the default backend where there is no NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
from itertools import product
import json
import logging
import os
import platform
from typing import Any
from typing import TYPE_CHECKING

from moe3d_engine.array_backend import ArrayBackend
from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import CAMERAS
from moe3d_engine.assets.card import DECODER
from moe3d_engine.backend import CAMERA_INPUTS
from moe3d_engine.backend import check_images
from moe3d_engine.backend import views_of
from moe3d_engine.backends.openvino_cache import kept_graph
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError
from moe3d_engine.types import Float32Array
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from openvino import Core
    from openvino import InferRequest
    from openvino import Model

_LOGGER = logging.getLogger(__name__)
PRECISIONS = ('auto', 'f32', 'bf16')
X86 = ('x86_64', 'AMD64')
MOST_BYTES_TWICE = 100_000_000  # of a graph that is compiled twice; a larger one is for any window
WITH_BF16 = ('AVX512_CORE_BF16', 'AVX512_CORE_FP16', 'AVX512_CORE_AMX', 'AVX10')
# What the CPU plugin computes in bf16 whatever comes after it.
_NARROWED = frozenset(
    {'Convolution', 'ConvolutionBackpropData', 'GroupConvolution', 'Interpolate', 'MatMul'}
)


class OpenVinoBackend(ArrayBackend):
    """
    The ONNX graphs, compiled for this CPU; features are numpy arrays by name.

    Parameters
    ----------
    card : the weights.
    requests : infer requests of the compiled graphs by role, for any window; used by one thread.
    of_streams : of those that are also compiled for the shapes of a stream, see `stream_shapes`.
    precision : of the arithmetic, `f32` or `bf16`.
    """

    name = 'openvino'

    def __init__(
        self,
        card: WeightsCard,
        requests: Mapping[str, InferRequest],
        of_streams: Mapping[str, InferRequest],
        precision: str = 'f32',
    ) -> None:
        self.spec = card.spec
        self.precision = precision
        self._requests = dict(requests)
        self._of_streams = dict(of_streams)
        self._inputs = {
            role: {port.any_name for port in request.model_inputs}
            for role, request in requests.items()
        }
        self._stream_shapes = {
            role: {port.any_name: tuple(port.shape) for port in request.model_inputs}
            for role, request in of_streams.items()
        }

    def encode(self, images: Float32Array) -> list[object]:
        """Return one dictionary of arrays per view; see `Backend.encode`."""
        check_images(images, self.spec)
        outputs = self._infer('image_encoder', {'images': np.ascontiguousarray(images)})
        return views_of(outputs, len(images))

    def close(self) -> None:
        """Release the compiled graphs; a second call does nothing."""
        self._requests.clear()
        self._of_streams.clear()

    def _infer(self, graph: str, inputs: dict[str, Any]) -> dict[str, Float32Array]:
        """Run a graph on the inputs that it takes; return copies of its outputs by name."""
        if not self._requests:
            raise BackendError(
                f'The openvino backend of {self.spec.name} is closed; open another one.'
            )
        needed = {name: inputs[name] for name in self._inputs[graph]}
        shapes = {name: np.shape(values) for name, values in needed.items()}
        is_of_stream = shapes == self._stream_shapes.get(graph)
        request = (self._of_streams if is_of_stream else self._requests)[graph]
        try:
            outputs = request.infer(needed, share_inputs=True, share_outputs=False)
        except RuntimeError as error:
            raise BackendError(f'OpenVINO failed in the graph {graph}: {error}') from error
        return {port.any_name: values for port, values in outputs.items() if port.names}


def best_precision(machine: str, capabilities: Sequence[str], max_isa: str = '') -> str:
    """
    Return bf16 for an x86 that computes it natively; on ARM it was never compared, so f32.

    Parameters
    ----------
    machine, capabilities : of the CPU.
    max_isa : value of ONEDNN_MAX_CPU_ISA, which holds the kernels down but not what the plugin
        says of the CPU: it then fails to compile in bf16.
    """
    native = machine in X86 and 'BF16' in capabilities
    held_down = max_isa.upper() not in ('', 'ALL', 'DEFAULT') and not max_isa.upper().startswith(
        WITH_BF16
    )
    return 'bf16' if native and not held_down else 'f32'


def precision_here(capabilities: Sequence[str]) -> str:
    """Return what `auto` means in this process for OpenVINO's list of the CPU's capabilities."""
    max_isa = os.environ.get('ONEDNN_MAX_CPU_ISA', '')
    return best_precision(platform.machine(), capabilities, max_isa)


def open_openvino(
    card: WeightsCard,
    *,
    threads: int | None = None,
    precision: str = 'auto',
    keep: bool = True,
) -> OpenVinoBackend:
    """
    Compile the graphs of a card for this CPU, or load what an earlier run has compiled.

    Compiled graphs are kept in `openvino/` of `assets.cache.cache_folder`. OpenVINO's own key
    knows neither precision nor threads (2026.4: a graph kept in f32 and opened in bf16 gives NaN
    or crashes), so each combination of graph, settings, CPU and version has a folder of its own.
    A kept graph is loaded only if its hash is right, see `openvino_cache`.

    Parameters
    ----------
    card : the weights.
    threads : CPU threads; None leaves the number to OpenVINO.
    precision : `bf16` or `f32` arithmetic; `auto` is bf16 where the CPU is an x86 that computes it
        natively.
    keep : False compiles whatever was kept, and keeps nothing: for what others are compared with.

    Raises
    ------
    ConfigError
        If the precision is unknown.
    CheckpointError
        If a graph is missing or corrupt.
    BackendError
        If openvino is not installed or cannot compile a graph.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f'There is no precision {precision!r}; choose one of {", ".join(PRECISIONS)}.'
        )
    try:
        import openvino
    except ImportError as error:
        raise BackendError(
            'The backend openvino needs the package openvino, which is not installed. Install '
            'it: pip install openvino'
        ) from error
    core = openvino.Core()
    capabilities = core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    if precision == 'auto':
        precision = precision_here(capabilities)
    settings: dict[str, Any] = {
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': 1,
        'INFERENCE_PRECISION_HINT': precision,
    }
    if threads is not None:
        settings['INFERENCE_NUM_THREADS'] = threads
    _LOGGER.info('OpenVINO computes %s in %s.', card.name, precision)
    machine = [openvino.__version__, core.get_property('CPU', 'FULL_DEVICE_NAME'), *capabilities]
    requests: dict[str, dict[str, InferRequest]] = {'any': {}, 'stream': {}}
    for graph, shapes in product(card.graphs, requests):
        path = card.verified_file(graph)
        if shapes == 'stream' and (graph == CAMERAS or path.stat().st_size > MOST_BYTES_TWICE):
            continue
        max_views = card.max_views if shapes == 'stream' else None
        is_exact = card.spec.sweeps and graph == DECODER and precision != 'f32'
        key = [card.files[graph].sha256, shapes, settings, *machine]
        with kept_graph(_cache_key(key) if keep else None) as kept:
            try:
                model = _model(core, path, max_views, is_exact=is_exact)
                compiled = core.compile_model(model, 'CPU', settings | kept)
            except RuntimeError as error:
                raise BackendError(f'OpenVINO cannot compile {path}: {error}') from error
        requests[shapes][graph] = compiled.create_infer_request()
    return OpenVinoBackend(card, requests['any'], requests['stream'], precision)


def _model(core: Core, path: Path, max_views: int | None, *, is_exact: bool) -> Path | Model:
    """
    Return what is compiled: a file as it is, unread if its graph was kept, or what is made of it.

    Parameters
    ----------
    max_views : of the stream whose shapes are fixed; None = any window.
    is_exact : see `with_exact_geometry`.
    """
    if max_views is None and not is_exact:
        return path
    model = core.read_model(path)
    if max_views is not None:
        model.reshape(stream_shapes(model, max_views))
    return with_exact_geometry(model) if is_exact else model


def stream_shapes(model: Model, max_views: int) -> dict[str, list[int]]:
    """
    Return the shapes of a graph's inputs in a stream: a view comes, one of a full window goes out.

    What is compiled for fixed shapes fuses more: see docs/engine.md for what that saves.
    """
    shapes = {}
    for port in model.inputs:
        leading = 1 if port.any_name in ('images', 'publish', 'hint') else max_views
        shape = [side.get_length() if side.is_static else leading for side in port.partial_shape]
        shapes[port.any_name] = shape
    return shapes


def with_exact_geometry(model: Model) -> Model:
    """
    Return the graph `reconstruct` of a sweeping network so that bf16 keeps its geometry float32.

    The CPU plugin leaves in float32 what reaches an output without a convolution, a product or a
    resize in between (2026.1 to 2026.4). So a number of each input of such an operator becomes an
    output, nameless, wherever it follows from the cameras: coordinates, matches, paths, depth.
    """
    from openvino import Model
    from openvino import opset13 as ops

    waiting = [port.get_node() for port in model.inputs if port.any_name in CAMERA_INPUTS]
    following = {}
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() in following:
            continue
        following[node.get_friendly_name()] = node
        waiting += [t.get_node() for port in node.outputs() for t in port.get_target_inputs()]
    values = {}
    for node in following.values():
        for port in node.inputs() if node.get_type_name() in _NARROWED else ():
            value = port.get_source_output()
            source = value.get_node()
            if source.get_friendly_name() in following and source.get_type_name() not in _NARROWED:
                values[source.get_friendly_name(), value.get_index()] = value
    results = []
    for (name, index), value in sorted(values.items()):
        first = np.zeros(value.get_partial_shape().rank.get_length(), np.int64)
        bounds = [ops.constant(first), *(ops.constant(first + 1) for _ in range(2))]
        one = ops.slice(value, *bounds)
        nodes = [*bounds, one, ops.result(one)]
        for number, node in enumerate(nodes):  # names of its own would hide what was kept
            node.set_friendly_name(f'exact {name} {index} {number}')
        results.append(nodes[-1])
    return Model([*model.get_results(), *results], model.get_parameters())


def _cache_key(compiled_for: Sequence[object]) -> str:
    """Return a name for a graph and everything that it is compiled for."""
    key = json.dumps(compiled_for, sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:32]
