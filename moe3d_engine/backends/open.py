"""Open a backend by name; the runtime behind it is imported only then."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
import logging

from moe3d_engine.assets import find_weights
from moe3d_engine.backends.base import Backend
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError

_LOGGER = logging.getLogger(__name__)
_OPENERS = {
    'openvino': ('moe3d_engine.backends.openvino_backend', 'open_openvino'),
    'torch': ('moe3d_engine.backends.torch_backend', 'open_torch'),
    'tensorrt': ('moe3d_engine.backends.tensorrt_backend', 'open_tensorrt'),
}
BACKEND_NAMES = ('auto', *_OPENERS)


def open_backend(
    name: str = 'auto', weights: str = 'moe3d-small', *, threads: int | None = None
) -> Backend:
    """
    Open a backend with a set of weights; the caller closes it.

    Parameters
    ----------
    name : `openvino`, `torch`, `tensorrt`, or `auto`: OpenVINO where it is installed, else
        torch where that is installed. The choice is logged.
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
    """
    if name not in BACKEND_NAMES:
        raise ConfigError(
            f'There is no backend {name!r}; choose one of {", ".join(BACKEND_NAMES)}.'
        )
    if threads is not None and threads < 1:
        raise ConfigError(f'A backend needs at least one thread; got threads={threads}.')
    card = find_weights(weights)
    chosen = _installed_backend() if name == 'auto' else name
    module_name, function_name = _OPENERS[chosen]
    opener = getattr(import_module(module_name), function_name)
    backend: Backend = opener(card, threads=threads)
    _LOGGER.info('Opened %s on the backend %s (asked for: %s).', card.name, backend.name, name)
    return backend


def _installed_backend() -> str:
    """Return the first of openvino and torch that is installed."""
    for name in ('openvino', 'torch'):
        if find_spec(name) is not None:
            return name
    raise BackendError(
        'Neither openvino nor torch is installed, so that no backend can run. Install the CPU '
        'runtime: pip install openvino'
    )
