"""The cache of plans: whole or not there, one build at a time, the nearest one explained."""

from __future__ import annotations

from dataclasses import replace
import os
from pathlib import Path
import threading

from moe3d_engine.errors import EngineError
from moe3d_engine.plans.manifest import GRAPHS
from moe3d_engine.plans.manifest import NOT_RUN
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import PlanRequest
from moe3d_engine.plans.manifest import PLANS
from moe3d_engine.plans.manifest import write_manifest
from moe3d_engine.plans.store import build_lock
from moe3d_engine.plans.store import find_plans
from moe3d_engine.plans.store import LOCK_NAME
from moe3d_engine.plans.store import new_plans
from moe3d_engine.plans.store import plan_folder
from moe3d_engine.plans.store import stored_plans
import pytest

REQUEST = PlanRequest(
    weights='mine', weights_name='mine', weights_sha256='1' * 64,
    onnx_sha256=dict.fromkeys(GRAPHS, '2' * 64), runtime='tensorrt', runtime_version='10.3.0',
    gpu_name='Orin', compute_capability='8.7', hardware_compatibility='none', precision='fp16',
    accumulation='float32', input_hw=(56, 70), views=(1, 2, 4), decode={'agree_tau': 0.05},
)  # fmt: skip


def fill(folder: Path, request: PlanRequest) -> None:
    """Write plans and their manifest."""
    from moe3d_engine.assets.card import sha256_of

    for graph in PLANS:
        (folder / f'{graph}.plan').write_text(graph)
    plans = {graph: folder / f'{graph}.plan' for graph in PLANS}
    manifest = PlanManifest(
        **vars(request),
        plan_sha256={graph: sha256_of(path) for graph, path in plans.items()},
        plan_bytes={graph: path.stat().st_size for graph, path in plans.items()},
        state=NOT_RUN,
        self_check=None,
        created_by='moe3d build',
    )
    write_manifest(manifest, folder)


def store(request: PlanRequest, cache: Path) -> Path:
    """Store plans of a request."""
    with build_lock(cache), new_plans(request, cache) as folder:
        fill(folder, request)
    return plan_folder(request, cache)


def files_in(cache: Path) -> set[str]:
    """Return the files of a cache, without its lock."""
    paths = (path for path in cache.rglob('*') if path.is_file() and path.name != LOCK_NAME)
    return {str(path.relative_to(cache)) for path in paths}


def test_stored_plans_are_found_again(tmp_path: Path) -> None:
    folder = store(REQUEST, tmp_path)

    assert folder == tmp_path / 'mine' / REQUEST.key
    assert stored_plans(REQUEST, tmp_path) == find_plans(tmp_path, REQUEST)[1]
    assert stored_plans(replace(REQUEST, precision='fp32'), tmp_path) is None


def test_nothing_is_left_of_a_build_that_fails(tmp_path: Path) -> None:
    def build() -> None:
        with new_plans(REQUEST, tmp_path) as folder:
            fill(folder, REQUEST)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()

    assert not files_in(tmp_path)


def test_full_disk_is_explained_and_nothing_is_left(tmp_path: Path) -> None:
    def build() -> None:
        with new_plans(REQUEST, tmp_path) as folder:
            (folder / 'image_encoder.plan').write_text('whole')
            Path('/dev/full').write_text('no room')

    with pytest.raises(EngineError, match=r'disk of .* is full.*MOE3D_CACHE'):
        build()

    assert not files_in(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason='the superuser may write anywhere')
def test_cache_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(EngineError, match='Cannot write'), build_lock(tmp_path / 'cache'):
        pass


def test_unfinished_plans_are_never_found_and_the_next_build_removes_them(tmp_path: Path) -> None:
    unfinished = tmp_path / 'mine' / f'{REQUEST.key}.building-x'
    unfinished.mkdir(parents=True)
    fill(unfinished, REQUEST)

    assert stored_plans(REQUEST, tmp_path) is None
    with pytest.raises(EngineError, match='There are no plans of mine'):
        find_plans(tmp_path, REQUEST)
    with build_lock(tmp_path):
        assert not unfinished.exists()


@pytest.mark.parametrize('damaged', ['reconstruct.plan', 'manifest.json'])
def test_damaged_plans_are_built_anew(damaged: str, tmp_path: Path) -> None:
    path = store(REQUEST, tmp_path) / damaged
    path.write_bytes(path.read_bytes()[:-5])

    assert stored_plans(REQUEST, tmp_path) is None
    store(REQUEST, tmp_path)
    assert stored_plans(REQUEST, tmp_path) is not None
    assert len(files_in(tmp_path)) == len(PLANS) + 1


def test_the_nearest_plans_are_explained(tmp_path: Path) -> None:
    store(REQUEST, tmp_path)
    store(replace(REQUEST, precision='fp32', runtime_version='8'), tmp_path)

    with pytest.raises(EngineError, match=r'runtime are tensorrt 10\.3\.0, expected tensorrt 11'):
        find_plans(tmp_path, replace(REQUEST, runtime_version='11'))


def test_of_several_requests_the_one_that_fits_or_is_nearest_decides(tmp_path: Path) -> None:
    wide = replace(REQUEST, precision='fp32')
    folder = store(wide, tmp_path)

    assert find_plans(tmp_path, REQUEST, wide)[0] == folder
    with pytest.raises(EngineError, match=r'runtime are .*--precision fp32') as refusal:
        find_plans(
            tmp_path, replace(REQUEST, runtime_version='11'), replace(wide, runtime_version='11')
        )
    assert 'Their precision' not in str(refusal.value)


def test_newest_of_several_that_fit_is_taken(tmp_path: Path) -> None:
    old = store(REQUEST, tmp_path)
    new = store(replace(REQUEST, views=(1, 4, 4)), tmp_path)
    os.utime(old / 'manifest.json', (0, 0))

    assert find_plans(tmp_path, REQUEST)[0] == new


def test_second_build_waits_and_says_for_whom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entered = threading.Event()

    def second() -> None:
        with build_lock(tmp_path):
            entered.set()

    thread = threading.Thread(target=second)
    with caplog.at_level('WARNING'), build_lock(tmp_path):
        thread.start()
        assert not entered.wait(0.3)
    thread.join(10)

    assert entered.is_set()
    assert f'process {os.getpid()} builds into {tmp_path}' in caplog.text
