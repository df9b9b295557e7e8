"""`moe3d cost`: what several experts cost over a single head."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
import json
from typing import TYPE_CHECKING

from moe3d_engine.cli.output import print_summary
from moe3d_engine.errors import ConfigError

if TYPE_CHECKING:
    from moe3d_engine.lab.runs.cost import NetworkSize

NAME = 'cost'
HELP = 'compare parameters, operations and CPU latency with those of a single head'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the network, the window and how often to time it."""
    parser.add_argument(
        '--preset', default='vggt-1b', help='name of the network (default: vggt-1b)'
    )
    parser.add_argument(
        '--experts', type=int, nargs='+', default=[1, 4], metavar='E',
        help='numbers of experts; 1, the single head, is always compared with (default: 1 4)',
    )  # fmt: skip
    parser.add_argument(
        '--image-hw', type=int, nargs=2, default=[392, 518], metavar=('H', 'W'),
        help='size of the images in pixels (default: 392 518)',
    )  # fmt: skip
    parser.add_argument('--views', type=int, default=4, help='views of a window (default: 4)')
    parser.add_argument(
        '--repeats', type=int, default=5, help='timed rounds; 0 times nothing (default: 5)'
    )
    parser.add_argument(
        '--dtype', choices=('bfloat16', 'float32'), default='bfloat16',
        help='type to compute in while timing (default: bfloat16, by autocast)',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Count, time unless told not to, print one line per network."""
    if args.repeats < 0:
        raise ConfigError(f'--repeats must be at least 0; got {args.repeats}.')

    from moe3d_engine.lab.runs.cost import median_latencies_ms
    from moe3d_engine.lab.runs.cost import network_size
    from moe3d_engine.model.config import preset

    config = preset(args.preset)
    experts = sorted({1, *args.experts})
    image_hw = (args.image_hw[0], args.image_hw[1])
    sizes = [network_size(replace(config, num_experts=k), image_hw, args.views) for k in experts]
    latencies_ms: list[float] = []
    if args.repeats:
        latencies_ms = median_latencies_ms(
            config, experts, image_hw, args.views,
            repeats=args.repeats, bfloat16=args.dtype == 'bfloat16',
        )  # fmt: skip
    rows = [_row(k, i, sizes, latencies_ms) for i, k in enumerate(experts)]
    setting = {
        'preset': args.preset,
        'weights': 'random',
        'image_hw': list(image_hw),
        'views': args.views,
        'repeats': args.repeats,
        'dtype': args.dtype,
    }
    if args.json:
        print(json.dumps(setting | {'networks': rows}))
    else:
        print_summary(setting | _table(rows), as_json=False)
    return 0


def _row(
    experts: int, index: int, sizes: Sequence[NetworkSize], latencies_ms: Sequence[float]
) -> dict[str, float]:
    """Return the figures of one network, with the overhead over the first in percent."""
    row: dict[str, float] = {'experts': experts}
    columns: dict[str, Sequence[float]] = {
        'parameters': [size.parameters for size in sizes],
        'gflops': [size.gflops for size in sizes],
        'latency_ms': latencies_ms,
    }
    for name, values in columns.items():
        if values:
            row[name] = values[index]
            row[f'{name}_overhead_percent'] = 100 * (values[index] / values[0] - 1)
    return row


def _table(rows: Sequence[dict[str, float]]) -> dict[str, object]:
    """Return one line per network, with the overhead over the single head in brackets."""
    units = {
        'parameters': (1e6, 'M parameters'),
        'gflops': (1.0, 'GFLOPs'),
        'latency_ms': (1.0, 'ms'),
    }
    lines: dict[str, object] = {}
    for row in rows:
        lines[f'experts {row["experts"]}'] = '  '.join(
            f'{row[name] / scale:10.2f} {unit} ({row[f"{name}_overhead_percent"]:+7.2f} %)'
            for name, (scale, unit) in units.items()
            if name in row
        )
    return lines
