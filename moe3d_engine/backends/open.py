"""Open a backend by name; the runtime behind it is imported only then."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
import logging

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import Backend
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.gpu import current_gpu

_LOGGER = logging.getLogger(__name__)
_OPENERS = {
    'openvino': ('moe3d_engine.backends.openvino_backend', 'open_openvino'),
    'torch': ('moe3d_engine.backends.torch_backend', 'open_torch'),
    'tensorrt': ('moe3d_engine.backends.tensorrt.backend', 'open_tensorrt'),
}
BACKEND_NAMES = ('auto', *_OPENERS)


def open_backend(
    name: str = 'auto', weights: str = 'moe3d-small', *, threads: int | None = None
) -> Backend:
    """
    Open a backend with a set of weights; the caller closes it.

    Parameters
    ----------
    name : `openvino`, `torch`, `tensorrt`, or `auto`: TensorRT where there is an NVIDIA GPU with
        plans that fit and compute the right thing, else OpenVINO where it is installed, else
        torch. The choice is logged, and why a GPU that is there is not used.
    weights : name of shipped weights, or path of a card (`.json`).
    threads : CPU threads of the backend; None leaves the number to the runtime.

    Raises
    ------
    ConfigError
        If the backend or the weights are unknown, or `threads` is below 1.
    CheckpointError
        If a file of the weights is missing or corrupt.
    BackendError
        If the backend's runtime is not installed or cannot open the weights.
    EngineError
        If `tensorrt` is asked for and its plans are missing, damaged, foreign or wrong.
    """
    if name not in BACKEND_NAMES:
        raise ConfigError(
            f'There is no backend {name!r}; choose one of {", ".join(BACKEND_NAMES)}.'
        )
    if threads is not None and threads < 1:
        raise ConfigError(f'A backend needs at least one thread; got threads={threads}.')
    card = find_weights(weights)
    backend = _open_on_gpu(card, threads) if name == 'auto' else None
    if backend is None:
        backend = _open(_installed_backend() if name == 'auto' else name, card, threads)
    _LOGGER.info('Opened %s on the backend %s (asked for: %s).', card.name, backend.name, name)
    return backend


def _open(name: str, card: WeightsCard, threads: int | None) -> Backend:
    """Open a backend of _OPENERS."""
    module_name, function_name = _OPENERS[name]
    opener = getattr(import_module(module_name), function_name)
    backend: Backend = opener(card, threads=threads)
    return backend


def _open_on_gpu(card: WeightsCard, threads: int | None) -> Backend | None:
    """Open TensorRT if there is a GPU that can run it; else say why not."""
    gpu = current_gpu()
    if gpu is None:
        _LOGGER.info('There is no NVIDIA GPU to be seen: %s runs on the CPU.', card.name)
        return None
    try:
        return _open('tensorrt', card, threads)
    except (BackendError, EngineError) as error:
        _LOGGER.warning('%s runs on the CPU, not on the %s: %s', card.name, gpu.name, error)
    except Exception:  # NVIDIA's packages raise others, such as ValueError for a new status
        _LOGGER.exception('%s runs on the CPU, not on the %s:', card.name, gpu.name)
    return None


def _installed_backend() -> str:
    """Return the first of openvino and torch that is installed."""
    for name in ('openvino', 'torch'):
        if find_spec(name) is not None:
            return name
    raise BackendError(
        'Neither openvino nor torch is installed, so that no backend can run. Install the CPU '
        'runtime: pip install openvino'
    )


def open_float32(card: WeightsCard) -> Backend:
    """
    Open the reference of a card's weights: OpenVINO, compiled anew, or torch in float32.

    Raises
    ------
    EngineError
        If neither is installed.
    """
    if find_spec('openvino') is not None:
        from moe3d_engine.backends.openvino_backend import open_openvino

        return open_openvino(card, precision='f32', keep=False)
    if find_spec('torch') is not None:
        from moe3d_engine.backends.torch_backend import open_torch

        return open_torch(card)
    raise EngineError(
        f'The self-check of {card.name} needs a float32 reference, which its card lacks and which '
        'only openvino or torch can compute. Install one: pip install openvino'
    )
