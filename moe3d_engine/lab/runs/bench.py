"""How long a window takes on a backend: as the node slides it, and without anything kept."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
import multiprocessing
from time import perf_counter

from moe3d_engine.assets import find_weights
from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_backend
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.network import Engine
from moe3d_engine.plans.compiler import peak_memory_bytes
from moe3d_engine.session import Session
from moe3d_engine.types import PosePrior
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np

PERCENTILES = (50, 95, 99)
SOURCE_HW = (480, 640)  # an ordinary camera's image
# Before the clock starts: windows, and seconds, which an idle GPU takes to raise its clocks.
WARM_UP, WARM_UP_S = 3, 1.0
RUNTIMES = {
    'openvino:bf16': ('openvino', 'bf16'),
    'openvino:f32': ('openvino', 'f32'),
    'torch:f32': ('torch', 'auto'),
    'tensorrt': ('tensorrt', 'auto'),
}


@dataclass(frozen=True, slots=True)
class BenchCase:
    """
    What is timed.

    Parameters
    ----------
    weights : name or card of exported weights; they fix the size of the image.
    runtime : a key of RUNTIMES, backend and precision.
    num_views : views of a window.
    repeats : timed windows, at least 1.
    threads : CPU threads; None leaves the number to the runtime.
    """

    weights: str
    runtime: str
    num_views: int
    repeats: int
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """
    Times of a case.

    Parameters
    ----------
    case : what was timed.
    input_hw : (H, W) of the network's input.
    open_s : time to open the backend, compiled graphs of an earlier run included if there are any.
    sliding_ms : percentiles of a window of which one view is new and one is published, as in the
        node, from the camera's image to the reconstruction; a network that compares views is told
        the cameras.
    stages_ms : median of each stage of it.
    plain_ms : percentiles of the same window without anything kept: all views are encoded, the
        depth of all is decoded; images are at the network's size already.
    peak_memory_mb : largest resident memory of the process, Python and the runtime included.
    """

    case: BenchCase
    input_hw: tuple[int, int]
    open_s: float
    sliding_ms: dict[str, float]
    stages_ms: dict[str, float]
    plain_ms: dict[str, float]
    peak_memory_mb: float


def run_case(case: BenchCase) -> BenchResult:
    """
    Time a case in a process of its own, so that its memory is its own.

    Raises
    ------
    ConfigError
        If the runtime is unknown or `repeats` is below 1.
    ShapeError
        If the weights do not take so many views.
    BackendError, EngineError
        If the backend cannot be opened.
    """
    if case.runtime not in RUNTIMES:
        raise ConfigError(
            f'There is no runtime {case.runtime!r}; choose from {", ".join(RUNTIMES)}.'
        )
    if case.repeats < 1:
        raise ConfigError(f'repeats must be at least 1; got {case.repeats}.')
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(time_case, case).result()
        except BrokenProcessPool as error:
            raise BackendError(
                f'The process that timed {case.runtime} with {case.num_views} views died, perhaps '
                'for lack of memory. Try fewer views.'
            ) from error


def time_case(case: BenchCase) -> BenchResult:
    """Time a case in this process; see `run_case`."""
    start = perf_counter()
    backend = _open(case)
    open_s = perf_counter() - start
    try:
        plain_ms = _time_plain(backend, case)
        sliding_ms, stages_ms = _time_sliding(backend, case)
        input_hw = backend.spec.input_hw
    finally:
        backend.close()
    peak_mb = 1e-6 * peak_memory_bytes()
    return BenchResult(case, input_hw, open_s, sliding_ms, stages_ms, plain_ms, peak_mb)


def _open(case: BenchCase) -> Backend:
    """Open the backend of a case."""
    name, precision = RUNTIMES[case.runtime]
    if name == 'openvino':
        from moe3d_engine.backends.openvino_backend import open_openvino

        return open_openvino(find_weights(case.weights), threads=case.threads, precision=precision)
    return open_backend(name, case.weights, threads=case.threads)


def _time_plain(backend: Backend, case: BenchCase) -> dict[str, float]:
    """Return percentiles of encoding all views and decoding the depth of all."""
    images = textured_images(case.num_views, backend.spec.input_hw)

    def run() -> None:
        backend.reconstruct(backend.encode(images), range(case.num_views))

    _warm_up(run)
    return _percentiles([_time_ms(run) for _ in range(case.repeats)])


def _time_sliding(backend: Backend, case: BenchCase) -> tuple[dict[str, float], dict[str, float]]:
    """Return percentiles of the node's window, and the median of its stages."""
    session = Session(Engine(backend))
    frames = _camera_frames(case.num_views)

    def view(number: int) -> View:
        frame = frames[number % len(frames)]
        return _posed_view(frame, number) if backend.spec.sweeps else View(frame)

    window = [view(number) for number in range(case.num_views)]
    stages: list[dict[str, float]] = []

    def run() -> None:
        window[:] = [*window[1:], view(case.num_views + len(stages))]
        stages.append(session.reconstruct(window, [len(window) - 1]).timings_ms)

    _warm_up(run)
    stages.clear()
    times_ms = [_time_ms(run) for _ in range(case.repeats)]
    medians = {name: float(np.median([stage[name] for stage in stages])) for name in stages[-1]}
    return _percentiles(times_ms), medians


def _warm_up(run: Callable[[], None]) -> None:
    """Run windows until a processor computes at its usual speed."""
    start, count = perf_counter(), 0
    while count < WARM_UP or perf_counter() - start < WARM_UP_S:
        run()
        count += 1


def _time_ms(run: Callable[[], None]) -> float:
    """Return how long one window takes."""
    start = perf_counter()
    run()
    return 1e3 * (perf_counter() - start)


def _posed_view(frame: UInt8Array, number: int) -> View:
    """Return a view of a camera that goes 5 cm to the right from image to image."""
    height, width = frame.shape[:2]
    lens = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1.0]])
    cam_from_world = np.eye(4)
    cam_from_world[0, 3] = -0.05 * number
    return View(frame, lens, pose=PosePrior(cam_from_world, 'odometry'))


def _camera_frames(count: int) -> list[UInt8Array]:
    """Return images of a camera that differ."""
    images = textured_images(max(count, 2), SOURCE_HW)
    return [(255 * image.transpose(1, 2, 0)).astype(np.uint8) for image in images]


def _percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    """Return percentiles and the maximum by name."""
    values = {f'p{p}': float(np.percentile(times_ms, p)) for p in PERCENTILES}
    return values | {'max': max(times_ms)}
