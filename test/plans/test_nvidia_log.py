"""What builder and runtime say is kept for our own messages, and understood."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from moe3d_engine.errors import EngineError
from moe3d_engine.plans.nvidia_log import log_of
from moe3d_engine.plans.nvidia_log import lost_gpu
from moe3d_engine.plans.nvidia_log import ran_out_of_memory
import pytest

real = pytest.importorskip('tensorrt_rtx')

MODULE = SimpleNamespace(__name__='tensorrt_of_a_test', __version__='1', ILogger=real.ILogger)
SEVERITY = real.ILogger.Severity


def test_module_has_one_logger_which_begins_without_errors() -> None:
    log_of(MODULE).log(SEVERITY.ERROR, 'of an earlier build')

    log = log_of(MODULE)

    assert log is log_of(MODULE)
    assert log.take() == []


def test_only_errors_are_kept_and_each_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = log_of(MODULE)
    with caplog.at_level('DEBUG', logger='moe3d_engine'):
        for severity in ('VERBOSE', 'INFO', 'WARNING', 'ERROR', 'INTERNAL_ERROR'):
            log.log(getattr(SEVERITY, severity), f'as {severity}')

    assert log.take() == ['as ERROR', 'as INTERNAL_ERROR']
    assert log.take() == []
    assert [record.levelname for record in caplog.records] == ['DEBUG', 'INFO']


@pytest.mark.parametrize(
    ('said', 'memory', 'lost'),
    [
        ('Cuda Runtime (out of memory)', True, False),
        ('OutOfMemory (no further information)', True, False),
        ('cudaErrorMemoryAllocation', True, False),
        ('an illegal memory access was encountered', False, True),
        ('unspecified launch failure', False, True),
        ('the memory pool limit is ignored', False, False),
    ],
)
def test_too_little_memory_and_a_lost_gpu_are_told_apart(
    said: str, memory: bool, lost: bool
) -> None:
    assert (ran_out_of_memory(said), lost_gpu(said)) == (memory, lost)


def test_builder_that_is_broken_after_an_error_is_neither_used_nor_freed(tmp_path: Path) -> None:
    from moe3d_engine.plans.compiler import compile_graph
    from moe3d_engine.plans.compiler import CompileOptions

    crashes = []

    class Builder:
        def __init__(self, log: Any) -> None:  # noqa: ANN401
            log.log(SEVERITY.ERROR, 'CUDA initialization failure with error: 35')

        def __del__(self) -> None:
            crashes.append('segmentation fault')

    trt = SimpleNamespace(
        **vars(MODULE), Builder=Builder, IProgressMonitor=real.IProgressMonitor,
        NetworkDefinitionCreationFlag=real.NetworkDefinitionCreationFlag,
    )  # fmt: skip

    with pytest.raises(EngineError, match=r'cannot start: CUDA init.*tensorrt-cu12.*--rtx'):
        compile_graph(trt, tmp_path / 'x.onnx', tmp_path / 'x.plan', CompileOptions((1, 1, 1)))

    gc.collect()
    assert not crashes
