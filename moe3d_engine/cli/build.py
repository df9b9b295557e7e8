"""`moe3d build`: compile weights for an NVIDIA GPU, once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.cli.output import print_summary
from moe3d_engine.errors import ConfigError

if TYPE_CHECKING:
    from moe3d_engine.assets import WeightsCard
    from moe3d_engine.plans.build import Built
    from moe3d_engine.plans.build import OpenPlans

NAME = 'build'
HELP = 'compile weights with TensorRT for the GPU of this machine'
BAR = '{desc}{percentage:3.0f}% {bar} {elapsed}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the weights and what the compiler may choose from."""
    parser.add_argument(
        'weights', nargs='?', default='moe3d-small',
        help='name of shipped weights, or path of a card (default: moe3d-small)',
    )  # fmt: skip
    parser.add_argument(
        '--precision', default='fp16', choices=('fp32', 'fp16', 'bf16', 'int8', 'fp8'),
        help='of the arithmetic; int8 and fp8 need graphs of `moe3d export` (default: fp16)',
    )  # fmt: skip
    parser.add_argument(
        '--accumulation', default='float32', choices=('float32', 'float16'),
        help='of fp16 products: float16 is faster on some GPUs and less exact; measure both '
        '(default: float32)',
    )  # fmt: skip
    parser.add_argument(
        '--views', type=int, nargs=3, metavar=('LEAST', 'USUAL', 'MOST'),
        help='views of a window (default: 1, and twice the most that the weights allow)',
    )  # fmt: skip
    parser.add_argument(
        '--memory-gib', type=float, metavar='GIB',
        help='most GPU memory that one layer may use to work in (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--timing-cache', type=Path, metavar='FILE',
        help='timings of earlier builds, which make this one faster (default: in the cache)',
    )  # fmt: skip
    parser.add_argument(
        '--hardware-compatibility', default='none', choices=('none', 'ampere+', 'same_sm'),
        help='which other GPUs the plans run on; costs speed (default: none)',
    )  # fmt: skip
    parser.add_argument(
        '--rtx', action='store_true',
        help='compile with TensorRT-RTX, which needs no GPU to compile',
    )  # fmt: skip
    parser.add_argument(
        '--rtx-targets', nargs='+', default=[], metavar='SM',
        help='with --rtx: compute capabilities such as 8.6 (default: 8.0, 8.6, 8.9, 12.0 and on)',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER',
        help='keep the plans there, not in $MOE3D_CACHE or ~/.cache/moe3d',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Build unless it was built before, and say what was made."""
    check_options(args)
    from moe3d_engine.assets import find_weights

    print_summary(describe(build(find_weights(args.weights), args)), args.json)
    return 0


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that one of the two runtimes does not have."""
    if args.rtx_targets and not args.rtx:
        raise ConfigError(
            '--rtx-targets needs --rtx; TensorRT builds for the GPU of this machine.'
        )
    if args.rtx and (args.hardware_compatibility != 'none' or args.timing_cache):
        raise ConfigError(
            '--rtx has no --hardware-compatibility and no --timing-cache. Its plans run on the '
            'GPUs that TensorRT-RTX supports from compute capability 8.0 on (8.0, 8.6, 8.9, 12.0 '
            'and later; not 8.7, 9.0, 10.x, 11.0); --rtx-targets chooses others.'
        )
    if args.memory_gib is not None and args.memory_gib <= 0:
        raise ConfigError(f'--memory-gib must be above 0; got {args.memory_gib}.')


def build(card: WeightsCard, args: argparse.Namespace) -> Built:
    """Build with a progress bar for each graph."""
    from moe3d_engine.assets.cache import cache_folder
    from moe3d_engine.backends.open import open_float32
    from moe3d_engine.plans.build import build_plans
    from moe3d_engine.plans.build import BuildOptions
    from moe3d_engine.plans.compiler import CompileOptions
    from tqdm import tqdm

    cache = args.out or cache_folder()
    options = BuildOptions(
        'tensorrt_rtx' if args.rtx else 'tensorrt',
        args.precision,
        CompileOptions(
            views=tuple(args.views or (1, card.max_views, card.max_views)),
            memory_gib=args.memory_gib,
            hardware_compatibility=args.hardware_compatibility,
            rtx_targets=tuple(args.rtx_targets),
            timing_cache=None if args.rtx else args.timing_cache or cache / 'timings.cache',
        ),
        args.accumulation,
    )
    with tqdm(total=1.0, bar_format=BAR, leave=False) as bar:

        def report(graph: str, share: float, phase: str) -> None:
            bar.set_description(f'{graph}: {phase}', refresh=False)
            bar.update(share - bar.n)

        return build_plans(
            card,
            options,
            cache,
            open_plans=plan_opener(args.rtx),
            open_float32=open_float32,
            report=report,
        )


def plan_opener(rtx: bool) -> OpenPlans | None:
    """Return what opens new plans for the self-check; None where no GPU can run them."""
    from moe3d_engine.backends.tensorrt.backend import open_plans
    from moe3d_engine.plans.gpu import current_gpu
    from moe3d_engine.plans.manifest import supports_rtx

    gpu = current_gpu()
    if gpu is None or (rtx and not supports_rtx(gpu.compute_capability)):
        return None
    return open_plans


def describe(built: Built) -> dict[str, object]:
    """Return what to print of a build."""
    manifest = built.manifest
    summary: dict[str, object] = {
        'plans': str(built.folder),
        'runtime': f'{manifest.runtime} {manifest.runtime_version}',
        'precision': f'{manifest.precision}, products add up in {manifest.accumulation}',
        'views': f'{manifest.views[0]} to {manifest.views[2]}, usually {manifest.views[1]}',
        **{graph: f'{size / 1e6:.1f} MB' for graph, size in manifest.plan_bytes.items()},
        'time': f'{built.seconds:.1f} s' if built.seconds else 'built before',
        'peak memory': f'{built.peak_memory_bytes / 1e6:.0f} MB of RAM',
        'state': manifest.state,
    }
    for name, value in (manifest.self_check or {}).items():
        summary[f'self-check {name}'] = f'{value:.2g}'
    return summary
