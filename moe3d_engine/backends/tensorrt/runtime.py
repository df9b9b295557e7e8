"""NVIDIA's runtime, `tensorrt` or `tensorrt_rtx`, and what it says when something fails."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from moe3d_engine.backends.tensorrt.cuda_buffers import MEMORY_ADVICE
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.compiler import make_log


class TensorRtRuntime:
    """
    The runtime that opens plans, and what it says.

    Parameters
    ----------
    trt : the module `tensorrt` or `tensorrt_rtx`.

    Raises
    ------
    BackendError
        If it does not start.
    """

    def __init__(self, trt: Any) -> None:  # noqa: ANN401
        self.trt = trt
        self.log = make_log(trt)
        try:
            self._runtime = trt.Runtime(self.log)
        except (
            TypeError,
            RuntimeError,
        ) as error:  # TypeError: it returned a null pointer
            raise BackendError(
                f'{self.name} cannot start: {self.said() or error}. Its version must fit the '
                'driver (look at nvidia-smi).'
            ) from error

    @property
    def name(self) -> str:
        """Return name and version."""
        return f'{self.trt.__name__} {self.trt.__version__}'

    def said(self) -> str:
        """Return the errors that were logged since the last call."""
        text = '; '.join(self.log.errors)
        self.log.errors.clear()
        return text

    def load(self, path: Path) -> Any:  # noqa: ANN401
        """
        Return the engine of a plan.

        Raises
        ------
        EngineError
            If the runtime cannot read it.
        BackendError
            If there is not enough memory.
        """
        with (
            path.open('rb') as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            engine = self._runtime.deserialize_cuda_engine(content)
        if engine is not None:
            return engine
        said = self.said() or 'it gave no reason'
        if 'memory' in said.lower():
            raise BackendError(f'{self.name} cannot load {path}: {said}. {MEMORY_ADVICE}')
        raise EngineError(
            f'{self.name} cannot read the plan {path}: {said}. It may be of another version or '
            f'for another GPU. Delete {path.parent} and run moe3d build.'
        )

    def failure(self, what: str) -> BackendError:
        """Return the error of a call that failed, with what the runtime said."""
        said = self.said() or 'it gave no reason'
        advice = f' {MEMORY_ADVICE}' if 'memory' in said.lower() else ''
        return BackendError(f'{self.name} cannot {what}: {said}.{advice}')
