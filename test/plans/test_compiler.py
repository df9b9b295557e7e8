"""
Plans compiled by NVIDIA's own compiler, TensorRT-RTX, on the CPU.

No GPU is here, so nothing of this runs the plans: the self-check is tried on other backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
import json
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_float32
from moe3d_engine.backends.openvino_backend import OpenVinoBackend
from moe3d_engine.cli import build as build_command
from moe3d_engine.cli.main import run
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.gpu import current_gpu
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import PLANS
from moe3d_engine.plans.manifest import plans_of
from moe3d_engine.plans.manifest import verified_plans
from moe3d_engine.plans.self_check import read_reference
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import pytest

trt = pytest.importorskip('tensorrt_rtx')
pytest.importorskip('openvino')
pytest.importorskip('onnx_ir')

from moe3d_engine.plans.build import build_plans  # noqa: E402 (after the skips)
from moe3d_engine.plans.build import BuildOptions  # noqa: E402
from moe3d_engine.plans.build import Built  # noqa: E402
from moe3d_engine.plans.build import OpenPlans  # noqa: E402
from moe3d_engine.plans.build import Report  # noqa: E402
from moe3d_engine.plans.compiler import compile_graph  # noqa: E402
from moe3d_engine.plans.compiler import CompileOptions  # noqa: E402
from moe3d_engine.plans.compiler import import_runtime  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='wheels exist for Linux only')

TINY = CompileOptions(views=(1, 2, 4))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp('cache')
    monkeypatch.setenv('MOE3D_CACHE', str(folder))
    return folder


def build_tiny(
    card: WeightsCard,
    cache: Path,
    open_plans: OpenPlans | None = None,
    report: Report | None = None,
    cancel: threading.Event | None = None,
) -> Built:
    """Build plans of the tiny network in float32."""
    choice = BuildOptions('tensorrt_rtx', 'fp32', TINY)
    return build_plans(
        card,
        choice,
        cache,
        open_plans=open_plans,
        open_float32=open_float32,
        report=report,
        cancel=cancel,
    )


def plans_in(cache: Path) -> set[str]:
    """Return all that a reader of the cache could take for plans, finished or not."""
    return {path.parent.name for path in cache.rglob('*.plan')}


def test_shipped_weights_compile_and_fp16_takes_less_of_each_plan(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_bytes = {}
    for precision in ('fp32', 'fp16'):
        words = ['build', '--precision', precision, '--views', '1', '2', '4', '--rtx', '--json']

        assert run(words, [build_command]) == 0

        summary = json.loads(capsys.readouterr().out)
        folder = Path(summary['plans'])
        manifest = PlanManifest(**json.loads((folder / 'manifest.json').read_text()))
        assert folder.parent == cache / 'moe3d-small'
        assert verified_plans(folder, manifest).keys() == {*PLANS, 'cameras'}
        assert (manifest.state, manifest.self_check) == ('built, not run', None)
        assert manifest.runtime_version == trt.__version__
        assert manifest.created_by == (
            f'moe3d build moe3d-small --precision {precision} --views 1 2 4 --rtx'
        )
        plan_bytes[precision] = manifest.plan_bytes
        run(words, [build_command])
        assert json.loads(capsys.readouterr().out)['time'] == 'built before'

    # Plans hold code, too, and it differs from build to build: no size is promised but this.
    for name in (*PLANS, 'cameras'):
        halves, floats = plan_bytes['fp16'][name], plan_bytes['fp32'][name]
        assert halves < floats or name == 'preprocess', (name, halves, floats)


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_vggt_shaped_network_compiles_in_16_bits(
    precision: str, tiny: WeightsCard, cache: Path
) -> None:
    options = BuildOptions('tensorrt_rtx', precision, TINY)

    built = build_plans(tiny, options, cache, open_plans=None, open_float32=open_float32)

    assert built.manifest.precision == precision
    assert built.peak_memory_bytes > sum(built.manifest.plan_bytes.values())
    assert {path.name for path in built.folder.iterdir()} == {
        'preprocess.plan', 'image_encoder.plan', 'reconstruct.plan', 'reference.npz',
        'manifest.json',
    }  # fmt: skip


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
def test_network_that_sweeps_compiles_for_windows_of_one_view_on(
    precision: str, sweeping_card: Path, cache: Path
) -> None:
    card = find_weights(str(sweeping_card))
    options = BuildOptions('tensorrt_rtx', precision, CompileOptions(views=(1, 1, 2)))

    built = build_plans(card, options, cache, open_plans=None, open_float32=open_float32)

    assert verified_plans(built.folder, built.manifest).keys() == set(plans_of(card))
    assert read_reference(built.folder).cameras is not None
    assert built.manifest.onnx_sha256.keys() == {'image_encoder', 'cameras', 'reconstruct'}


def test_progress_rises_from_graph_to_graph(tiny: WeightsCard, cache: Path) -> None:
    seen: list[tuple[str, float]] = []

    build_tiny(tiny, cache, report=lambda graph, share, phase: seen.append((graph, share)))

    for graph in PLANS:
        shares = [share for name, share in seen if name == graph]
        assert shares == sorted(shares)
        assert 0.5 < shares[-1] <= 1
    assert [name for name, _ in seen] == sorted((name for name, _ in seen), key=PLANS.index)


def test_cancelled_build_leaves_nothing(tiny: WeightsCard, cache: Path) -> None:
    cancel = threading.Event()

    with pytest.raises(KeyboardInterrupt):
        build_tiny(tiny, cache, report=lambda *_: cancel.set(), cancel=cancel)

    assert not plans_in(cache)


def test_killed_build_leaves_nothing_loadable_and_the_next_one_cleans_up(
    tiny: WeightsCard, tiny_card: Path, cache: Path
) -> None:
    code = f"""
from pathlib import Path
import time
from moe3d_engine.assets import find_weights
from moe3d_engine.backends.open import open_float32
from moe3d_engine.plans.build import build_plans, BuildOptions
from moe3d_engine.plans.compiler import CompileOptions

def report(graph, share, phase):
    if graph == 'reconstruct':
        print('second plan', flush=True)
        time.sleep(600)

options = BuildOptions('tensorrt_rtx', 'fp32', CompileOptions(views=(1, 2, 4)))
card = find_weights({str(tiny_card)!r})
openers = dict(open_plans=None, open_float32=open_float32)
build_plans(card, options, Path({str(cache)!r}), **openers, report=report)
"""
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == 'second plan\n'
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (unfinished,) = (cache / 'tiny').iterdir()
    assert (unfinished / 'image_encoder.plan').stat().st_size > 0
    assert not (unfinished / 'manifest.json').exists()

    built = build_tiny(tiny, cache)

    assert built.seconds > 0
    assert list((cache / 'tiny').iterdir()) == [built.folder]


def test_of_two_builds_at_once_the_second_takes_the_plans_of_the_first(
    tiny: WeightsCard, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started, go_on = threading.Event(), threading.Event()
    built = []

    def hold(*_: object) -> None:
        started.set()
        go_on.wait(60)

    first = threading.Thread(target=lambda: built.append(build_tiny(tiny, cache, report=hold)))
    second = threading.Thread(target=lambda: built.append(build_tiny(tiny, cache)))
    with caplog.at_level('WARNING'):
        first.start()
        assert started.wait(60)
        second.start()
        second.join(1)
        go_on.set()
        first.join(60)
        second.join(60)

    assert [one.seconds > 0 for one in built] == [True, False]
    assert built[0].folder == built[1].folder
    assert 'Waiting: process' in caplog.text


def test_plan_on_a_full_disk_raises(tiny: WeightsCard) -> None:
    graph = tiny.verified_file('image_encoder')

    with pytest.raises(OSError, match='No space left'):
        compile_graph(import_runtime('tensorrt_rtx'), graph, Path('/dev/full'), TINY)


def test_graph_that_is_none_is_refused_with_the_parsers_words(tmp_path: Path) -> None:
    path = tmp_path / 'none.onnx'
    path.write_bytes(b'no graph')

    with pytest.raises(EngineError, match=r'cannot parse .*none\.onnx: .+ Export'):
        compile_graph(import_runtime('tensorrt_rtx'), path, tmp_path / 'x.plan', TINY)


def test_graph_that_cannot_be_compiled_is_refused_with_the_compilers_words(
    tiny: WeightsCard, tmp_path: Path
) -> None:
    turing = replace(TINY, rtx_targets=('7.5',))  # has no float32 products in TensorRT-RTX

    with pytest.raises(EngineError, match=r'cannot compile .*SM75.* Try another precision'):
        compile_graph(
            import_runtime('tensorrt_rtx'), tiny.verified_file('image_encoder'),
            tmp_path / 'x.plan', turing,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_unknown_target_lists_those_there_are(tiny: WeightsCard, tmp_path: Path) -> None:
    orin = replace(TINY, rtx_targets=('8.7',))

    with pytest.raises(ConfigError, match=r'no ComputeCapability\.SM87; it has .*SM86'):
        compile_graph(
            import_runtime('tensorrt_rtx'), tiny.verified_file('image_encoder'),
            tmp_path / 'x.plan', orin,
        )  # fmt: skip


@pytest.mark.parametrize('views', [(0, 1, 2), (2, 1, 4), (1, 2, 5)])
def test_views_beyond_the_weights_are_refused(
    views: tuple[int, int, int], tiny: WeightsCard, cache: Path
) -> None:
    options = BuildOptions('tensorrt_rtx', 'fp32', CompileOptions(views=views))

    with pytest.raises(ConfigError, match='from 1 to 4 for tiny'):
        build_plans(tiny, options, cache, open_plans=None, open_float32=open_float32)


def test_precision_without_graphs_is_refused(tiny: WeightsCard, cache: Path) -> None:
    with pytest.raises(ConfigError, match='moe3d export --precision int8'):
        build_plans(
            tiny,
            BuildOptions('tensorrt_rtx', 'int8', TINY),
            cache,
            open_plans=None,
            open_float32=open_float32,
        )


def test_missing_packages_are_named(
    tiny: WeightsCard, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ('onnx_ir', 'ml_dtypes'):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(EngineError, match=r'without onnx-ir, ml_dtypes\. .*pip install onnx-ir '):
        build_tiny(tiny, cache)

    assert not plans_in(cache)


@pytest.mark.skipif(find_spec('tensorrt') is not None, reason='tensorrt is installed')
def test_missing_tensorrt_names_the_ways_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(['build'], [build_command]) == 2

    message = capsys.readouterr().err
    for way in ('pip install "tensorrt', 'JetPack', 'moe3d build --rtx'):
        assert way in message


@pytest.mark.parametrize(
    'words',
    [
        ['--rtx-targets', '8.6'],
        ['--rtx', '--timing-cache', 'x'],
        ['--rtx', '--hardware-compatibility', 'ampere+'],
        ['--rtx', '--memory-gib', '0'],
    ],
)
def test_options_that_contradict_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(['build', *words], [build_command]) == 2
    assert words[-2] in capsys.readouterr().err


def test_what_tensorrt_alone_is_told_exists_in_its_interface(tmp_path: Path) -> None:
    from moe3d_engine.plans.compiler import load_timings
    from moe3d_engine.plans.compiler import save_timings

    config = trt.Builder(trt.Logger(trt.Logger.ERROR)).create_builder_config()
    assert {'AMPERE_PLUS', 'SAME_COMPUTE_CAPABILITY'} <= set(
        trt.HardwareCompatibilityLevel.__members__
    )
    assert hasattr(config, 'hardware_compatibility_level')
    assert hasattr(trt.BuilderFlag, 'TF32')
    with pytest.warns(DeprecationWarning, match='no-ops in TensorRT-RTX'):
        load_timings(config, tmp_path / 'timings')
    with pytest.warns(DeprecationWarning, match='no-ops in TensorRT-RTX'):
        save_timings(config, tmp_path / 'timings')
    assert [path.name for path in tmp_path.iterdir()] == ['timings']


def open_openvino_instead(
    card: WeightsCard, folder: Path, manifest: PlanManifest
) -> OpenVinoBackend:
    from moe3d_engine.backends.openvino_backend import open_openvino

    return open_openvino(card, precision='f32')


def test_plans_that_could_run_are_marked_as_checked(tiny: WeightsCard, cache: Path) -> None:
    built = build_tiny(tiny, cache, open_plans=open_openvino_instead)

    assert built.manifest.state == 'checked'
    assert built.manifest.self_check is not None
    assert built.manifest.self_check['abs_rel'] < 1e-5


def test_plans_that_compute_something_else_are_not_kept(tiny: WeightsCard, cache: Path) -> None:
    class Wrong(OpenVinoBackend):
        def reconstruct(
            self,
            features: Sequence[object],
            publish: Sequence[int],
            cameras: WindowCameras | None = None,
        ) -> RawOutputs:
            raw = super().reconstruct(features, publish, cameras)
            return raw._replace(depth=1.01 * raw.depth)

    def open_wrong(card: WeightsCard, folder: Path, manifest: PlanManifest) -> Backend:
        right = open_openvino_instead(card, folder, manifest)
        return Wrong(card, right._requests, {})

    with pytest.raises(EngineError, match=r'abs_rel 0\.01 .*scale_drift 0\.01 .*not be used'):
        build_tiny(tiny, cache, open_plans=open_wrong)

    assert not plans_in(cache)


def test_gpu_of_this_machine_is_named_or_none() -> None:
    gpu = current_gpu()

    assert gpu is None or (gpu.name and re.fullmatch(r'\d+\.\d', gpu.compute_capability))
