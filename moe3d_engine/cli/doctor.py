"""`moe3d doctor`: which parts of the installation work, and what to do about the others."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from importlib import import_module
import json
import platform
import time
from typing import TYPE_CHECKING

from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.errors import Moe3dError

if TYPE_CHECKING:
    from moe3d_engine.backend import Backend

REQUIRED_MODULES = ('numpy', 'cv2', 'rosbags.highlevel')
BACKEND_MODULES = ('openvino', 'torch', 'tensorrt', 'tensorrt_rtx')
WEIGHTS = 'moe3d-small'


@dataclass(frozen=True, slots=True)
class Check:
    """
    The outcome of one check.

    Parameters
    ----------
    name : what was checked.
    ok : whether it works.
    detail : what was found, or what to do.
    required : whether the package is of no use without it.
    """

    name: str
    ok: bool
    detail: str
    required: bool = True


def engine_checks() -> list[Check]:
    """Return the checks that need no ROS."""
    return [
        Check('python', True, f'{platform.python_version()} on {platform.platform()}'),
        *[_import_check(name) for name in REQUIRED_MODULES],
        *[_import_check(name, required=False) for name in BACKEND_MODULES],
        run_check('cuda-python', _check_cuda, required=False),
        run_check('GPU', _check_gpu, required=False),
        run_check('plans', _check_plans, required=False),
        run_check('weights', _check_weights),
        run_check('inference', _check_inference),
        run_check('reference', _check_reference),
    ]


def report_checks(checks: Sequence[Check], as_json: bool) -> int:
    """Print the checks as a table or JSON; return 1 if a required one failed, else 0."""
    healthy = all(check.ok for check in checks if check.required)
    if as_json:
        print(json.dumps({'ok': healthy, 'checks': [asdict(check) for check in checks]}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            state = 'ok' if check.ok else 'FAILED' if check.required else 'absent'
            print(f'{state:<6}  {check.name:<{width}}  {check.detail}')
    return 0 if healthy else 1


def run_check(name: str, find_detail: Callable[[], str], required: bool = True) -> Check:
    """Return a check that holds unless `find_detail` raises an expected error."""
    try:
        return Check(name, True, find_detail(), required)
    except (Moe3dError, ImportError) as error:
        return Check(name, False, str(error), required)


def _import_check(name: str, required: bool = True) -> Check:
    """Import a module and state its version."""
    try:
        module = import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return Check(name, False, str(error), required)
    return Check(name, True, str(getattr(module, '__version__', 'installed')), required)


def _check_cuda() -> str:
    """Import the package that tensorrt needs to talk to the GPU."""
    from moe3d_engine.backends.tensorrt.cuda_buffers import import_cuda

    return str(import_cuda().__name__)


def _check_gpu() -> str:
    """Ask the driver for a GPU."""
    from moe3d_engine.plans.gpu import current_gpu

    gpu = current_gpu()
    if gpu is None:
        raise BackendError('No NVIDIA GPU is to be seen (look at nvidia-smi); the CPU computes.')
    return f'{gpu.name}, compute capability {gpu.compute_capability}'


def _check_plans() -> str:
    """Look for plans of the shipped weights that this machine can run, and read their files."""
    from moe3d_engine.assets import find_weights
    from moe3d_engine.assets.cache import cache_folder
    from moe3d_engine.backends.tensorrt.usable_plans import usable_plans
    from moe3d_engine.plans.manifest import verified_plans

    folder, manifest = usable_plans(find_weights(WEIGHTS), cache_folder())
    verified_plans(folder, manifest)
    return f'{manifest.precision}, {manifest.state}, in {folder}'


def _check_weights() -> str:
    """Compare the shipped weights' files with the hashes on their card."""
    from moe3d_engine.assets import find_weights

    card = find_weights(WEIGHTS)
    sizes = [card.verified_file(role).stat().st_size for role in card.files]
    unit = 'metres' if card.metric else 'relative depth'
    return f'{card.name}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, hashes right, {unit}'


def _check_inference() -> str:
    """Reconstruct two synthetic views with the default backend and time the second time."""
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.network import Engine
    from moe3d_engine.session import Session
    from moe3d_engine.types import View
    import numpy as np

    engine = Engine(open_backend('auto', WEIGHTS))
    try:
        session = Session(engine)
        height, width = engine.spec.input_hw
        noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
        views = [View(image) for image in noise]
        session.reconstruct(views)  # the first call also warms up
        session.reset()
        start = time.perf_counter()
        session.reconstruct(views)
        elapsed_ms = 1e3 * (time.perf_counter() - start)
        return f'{engine.name}: {elapsed_ms:.0f} ms for 2 views of {width}x{height}'
    finally:
        engine.close()


def _check_reference() -> str:
    """Compare what the default backend computes with what is stored beside the weights."""
    from moe3d_engine.backends.open import open_backend

    backend = open_backend('auto', WEIGHTS)
    try:
        return compare_with_reference(backend)
    finally:
        backend.close()


def compare_with_reference(backend: Backend) -> str:
    """
    Say how far a backend of the shipped weights is from their stored reference.

    Raises
    ------
    BackendError
        If it is farther than the rounding of its arithmetic explains.
    """
    from moe3d_engine.assets import find_weights
    from moe3d_engine.assets.cache import cache_folder
    from moe3d_engine.graphs.parity import run_window
    from moe3d_engine.plans.self_check import above_limits
    from moe3d_engine.plans.self_check import compare
    from moe3d_engine.plans.self_check import stored_reference

    reference = stored_reference(find_weights(WEIGHTS))
    if reference is None:
        raise EngineError(
            f'The weights {WEIGHTS} carry no reference. Reinstall the package, or export them '
            'again.'
        )
    found = run_window(backend, reference.images, reference.cameras)
    figures = compare(reference.outputs, found)
    # Plans have been compared with a reference of their own while they were opened.
    exact = getattr(backend, 'precision', 'f32') == 'f32' and backend.name != 'tensorrt'
    wrong = above_limits(figures, 'fp32' if exact else 'bf16')
    if wrong:
        raise BackendError(
            f'{backend.name} computes something else than what is stored beside {WEIGHTS}: '
            f'{"; ".join(wrong)}. Do not use it. Delete {cache_folder()} and run this again; if '
            'that does not help, use another version of the runtime.'
        )
    return f'{backend.name} is {figures.abs_rel:.1g} from the stored depth (mean, relative)'
