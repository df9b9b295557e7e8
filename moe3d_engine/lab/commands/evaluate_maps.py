"""The part of `moe3d evaluate --bag` that gives depth to mappers of others."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import replace
from typing import TYPE_CHECKING

from moe3d_engine.lab.reports.facts import heading_of
from moe3d_engine.lab.reports.markdown import markdown_table

if TYPE_CHECKING:
    from moe3d_engine.lab.mappers.bag_maps import BagMaps
    from moe3d_engine.lab.reports.record import EvaluationRecord
    from moe3d_engine.lab.runs.bag_run import BagRunOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which mappers get the depth, and at which poses."""
    group = parser.add_argument_group(
        'maps of others', 'with --bag: what published depth does to a map, beside the truth'
    )
    group.add_argument(
        '--mapper', action='append', choices=('octomap', 'tsdf'), default=None,
        help="octomap (octomap_server's library; pip install octomap-python) or tsdf (Open3D's; "
        'pip install open3d-cpu); may be given twice',
    )  # fmt: skip
    group.add_argument(
        '--map-poses', choices=('published', 'true'), default='published',
        help='where depth is put; with true, depth alone is judged (default: published)',
    )  # fmt: skip
    group.add_argument(
        '--map-tolerance', type=float, metavar='M',
        help='how far a surface may be from its true place (default: 0.1)',
    )  # fmt: skip
    group.add_argument(
        '--baseline', metavar='NETWORK',
        help="also maps of another network's depth: soft (the weights' experts averaged, as one "
        'regression would) or a checkpoint (.safetensors); needs torch',
    )  # fmt: skip


def open_maps(args: argparse.Namespace, options: BagRunOptions) -> BagMaps | None:
    """Return what follows the run; None where no mapper was asked for."""
    from moe3d_engine.errors import ConfigError

    if args.mapper is None:
        if args.baseline is not None:
            raise ConfigError('--baseline is judged by maps. Name a --mapper, too.')
        return None
    from moe3d_engine.lab.mappers.bag_maps import BagMaps
    from moe3d_engine.lab.mappers.bag_maps import MapOptions
    from moe3d_engine.lab.mappers.baseline import open_baseline
    from moe3d_engine.lab.metrics.voxels.judge import TOLERANCE_M

    tolerance_m = TOLERANCE_M if args.map_tolerance is None else args.map_tolerance
    mappers = tuple(dict.fromkeys(args.mapper))
    wanted = MapOptions(mappers, args.map_poses, args.baseline, tolerance_m)
    name = args.baseline
    baseline = None if name is None else open_baseline(name, options.weights)
    return BagMaps(wanted, options.session.thresholds, baseline)


def with_maps(record: EvaluationRecord, maps: BagMaps) -> EvaluationRecord:
    """Return a record with the figures of its maps and how they were made."""
    configuration = {**record.configuration, 'maps': asdict(maps.options)}
    return replace(record, configuration=configuration, maps=maps.figures())


def format_maps(mapper: str, ways: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures of a mapper's maps, a row per way to publish."""
    names = list(dict.fromkeys(name for row in ways.values() for name in row))
    rows = [
        [way, *(f'{row[name]:.3f}' if name in row else '' for name in names)]
        for way, row in ways.items()
    ]
    return markdown_table([mapper, *map(heading_of, names)], rows)
