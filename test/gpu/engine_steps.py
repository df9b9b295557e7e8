"""Steps on our backend and our 16-bit graphs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from driver_steps import load_double
from driver_steps import Note
from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.card import WeightsFile
from moe3d_engine.backend import Backend
from moe3d_engine.backend import LEAST_COMPARED
from moe3d_engine.backends.torch_backend import open_torch
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.graphs.parity import run_window
from moe3d_engine.graphs.parity import sideways_cameras
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.graphs.torch_graph import float16_sums
from moe3d_engine.graphs.torch_graph import float32_sums
from moe3d_engine.graphs.torch_graph import GraphBackend
from moe3d_engine.plans.gpu import current_gpu
from moe3d_engine.plans.manifest import NOT_RUN
from moe3d_engine.plans.manifest import plan_request
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import plans_of
from moe3d_engine.plans.manifest import RUNTIMES
from moe3d_engine.plans.manifest import supports_rtx
from moe3d_engine.plans.self_check import check_backend
from moe3d_engine.plans.self_check import compare
from moe3d_engine.plans.self_check import LIMITS
from moe3d_engine.plans.self_check import read_reference
from moe3d_engine.plans.self_check import write_reference
from moe3d_engine.types import View
import numpy as np
from prove import SkippedError
import stand_in
import torch

VIEWS = (1, 2, 4)
SOURCE_HW = (480, 640)


@contextmanager
def tensorrt_stand_in(rehearse: bool) -> Iterator[Any]:
    """Put the stand-in, and in a rehearsal the double of CUDA, where packages are looked for."""
    torch.backends.cudnn.allow_tf32 = False  # as plans are built
    if rehearse:
        cuda = load_double('cuda_double').CudaDouble()
        sys.modules['cuda.bindings.runtime'] = cuda
        memory: Any = stand_in.DoubleMemory(cuda)
    else:
        memory = stand_in.GpuMemory()
    before = sys.modules.get('tensorrt')
    sys.modules['tensorrt'] = stand_in.make_module(memory)  # type: ignore[assignment]
    try:
        yield memory
    finally:
        sys.modules.pop('tensorrt')
        if before is not None:
            sys.modules['tensorrt'] = before


def card_to_run(out: Path, rehearse: bool) -> WeightsCard:
    """Return the shipped weights, or in a rehearsal a tiny network that is exported once."""
    if not rehearse:
        return replace(find_weights('moe3d-small'), max_views=VIEWS[2])
    return tiny_card(out)


def write_plans(card: WeightsCard, precision: str, folder: Path) -> PlanManifest:
    """Write plans of the stand-in, their reference and manifest."""
    from moe3d_engine.graphs.precision import convert_graph
    from moe3d_engine.graphs.static_shapes import write_folded
    from moe3d_engine.plans.preprocess_graph import input_shapes
    from moe3d_engine.plans.preprocess_graph import write_preprocess_graph
    import onnx_ir as ir

    graphs = {name: folder / f'{name}.onnx' for name in plans_of(card)}
    write_preprocess_graph(graphs['preprocess'], card.input_hw)
    for role in card.graphs:
        if precision == 'fp32':
            write_folded(card.verified_file(role), graphs[role])
        else:
            convert_graph(card.verified_file(role), precision, graphs[role])
    for name, path in graphs.items():
        profile: dict[str, Any] = input_shapes(card.input_hw, VIEWS)
        if name != 'preprocess':
            compared = card.spec.sweeps and name == 'reconstruct'
            profile = {}
            for value in ir.load(path).graph.inputs:
                single = value.name in {'publish', 'hint'} or not compared
                views = VIEWS if single else [max(n, LEAST_COMPARED) for n in VIEWS]
                rest = list(value.shape or ())[1:]
                profile[str(value.name)] = [[n, *rest] for n in views]
        stand_in.write_plan(folder / f'{name}.plan', path, profile)
    write_reference(card, folder, open_torch)
    request = plan_request(
        card, runtime='tensorrt', runtime_version='stand-in', gpu_name='', compute_capability='',
        precision=precision, views=VIEWS,
    )  # fmt: skip
    plans = {name: folder / f'{name}.plan' for name in plans_of(card)}
    return PlanManifest(
        **asdict(request),
        plan_sha256={name: sha256_of(path) for name, path in plans.items()},
        plan_bytes={name: path.stat().st_size for name, path in plans.items()},
        state=NOT_RUN, self_check=None, created_by='test/gpu/prove.py',
    )  # fmt: skip


def backend(note: Note, out: Path, rehearse: bool) -> None:
    """Run the backend on the stand-in, and on real TensorRT where it is."""
    card = card_to_run(out, rehearse)
    real = [name for name in RUNTIMES if find_spec(name) is not None]
    for precision in ('fp32', 'fp16'):
        with tensorrt_stand_in(rehearse), tempfile.TemporaryDirectory() as folder:
            manifest = write_plans(card, precision, Path(folder))
            exercise(note, card, Path(folder), manifest, 2 if rehearse else 40)
    gpu = current_gpu()
    if gpu is None:
        note(real_plans='no GPU')
        return
    for name in real:
        if name == 'tensorrt_rtx' and not supports_rtx(gpu.compute_capability):
            note(**{name: f'does not run on {gpu.name} ({gpu.compute_capability})'})
            continue
        build_real(note, name, card)
    note(real_plans=real or 'neither tensorrt nor tensorrt_rtx is installed')


def exercise(
    note: Note, card: WeightsCard, folder: Path, manifest: PlanManifest, repeats: int
) -> None:
    """Open plans, check them, slide a window over them, time it, use another thread, close."""
    from moe3d_engine.backends.tensorrt.backend import open_plans

    label = f'{manifest.runtime_version} {manifest.precision}'
    ours, theirs = open_plans(card, folder, manifest), open_torch(card)
    figures = check_backend(ours, read_reference(folder), manifest.precision)
    note(**{f'{label}: self-check': asdict(figures)})
    errors = slide(ours, theirs, textured_images(4, card.input_hw, seed=5), 8)
    note(**{f'{label}: depth of a sliding window, mean relative error': max(errors)})
    found: list[float] = []
    thread = threading.Thread(
        target=lambda: found.extend(slide(ours, theirs, textured_images(4, card.input_hw), 4))
    )
    thread.start()
    thread.join()
    note(**{f'{label}: in another thread': max(found)})
    for source_hw in (SOURCE_HW, (1080, 1920)):
        planes = 255 * textured_images(1, source_hw)
        source = planes.astype(np.uint8).transpose(0, 2, 3, 1)
        fitted, _ = ours.encode_sources(source)
        expected = fit_view(View(source[0]), card.input_hw).image
        off = int(np.abs(fitted[0].astype(int) - expected).max())
        note(**{f'{label}: grey levels off, {source_hw[1]}x{source_hw[0]}': off})
        assert off <= 1
    note(**{f'{label}: ms of a window of 4': latency(ours, card, repeats)})
    graphs = {name: plan._captures for name, plan in ours._plans.items()}
    note(**{f'{label}: still captures graphs': graphs})
    ours.close()


def slide(ours: Backend, theirs: Backend, images: Any, count: int) -> list[float]:  # noqa: ANN401
    """Return the error of depth of each step of a window of three views."""
    window: list[object] = []
    reference: list[object] = []
    errors = []
    for index in range(count):
        image = images[index % len(images)][None]
        window = [*window[-2:], *ours.encode(image)]
        reference = [*reference[-2:], *theirs.encode(image)]
        raw = ours.reconstruct(window, [len(window) - 1])
        expected = theirs.reconstruct(reference, [len(reference) - 1])
        errors.append(compare(expected, raw).abs_rel)
    return errors


def latency(ours: Any, card: WeightsCard, repeats: int) -> dict[str, float]:  # noqa: ANN401
    """Return milliseconds of camera image to depth, after a second of warming up."""
    source = (255 * textured_images(1, SOURCE_HW)).astype(np.uint8).transpose(0, 2, 3, 1)
    window = list(ours.encode(textured_images(4, card.input_hw)))
    times: list[float] = []
    end = time.perf_counter() + (1.0 if repeats > 5 else 0.0)
    while len(times) < repeats:
        start = time.perf_counter()
        window = [*window[1:], *ours.encode_sources(source)[1]]
        ours.reconstruct(window, [3])
        if start >= end:
            times.append(1e3 * (time.perf_counter() - start))
    return {'median': statistics.median(times), 'least': min(times), 'most': max(times)}


def build_real(note: Note, runtime: str, card: WeightsCard) -> None:
    """Build real plans in fp16, check and time them."""
    from moe3d_engine.backends.tensorrt.backend import open_plans
    from moe3d_engine.plans.build import build_plans
    from moe3d_engine.plans.build import BuildOptions
    from moe3d_engine.plans.compiler import CompileOptions

    with tempfile.TemporaryDirectory() as cache:
        options = BuildOptions(runtime, 'fp16', CompileOptions(views=VIEWS))
        built = build_plans(
            card, options, Path(cache), open_plans=open_plans, open_float32=open_torch
        )
        note(**{f'{runtime}: build': {'s': built.seconds, **(built.manifest.self_check or {})}})
        exercise(note, card, built.folder, built.manifest, 100)


def precision(note: Note, out: Path, rehearse: bool) -> None:
    """Run the 16-bit graphs on tensor cores, with sums in float32 and in float16."""
    from moe3d_engine.graphs.precision import convert_graph

    torch.backends.cudnn.allow_tf32 = False
    card = card_to_run(out, rehearse)
    images = textured_images(2, card.input_hw)
    cameras = sideways_cameras(2, card.input_hw) if card.spec.sweeps else None
    expected = run_window(open_torch(card), images, cameras)
    device = 'cpu' if rehearse else 'cuda'
    with tempfile.TemporaryDirectory() as folder:
        for kind, accumulation in (
            ('fp16', 'float32'), ('fp16', 'float16'), ('bf16', 'float32'),
        ):  # fmt: skip
            paths = {role: Path(folder) / f'{role}.onnx' for role in card.graphs}
            for role, path in paths.items():
                convert_graph(card.verified_file(role), kind, path, accumulation=accumulation)
            sums = float16_sums if accumulation == 'float16' else float32_sums
            products = sums if rehearse else None
            if not rehearse:
                torch.backends.cuda.matmul.allow_fp16_accumulation = accumulation == 'float16'
            backend = GraphBackend(card, paths, device, products, products)
            figures = asdict(compare(expected, run_window(backend, images, cameras)))
            limits = asdict(LIMITS[kind])
            over = [name for name, value in figures.items() if not value <= limits[name]]
            note(**{f'{kind}, sums in {accumulation}': figures | {'beyond the limit': over}})
            assert not over or accumulation == 'float16', over


def sanitizer(note: Note, out: Path, rehearse: bool) -> None:
    """Run the backend on a tiny network under compute-sanitizer."""
    tool = shutil.which('compute-sanitizer')
    if tool is None and not rehearse:
        raise SkippedError('compute-sanitizer is not here')
    tiny_card(out)
    words = [sys.executable, str(Path(__file__).with_name('prove.py')), '--step', 'tiny_window']
    words += ['--out', str(out), *(['--rehearse'] if rehearse else [])]
    for check in ['plain'] if rehearse else ['memcheck', 'initcheck']:
        command = [] if rehearse else [str(tool), '--tool', check, '--error-exitcode', '9']
        result = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        note(**{check: {'code': result.returncode, 'end': result.stdout[-1500:]}})
        assert result.returncode == 0 or check == 'initcheck', result.stderr[-2000:]


def tiny_card(out: Path) -> WeightsCard:
    """Return a tiny network, exported where it is not there yet."""
    folder = out / 'tiny'
    if not (folder / 'tiny.json').exists():
        from moe3d_engine.graphs.onnx_export import export_onnx
        from moe3d_engine.model import Moe3dNet
        from moe3d_engine.model import preset
        from moe3d_engine.model.checkpoint import save_weights

        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        network = Moe3dNet(preset('tiny'))
        network.break_symmetry(0)
        save_weights(network, folder / 'tiny.safetensors')
        paths = {'weights': folder / 'tiny.safetensors'}
        paths |= export_onnx(network, (56, 70), folder, 'tiny')
        WeightsCard(
            name='tiny', input_hw=(56, 70), max_views=VIEWS[2], metric=True,
            config=asdict(network.config), training={}, licence='', folder=folder,
            files={r: WeightsFile(path.name, sha256_of(path)) for r, path in paths.items()},
        ).write()  # fmt: skip
    return find_weights(str(folder / 'tiny.json'))


def tiny_window(note: Note, out: Path, rehearse: bool) -> None:
    """Open the tiny network, and run windows that are captured and launched."""
    card = tiny_card(out)
    with tensorrt_stand_in(rehearse), tempfile.TemporaryDirectory() as folder:
        exercise(note, card, Path(folder), write_plans(card, 'fp32', Path(folder)), 3)
