"""What NVIDIA's builder and runtime say: kept for our own messages, and understood."""

from __future__ import annotations

import logging
import re
from typing import Any

_LOGGER = logging.getLogger(__name__)
_SHOWN = {'WARNING': logging.INFO, 'INFO': logging.DEBUG}
_MEMORY = re.compile(r'out of memory|OutOfMemory|cudaErrorMemoryAllocation', re.IGNORECASE)
# These mention memory, too ("an illegal memory access was encountered"), and end the process.
_LOST = re.compile(
    r'illegal|misaligned address|launch failure|LaunchFailure|device-side assert', re.IGNORECASE
)
_LOGS: dict[str, Any] = {}
_BROKEN: list[object] = []

LOST_ADVICE = 'After this error only a new process can use the GPU: start it again.'


def log_of(trt: Any) -> Any:  # noqa: ANN401 (a module without types)
    """
    Return the logger of `tensorrt` or `tensorrt_rtx`, always the same, without earlier errors.

    While any builder or runtime lives, TensorRT goes on with the first logger that it was given;
    so a process has one for each module, and it is never freed.
    """
    if trt.__name__ not in _LOGS:
        _LOGS[trt.__name__] = _make_log(trt)
    log = _LOGS[trt.__name__]
    log.take()
    return log


def _make_log(trt: Any) -> Any:  # noqa: ANN401
    """Return a logger that keeps errors and passes on the rest, but for what is verbose."""
    verbose = trt.ILogger.Severity.VERBOSE

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity == verbose:  # thousands per build, and each of them holds Python's lock
                return
            if severity.name in _SHOWN:
                _LOGGER.log(_SHOWN[severity.name], '%s: %s', trt.__name__, message)
            else:
                self._errors.append(message)

        def take(self) -> list[str]:
            """Return the errors since the last call."""
            errors, self._errors = self._errors, []
            return errors

    return Log()


def keep_broken(made: object) -> None:
    """
    Keep what a constructor returned after it had logged an error.

    TensorRT 11 returns a runtime without an implementation where CUDA does not start: to call it,
    or to free it, ends the process with a segmentation fault.
    """
    _BROKEN.append(made)


def ran_out_of_memory(said: str) -> bool:
    """Return whether errors of the runtime or of CUDA are about too little memory."""
    return not lost_gpu(said) and _MEMORY.search(said) is not None


def lost_gpu(said: str) -> bool:
    """Return whether errors are of those after which a process cannot use the GPU any more."""
    return _LOST.search(said) is not None
