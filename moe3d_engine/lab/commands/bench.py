"""`moe3d bench`: latency, memory and operations of backends, precisions and window lengths."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
import json
from typing import Any

from moe3d_engine.lab.reports.markdown import markdown_table

NAME = 'bench'
HELP = 'time windows on the backends of this machine: latency, stages, memory, operations'

# facebookresearch/vggt, README: aggregator alone, 336x518, one H100 with Flash Attention 3.
VGGT_ON_H100 = {
    1: (0.04, 1.88), 2: (0.05, 2.07), 4: (0.07, 2.45), 8: (0.11, 3.23), 10: (0.14, 3.63),
    20: (0.31, 5.58), 50: (1.04, 11.41), 100: (3.12, 21.15), 200: (8.75, 40.63),
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is timed and how often."""
    parser.add_argument(
        'weights', nargs='*', default=['moe3d-small'], metavar='WEIGHTS',
        help='names or cards of exported weights; each has a size of its own '
        '(default: moe3d-small)',
    )  # fmt: skip
    parser.add_argument(
        '--runtimes',
        nargs='+',
        metavar='R',
        help='openvino:bf16, openvino:f32, torch:f32, tensorrt (default: all that can be opened)',
    )
    parser.add_argument(
        '--views', type=int, nargs='+', default=[1, 2, 4], metavar='V',
        help='views of a window (default: 1 2 4)',
    )  # fmt: skip
    parser.add_argument(
        '--repeats', type=int, default=30, help='timed windows of each case (default: 30)'
    )
    parser.add_argument('--threads', type=int, help='CPU threads (default: the runtime chooses)')


def execute(args: argparse.Namespace) -> int:
    """Time every case and print a table."""
    from moe3d_engine.errors import Moe3dError
    from moe3d_engine.lab.runs.bench import BenchCase
    from moe3d_engine.lab.runs.bench import run_case
    from moe3d_engine.lab.runs.bench import RUNTIMES
    from moe3d_engine.plans.gpu import current_gpu
    from tqdm import tqdm

    cases = [
        BenchCase(weights, runtime, num_views, args.repeats, args.threads)
        for weights in args.weights
        for runtime in args.runtimes or RUNTIMES
        for num_views in args.views
    ]
    rows: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    for case in tqdm(cases, unit='case', disable=None):
        if case.runtime in refused:
            continue
        try:
            result = asdict(run_case(case))
        except Moe3dError as error:
            if args.runtimes:
                raise
            refused[case.runtime] = str(error)
            continue
        rows.append(result | {'gflops': count_gflops(case.weights, case.num_views)})
    device = current_gpu()
    gpu = '' if device is None else device.name
    if args.json:
        print(json.dumps(make_report(rows, refused, gpu)))
    else:
        print(format_table(rows, refused, gpu))
    return 0


@cache
def count_gflops(weights: str, num_views: int) -> dict[str, float]:
    """Return operations of the sliding and the plain window; nothing without torch."""
    try:
        from moe3d_engine.lab.runs.cost import window_gflops
        from moe3d_engine.model.config import ModelConfig
    except ImportError:
        return {}
    from moe3d_engine.assets import find_weights

    card = find_weights(weights)
    config = ModelConfig(**card.config)

    def count(num_new: int, num_published: int) -> float:
        return window_gflops(
            config, card.input_hw, num_views, num_new=num_new, num_published=num_published
        )

    return {'sliding': count(1, 1), 'plain': count(num_views, num_views)}


def make_report(
    rows: Sequence[dict[str, Any]], refused: dict[str, str], gpu: str
) -> dict[str, Any]:
    """Return the cases for machines, with VGGT's published figures where the GPU is theirs."""
    report: dict[str, Any] = {'cases': rows, 'not_opened': refused, 'gpu': gpu}
    if 'H100' in gpu:
        report['vggt_aggregator_on_h100'] = {
            views: {'seconds': seconds, 'memory_gb': memory_gb}
            for views, (seconds, memory_gb) in VGGT_ON_H100.items()
        }
    return report


def format_table(rows: Sequence[dict[str, Any]], refused: dict[str, str], gpu: str) -> str:
    """Return the cases as a table in Markdown, and why some runtimes were not timed."""
    head = [
        'weights, size, runtime', 'views', 'sliding p50 / p95 / p99 ms', 'encode + reconstruct ms',
        'plain p50 ms', 'GFLOPs sliding / plain', 'open s', 'memory MB',
    ]  # fmt: skip
    cells = []
    for row in rows:
        case, sliding, stages = row['case'], row['sliding_ms'], row['stages_ms']
        height, width = row['input_hw']
        gflops = row['gflops']
        counted = f'{gflops["sliding"]:.1f} / {gflops["plain"]:.1f}' if gflops else ''
        cells.append(
            [
                f'{case["weights"]}, {width}x{height}, {case["runtime"]}',
                str(case['num_views']),
                f'{sliding["p50"]:.1f} / {sliding["p95"]:.1f} / {sliding["p99"]:.1f}',
                f'{stages["encode"]:.1f} + {stages["reconstruct"]:.1f}',
                f'{row["plain_ms"]["p50"]:.1f}',
                counted,
                f'{row["open_s"]:.2f}',
                f'{row["peak_memory_mb"]:.0f}',
            ]
        )
    lines = [markdown_table(head, cells)]
    lines += [f'not timed: {runtime}: {reason}' for runtime, reason in refused.items()]
    if 'H100' in gpu:
        lines += ['', 'VGGT on one H100 as published in its README, and what was timed here:', '']
        lines += [vggt_table(rows)]
    return '\n'.join(lines)


def vggt_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return VGGT's published figures beside the plain windows of as many views."""
    head = ['views', 'VGGT, aggregator alone, 336x518: s', 'memory GB', 'here, plain window: s']
    cells = []
    for num_views, (seconds, memory_gb) in VGGT_ON_H100.items():
        ours = [
            f'{row["case"]["weights"]}, {row["case"]["runtime"]}: '
            f'{1e-3 * row["plain_ms"]["p50"]:.3f}'
            for row in rows
            if row['case']['num_views'] == num_views
        ]
        cells.append([str(num_views), f'{seconds}', f'{memory_gb}', '; '.join(ours)])
    return markdown_table(head, cells)
