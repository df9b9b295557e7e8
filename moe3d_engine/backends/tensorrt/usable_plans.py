"""Which compiled plans this machine can run."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.assets import WeightsCard
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.compiler import import_runtime
from moe3d_engine.plans.gpu import current_gpu
from moe3d_engine.plans.gpu import Gpu
from moe3d_engine.plans.manifest import plan_request
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import PlanRequest
from moe3d_engine.plans.manifest import RUNTIMES
from moe3d_engine.plans.manifest import supports_rtx
from moe3d_engine.plans.store import find_plans

PRECISIONS = ('fp16', 'bf16', 'fp32', 'int8', 'fp8')  # the first is built where there is none


def usable_plans(card: WeightsCard, cache: Path) -> tuple[Path, PlanManifest]:
    """
    Return folder and manifest of the newest plans of a card's weights that can run here.

    Of plans in several precisions, or for several numbers of views, those that were built last
    are taken. They may be for fewer views than the weights allow.

    Parameters
    ----------
    cache : folder of all plans.

    Raises
    ------
    BackendError
        If there is no GPU.
    EngineError
        If there is no runtime or no plan that fits; says which command builds one.
    """
    gpu = current_gpu()
    if gpu is None:
        raise BackendError(
            f'No NVIDIA GPU is to be seen (look at nvidia-smi), so tensorrt cannot run '
            f'{card.name}; choose the backend openvino (CPU) or torch (reference).'
        )

    def requests(views: tuple[int, int, int]) -> list[PlanRequest]:
        return [
            plan_request(
                card,
                runtime=runtime,
                runtime_version=version,
                gpu_name=gpu.name,
                compute_capability=gpu.compute_capability,
                precision=precision,
                views=views,
            )
            for runtime, version in versions.items()
            for precision in PRECISIONS
        ]

    versions = installed_runtimes(gpu)
    try:
        return find_plans(cache, *requests((1, 1, 1)))
    except EngineError:
        # The same again for all views: this names the command that a user wants.
        find_plans(cache, *requests((1, card.max_views, card.max_views)))
        raise


def installed_runtimes(gpu: Gpu) -> dict[str, str]:
    """
    Return the version of each runtime that is installed and runs on a GPU.

    Raises
    ------
    EngineError
        If there is none; says how to install it.
    """
    versions = {}
    reasons = []
    for name in RUNTIMES:
        if name == 'tensorrt_rtx' and not supports_rtx(gpu.compute_capability):
            continue
        try:
            versions[name] = str(import_runtime(name).__version__)
        except EngineError as error:
            reasons.append(error)
    if not versions:
        raise reasons[0]
    return versions
