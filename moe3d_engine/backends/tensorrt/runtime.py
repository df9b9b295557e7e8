"""NVIDIA's runtime, `tensorrt` or `tensorrt_rtx`, and what it says when something fails."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from moe3d_engine.backends.tensorrt.cuda_buffers import MEMORY_ADVICE
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.nvidia_log import keep_broken
from moe3d_engine.plans.nvidia_log import log_of
from moe3d_engine.plans.nvidia_log import LOST_ADVICE
from moe3d_engine.plans.nvidia_log import lost_gpu
from moe3d_engine.plans.nvidia_log import ran_out_of_memory


class TensorRtRuntime:
    """
    The runtime that opens plans, and what it says.

    Parameters
    ----------
    trt : the module `tensorrt` or `tensorrt_rtx`. CUDA must have started before.

    Raises
    ------
    BackendError
        If it does not start.
    """

    def __init__(self, trt: Any) -> None:  # noqa: ANN401
        self.trt = trt
        self._log = log_of(trt)
        try:
            self._runtime = trt.Runtime(self._log)
        except (TypeError, RuntimeError) as error:  # TypeError: it returned a null pointer
            raise self._no_start(self.said() or str(error)) from error
        said = self.said()
        if said:
            keep_broken(self._runtime)
            raise self._no_start(said)

    @property
    def name(self) -> str:
        """Return name and version."""
        return f'{self.trt.__name__} {self.trt.__version__}'

    def said(self) -> str:
        """Return the errors that were logged since the last call."""
        return '; '.join(self._log.take())

    def load(self, path: Path) -> Any:  # noqa: ANN401
        """
        Return the engine of a plan.

        Raises
        ------
        EngineError
            If the runtime cannot read it.
        BackendError
            If there is not enough memory, or the GPU is lost.
        """
        self.said()
        with (
            path.open('rb') as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            engine = self._runtime.deserialize_cuda_engine(content)
        if engine is not None:
            return engine
        said = self.said() or 'it gave no reason'
        if ran_out_of_memory(said) or lost_gpu(said):
            raise BackendError(f'{self.name} cannot load {path}: {said}. {_advice(said)}')
        raise EngineError(
            f'{self.name} cannot read the plan {path}: {said}. It may be of another version or '
            f'for another GPU. Delete {path.parent} and run moe3d build.'
        )

    def failure(self, what: str) -> BackendError:
        """Return the error of a call that failed, with what the runtime said."""
        said = self.said() or 'it gave no reason'
        return BackendError(f'{self.name} cannot {what}: {said}. {_advice(said)}'.rstrip())

    def _no_start(self, reason: str) -> BackendError:
        """Return the error of a runtime that does not start."""
        return BackendError(
            f'{self.name} cannot start: {reason}. Its CUDA must be one that the driver knows '
            '(nvidia-smi shows it): pip install "tensorrt-cu12>=10.3,<12" for CUDA 12, '
            '"tensorrt>=10.3,<12" for CUDA 13; on a Jetson take the one of JetPack.'
        )


def _advice(said: str) -> str:
    """Return what to do after errors of the GPU."""
    if lost_gpu(said):
        return LOST_ADVICE
    return MEMORY_ADVICE if ran_out_of_memory(said) else ''
