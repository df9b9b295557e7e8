"""From a card to plans in the cache: convert, compile, check, and only then keep."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
import shutil
import threading
import time
from typing import Any
from typing import NamedTuple

from moe3d_engine.assets.card import DECODER
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.backend import Backend
from moe3d_engine.backend import LEAST_COMPARED
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.reference import REFERENCE_VIEWS
from moe3d_engine.plans.compiler import compile_graph
from moe3d_engine.plans.compiler import CompileOptions
from moe3d_engine.plans.compiler import import_runtime
from moe3d_engine.plans.compiler import peak_memory_bytes
from moe3d_engine.plans.gpu import current_gpu
from moe3d_engine.plans.manifest import CHECKED
from moe3d_engine.plans.manifest import graph_role
from moe3d_engine.plans.manifest import NOT_RUN
from moe3d_engine.plans.manifest import plan_request
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import PlanRequest
from moe3d_engine.plans.manifest import plans_of
from moe3d_engine.plans.manifest import PREPROCESS
from moe3d_engine.plans.manifest import write_manifest
from moe3d_engine.plans.self_check import check_backend
from moe3d_engine.plans.self_check import read_reference
from moe3d_engine.plans.self_check import write_reference
from moe3d_engine.plans.store import build_lock
from moe3d_engine.plans.store import new_plans
from moe3d_engine.plans.store import plan_folder
from moe3d_engine.plans.store import stored_plans

CONVERTIBLE = ('fp16', 'bf16')  # from the float32 graphs, without images to calibrate on
PACKAGES = {'onnx': 'onnx', 'onnx_ir': 'onnx-ir', 'ml_dtypes': 'ml_dtypes'}  # as pip calls them
Report = Callable[[str, float, str], None]  # graph, share of it that is done, phase
OpenPlans = Callable[[WeightsCard, Path, PlanManifest], Backend]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """
    What to build: runtime, precision, and what the compiler is told.

    `accumulation` is `float32`, or `float16` for plans in fp16 that may add products up in fp16.
    """

    runtime: str
    precision: str
    compile: CompileOptions
    accumulation: str = 'float32'


class Built(NamedTuple):
    """Plans in the cache; `seconds` is 0 where they were there already."""

    folder: Path
    manifest: PlanManifest
    seconds: float
    peak_memory_bytes: int


def build_plans(
    card: WeightsCard,
    options: BuildOptions,
    cache: Path,
    *,
    open_plans: OpenPlans | None,
    open_float32: Callable[[WeightsCard], Backend],
    report: Report | None = None,
    cancel: threading.Event | None = None,
) -> Built:
    """
    Return the plans of a card's weights, built unless the cache has exactly these.

    Parameters
    ----------
    cache : folder of all plans, such as `assets.cache.cache_folder()`.
    open_plans : opens plans in a folder for the self-check; None where no GPU can run them.
    open_float32 : opens what the plans are compared with, such as `backends.open_float32`.
    report : is called with the progress, from another thread.
    cancel : stops the build once it is set.

    Raises
    ------
    ConfigError
        If the options do not fit the weights or the runtime.
    CheckpointError
        If a file of the weights is missing or corrupt.
    EngineError
        If the runtime or a package is missing, the runtime fails, the plans compute something
        wrong, or they cannot be written. Nothing is left of them then.
    """
    check_views(card, options.compile.views)
    _check_precision(card, options)
    trt = import_runtime(options.runtime)
    _check_packages()
    request = _request(card, options, str(trt.__version__))
    with build_lock(cache):
        manifest = stored_plans(request, cache)
        if manifest is not None:
            return Built(plan_folder(request, cache), manifest, 0.0, peak_memory_bytes())
        start = time.perf_counter()
        with new_plans(request, cache) as folder:
            least, _, most = options.compile.views
            write_reference(card, folder, open_float32, min(max(REFERENCE_VIEWS, least), most))
            for graph in plans_of(card):
                _compile(trt, card, graph, options, folder, report, cancel)
            manifest = _manifest(request, plans_of(card), folder)
            if open_plans is not None:
                figures = _self_check(card, folder, manifest, open_plans)
                changes: dict[str, Any] = {'state': CHECKED, 'self_check': figures}
                manifest = PlanManifest(**asdict(manifest) | changes)
            write_manifest(manifest, folder)
    seconds = time.perf_counter() - start
    return Built(plan_folder(request, cache), manifest, seconds, peak_memory_bytes())


def check_views(card: WeightsCard, views: tuple[int, int, int]) -> None:
    """
    Check that the views are in order and within what the weights allow.

    Raises
    ------
    ConfigError
        If they are not.
    """
    least, usual, most = views
    if not 1 <= least <= usual <= most <= card.max_views:
        raise ConfigError(
            f'Views are given as least, most usual and most, from 1 to {card.max_views} for '
            f'{card.name}; got {least} {usual} {most}.'
        )


def _check_packages() -> None:
    """Raise unless graphs can be written here."""
    missing = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise EngineError(
            f'Graphs cannot be made ready for the compiler without {", ".join(missing)}. Install: '
            f'pip install {" ".join(missing)}'
        )


def _check_precision(card: WeightsCard, options: BuildOptions) -> None:
    """Raise unless there are graphs of a precision, or they can be made."""
    precision = options.precision
    if options.accumulation != 'float32' and precision != 'fp16':
        raise ConfigError(
            f'Only products of fp16 can add up in {options.accumulation}; the precision is '
            f'{precision}. Leave --accumulation out.'
        )
    if precision == 'fp32' or precision in CONVERTIBLE:
        return
    if any(graph_role(card, graph, precision) == graph for graph in card.graphs):
        raise ConfigError(
            f'The weights {card.name} have no graphs in {precision}, which needs images to '
            f'calibrate on. Make them with `moe3d export --precision {precision}`.'
        )


def _request(card: WeightsCard, options: BuildOptions, version: str) -> PlanRequest:
    """Return what is to be built, for this GPU if the runtime builds for one."""
    name, capability = '', ','.join(options.compile.rtx_targets)
    if options.runtime == 'tensorrt':
        gpu = current_gpu()
        if gpu is None:
            raise EngineError(
                'tensorrt builds plans on the GPU that they are for, and no NVIDIA GPU is to be '
                'seen here (look at nvidia-smi). `moe3d build --rtx` compiles without one.'
            )
        name, capability = gpu
    return plan_request(
        card,
        runtime=options.runtime,
        runtime_version=version,
        gpu_name=name,
        compute_capability=capability,
        precision=options.precision,
        accumulation=options.accumulation,
        views=options.compile.views,
        hardware_compatibility=options.compile.hardware_compatibility,
    )


def _compile(
    trt: Any,  # noqa: ANN401
    card: WeightsCard,
    graph: str,
    options: BuildOptions,
    folder: Path,
    report: Report | None,
    cancel: threading.Event | None,
) -> None:
    """Write `<graph>.plan`; its graph is made or converted first where it must be."""
    converted = folder / 'converted'
    converted.mkdir()
    source, shapes = converted / f'{graph}.onnx', {}
    if graph == PREPROCESS:
        from moe3d_engine.plans.preprocess_graph import input_shapes
        from moe3d_engine.plans.preprocess_graph import write_preprocess_graph

        write_preprocess_graph(source, card.input_hw)
        shapes = input_shapes(card.input_hw, options.compile.views)
    else:
        source = _graph_to_compile(card, graph, options, source)

    def progress(share: float, phase: str) -> None:
        if report is not None:
            report(graph, share, phase)

    plan, compile_options = folder / f'{graph}.plan', options.compile
    if card.spec.sweeps and graph == DECODER:
        least, usual, most = (max(views, LEAST_COMPARED) for views in compile_options.views)
        compile_options = replace(compile_options, views=(least, usual, most))
    compile_graph(trt, source, plan, compile_options, shapes, progress, cancel)
    shutil.rmtree(converted)


def _graph_to_compile(card: WeightsCard, graph: str, options: BuildOptions, out: Path) -> Path:
    """Return a graph of a precision: as it was exported, or made from the float32 one in `out`."""
    role = graph_role(card, graph, options.precision)
    if role == graph or options.accumulation != 'float32':
        source = card.verified_file(graph)
        if options.precision in CONVERTIBLE:
            from moe3d_engine.graphs.precision import convert_graph

            convert_graph(source, options.precision, out, accumulation=options.accumulation)
        else:
            from moe3d_engine.graphs.static_shapes import write_folded

            write_folded(source, out)
        return out
    return card.verified_file(role)


def _manifest(request: PlanRequest, plans: Sequence[str], folder: Path) -> PlanManifest:
    """Return the manifest of plans that were written but not run."""
    paths = {plan: folder / f'{plan}.plan' for plan in plans}
    return PlanManifest(
        **asdict(request),
        plan_sha256={plan: sha256_of(path) for plan, path in paths.items()},
        plan_bytes={plan: path.stat().st_size for plan, path in paths.items()},
        state=NOT_RUN,
        self_check=None,
        created_by=request.command,
    )


def _self_check(
    card: WeightsCard, folder: Path, manifest: PlanManifest, open_plans: OpenPlans
) -> dict[str, float]:
    """Run the new plans on the reference and return the figures; raise if they are wrong."""
    backend = open_plans(card, folder, manifest)
    try:
        return asdict(check_backend(backend, read_reference(folder), manifest.precision))
    finally:
        backend.close()
