"""
From one ONNX graph to one plan: all that is said to NVIDIA's builder.

`tensorrt` 10.3 to 11 and `tensorrt_rtx` have the same interface here. Precision is a matter of the
graph, which is strongly typed. What a version lacks is found by looking for it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
import logging
import os
from pathlib import Path
import resource
import sys
import threading
from types import MappingProxyType
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.nvidia_log import keep_broken
from moe3d_engine.plans.nvidia_log import log_of
from moe3d_engine.plans.nvidia_log import LOST_ADVICE
from moe3d_engine.plans.nvidia_log import lost_gpu
from moe3d_engine.plans.nvidia_log import ran_out_of_memory

_LOGGER = logging.getLogger(__name__)
_GIB = 1 << 30
_SINGLE_INPUTS = ('images', 'publish', 'hint')  # mostly one view at a time: the newest of a window
_MISSING = {
    'tensorrt': (
        'The package tensorrt cannot be imported ({error}). With a desktop or server GPU and a '
        'driver for CUDA 13 (nvidia-smi shows it): pip install "tensorrt>=10.3,<12"; for CUDA 12: '
        '"tensorrt-cu12>=10.3,<12". On a Jetson it comes with JetPack (apt install '
        'python3-libnvinfer; make the environment with --system-site-packages). Without a GPU '
        '`moe3d build --rtx` compiles with TensorRT-RTX.'
    ),
    'tensorrt_rtx': (
        'The package tensorrt_rtx cannot be imported ({error}). Install it (a download of 95 MB, '
        'x86-64 only): pip install tensorrt-rtx'
    ),
}

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
Progress = Callable[[float, str], None]  # share that is done, in [0, 1], and what is being done


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """
    What the builder may choose from.

    Parameters
    ----------
    views : least, most usual and most views of a window.
    memory_gib : most scratch memory of a kernel on the GPU, in GiB; None leaves it to the builder.
    hardware_compatibility : `none`, `same_sm` or `ampere+`.
    rtx_targets : compute capabilities such as `8.6` for TensorRT-RTX; empty is its default.
    timing_cache : file with timings of earlier builds; read if it exists, written afterwards.
    """

    views: tuple[int, int, int]
    memory_gib: float | None = None
    hardware_compatibility: str = 'none'
    rtx_targets: tuple[str, ...] = ()
    timing_cache: Path | None = None


def import_runtime(name: str) -> Any:  # noqa: ANN401 (a module without types)
    """
    Return the module `tensorrt` or `tensorrt_rtx`.

    Raises
    ------
    EngineError
        If it is not installed, or too old.
    """
    try:
        trt = import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        raise EngineError(_MISSING[name].format(error=error)) from error
    if not hasattr(trt, 'IProgressMonitor'):
        raise EngineError(f'{name} {trt.__version__} is too old; 10.3 to 11 are supported.')
    return trt


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far, in bytes of RAM."""
    unit_bytes = 1 if sys.platform == 'darwin' else 1024
    return unit_bytes * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def compile_graph(
    trt: Any,  # noqa: ANN401
    source: Path,
    out: Path,
    options: CompileOptions,
    shapes: Mapping[str, Shapes] = MappingProxyType({}),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> None:
    """
    Compile a graph and write its plan.

    Parameters
    ----------
    trt : what `import_runtime` returned.
    source : ONNX graph; weights beside it are found.
    out : plan to write.
    shapes : least, most usual and largest shape of inputs, by their name. Of all others the first
        axis alone may be dynamic, and is the number of views.
    progress : is called from another thread.
    cancel : stops the build at the builder's next step once it is set.

    Raises
    ------
    ConfigError
        If an option is not to be had with this version.
    EngineError
        If there is no usable GPU, or the graph cannot be parsed or compiled; with all messages.
    KeyboardInterrupt
        If the build was cancelled.
    """
    log = log_of(trt)
    monitor = _make_monitor(trt, progress, cancel or threading.Event())
    builder = _make_builder(trt, log)
    # TensorRT 11 knows no other networks and may drop the flag.
    typed = getattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(source)):
        errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise EngineError(
            f'{trt.__name__} {trt.__version__} cannot parse {source}: '
            f'{"; ".join(errors or log.take())}. Export the weights again with this version of '
            'moe3d_engine, or use a newer runtime.'
        )
    config = builder.create_builder_config()
    config.progress_monitor = monitor
    _configure(trt, config, options)
    _add_profile(builder, network, config, options.views, shapes)
    plan = _run(lambda: builder.build_serialized_network(network, config), monitor)
    if plan is None:
        raise EngineError(_failure(trt, source, log.take()))
    for message in log.take():
        _LOGGER.warning('%s: %s', trt.__name__, message)
    with out.open('wb') as file:
        file.write(plan)
        file.flush()
        os.fsync(file.fileno())
    if options.timing_cache is not None and trt.__name__ == 'tensorrt':
        save_timings(config, options.timing_cache)


def save_timings(config: Any, path: Path) -> None:  # noqa: ANN401
    """Write the timings of a build for the next one; the file is there whole or not at all."""
    partial = path.with_name(f'{path.name}.{os.getpid()}.part')
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(bytes(config.get_timing_cache().serialize()))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_timings(config: Any, path: Path) -> None:  # noqa: ANN401
    """Let a build start from the timings of earlier ones; those of another GPU are left out."""
    content = path.read_bytes() if path.is_file() else b''
    if not config.set_timing_cache(config.create_timing_cache(content), False):
        _LOGGER.info('The timings in %s are of another GPU or version; they start anew.', path)
        config.set_timing_cache(config.create_timing_cache(b''), False)


def _make_monitor(trt: Any, progress: Progress | None, cancel: threading.Event) -> Any:  # noqa: ANN401
    """Return a monitor that turns nested phases into one share and can stop the build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancel = cancel
            self.share = 0.0
            self.phases: dict[str, tuple[int, int]] = {}  # steps done and to do, outermost first
            self.lock = threading.Lock()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self.lock:
                self.phases[phase_name] = (0, num_steps)
            self.report(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self.lock:
                if phase_name in self.phases:
                    self.phases[phase_name] = (step + 1, self.phases[phase_name][1])
            self.report(phase_name)
            return not self.cancel.is_set()

        def phase_finish(self, phase_name: str) -> None:
            with self.lock:
                self.phases.pop(phase_name, None)

        def report(self, phase_name: str) -> None:
            with self.lock:
                share, width = 0.0, 1.0
                for done, steps in self.phases.values():
                    width /= max(steps, 1)
                    share += done * width
                self.share = max(self.share, min(share, 1.0))
            if progress is not None:
                progress(self.share, phase_name)

    return Monitor()


def _make_builder(trt: Any, log: Any) -> Any:  # noqa: ANN401
    """Return a builder; TensorRT needs a GPU for it, TensorRT-RTX does not."""
    cause: Exception | None = None
    builder, reasons = None, []
    try:
        builder = trt.Builder(log)
    except (TypeError, RuntimeError) as error:  # TypeError: the factory returned a null pointer
        cause, reasons = error, [str(error)]
    reasons = log.take() or reasons
    if not reasons:
        return builder
    keep_broken(builder)
    raise EngineError(
        f'{trt.__name__} {trt.__version__} cannot start: {"; ".join(reasons)}. It needs an '
        'NVIDIA GPU and a driver that fits it (look at nvidia-smi): pip install '
        '"tensorrt-cu12>=10.3,<12" for CUDA 12, "tensorrt>=10.3,<12" for CUDA 13. Without a GPU '
        '`moe3d build --rtx` compiles with TensorRT-RTX.'
    ) from cause


def _configure(trt: Any, config: Any, options: CompileOptions) -> None:  # noqa: ANN401
    """Set precision of products, memory, targets and timings."""
    if hasattr(trt.BuilderFlag, 'TF32'):  # float32 stays float32: TF32 has no more bits than fp16
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.memory_gib is not None:
        limit = int(options.memory_gib * _GIB)
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, limit)
    if options.hardware_compatibility != 'none':
        name = {'ampere+': 'AMPERE_PLUS', 'same_sm': 'SAME_COMPUTE_CAPABILITY'}
        config.hardware_compatibility_level = _member(
            trt, 'HardwareCompatibilityLevel', name[options.hardware_compatibility]
        )
    if options.rtx_targets:
        config.num_compute_capabilities = len(options.rtx_targets)
        for index, target in enumerate(options.rtx_targets):
            sm = _member(trt, 'ComputeCapability', f'SM{target.replace(".", "")}')
            config.set_compute_capability(sm, index)
    if options.timing_cache is not None and trt.__name__ == 'tensorrt':
        load_timings(config, options.timing_cache)


def _member(trt: Any, enum: str, name: str) -> Any:  # noqa: ANN401
    """Return a member of one of the runtime's enumerations."""
    members = getattr(getattr(trt, enum, None), '__members__', {})
    if name not in members:
        raise ConfigError(
            f'{trt.__name__} {trt.__version__} has no {enum}.{name}; it has '
            f'{", ".join(members) or "none"}.'
        )
    return members[name]


def _add_profile(
    builder: Any,  # noqa: ANN401
    network: Any,  # noqa: ANN401
    config: Any,  # noqa: ANN401
    views: tuple[int, int, int],
    shapes: Mapping[str, Shapes],
) -> None:
    """Tell the builder which shapes to expect at every input."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        profile.set_shape(tensor.name, *(shapes.get(tensor.name) or _by_views(tensor, views)))
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f'The runtime refuses windows of {views} views; give them in order.')


def _by_views(tensor: Any, views: tuple[int, int, int]) -> Shapes:  # noqa: ANN401
    """Return least, most usual and largest shape of an input whose first axis are the views."""
    fixed = tuple(tensor.shape)[1:]
    if tensor.shape[0] != -1 or -1 in fixed:
        raise EngineError(
            f'The input {tensor.name} has the shape {tuple(tensor.shape)}; only its first '
            'axis, the views, may be dynamic (-1). Export the weights again.'
        )
    least, usual = (1, 1) if tensor.name in _SINGLE_INPUTS else views[:2]
    return (least, *fixed), (usual, *fixed), (views[2], *fixed)


def _run(build: Callable[[], Any], monitor: Any) -> Any:  # noqa: ANN401
    """Build in another thread, so that Ctrl-C is heard at once; it ends the build cleanly."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(build())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name='moe3d-build', daemon=True).start()
    try:
        plan = future.result()
    except KeyboardInterrupt:
        monitor.cancel.set()
        _LOGGER.warning('Stopping at the next step of the builder; Ctrl-C again stops at once.')
        future.result()
        raise
    if plan is None and monitor.cancel.is_set():
        raise KeyboardInterrupt
    return plan


def _failure(trt: Any, source: Path, errors: list[str]) -> str:  # noqa: ANN401
    """Return a sentence on why there is no plan, and what to try."""
    text = '; '.join(errors) or 'it gave no reason'
    advice = 'Try another precision, or another version of the runtime.'
    if lost_gpu(text):
        advice = LOST_ADVICE
    elif ran_out_of_memory(text):
        advice = (
            'Close other programs that use the GPU, lower --memory-gib or the most --views, or '
            'build in fp16.'
        )
    return f'{trt.__name__} {trt.__version__} cannot compile {source.name}: {text}. {advice}'
