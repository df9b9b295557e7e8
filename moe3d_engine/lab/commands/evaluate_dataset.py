"""`moe3d evaluate --dataset`: weights under the protocols of public evaluations."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
import json
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.cli.output import claim_report
from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.reports.markdown import markdown_table

if TYPE_CHECKING:
    from moe3d_engine.lab.protocols.catalogue import Protocol
    from moe3d_engine.lab.reports.record import EvaluationRecord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data set, where it lies and the protocol."""
    group = parser.add_argument_group(
        'public data sets', 'our rows under the published ones, with their sources'
    )
    group.add_argument('--dataset', metavar='NAME', help='such as 7scenes or nrgbd; needs --root')
    group.add_argument('--root', type=Path, metavar='DIR', help='folder of the data set')
    group.add_argument(
        '--protocol', metavar='NAME', help='such as pi3-sparse (see --list-protocols)'
    )
    group.add_argument(
        '--list-protocols', action='store_true', help='print all protocols and their references'
    )


def execute(args: argparse.Namespace) -> int:
    """Run the protocol with each of the weights and print one table."""
    from moe3d_engine.lab.protocols.catalogue import load_protocols

    if args.list_protocols:
        listing = list_protocols()
        print(json.dumps(listing) if args.json else format_listing(listing))
        return 0
    if args.root is None or args.protocol is None:
        raise ConfigError(
            '--dataset needs --root, the folder of the data set, and --protocol; '
            '--list-protocols prints their names.'
        )
    protocol = load_protocols().find(args.dataset, args.protocol)
    if args.out is not None:
        claim_report(args.out, args.force)

    from moe3d_engine.lab.protocols.run import rows_of
    from moe3d_engine.lab.protocols.table import format_table
    from moe3d_engine.lab.protocols.table import table_rows
    from moe3d_engine.lab.protocols.table import write_tables

    records = {weights: run(weights, protocol, args.root) for weights in args.weights}
    ours = {
        name: row
        for weights, record in records.items()
        for name, row in rows_of(record, Path(weights).stem).items()
    }
    rows = table_rows(protocol, ours, load_protocols().elsewhere)
    if args.out is not None:
        for weights, record in records.items():
            record.write(record_path(args.out, weights, len(records)))
        write_tables(args.out, protocol, rows)
    if args.json:
        print(json.dumps(summarize(protocol, records)))
    else:
        print(format_table(protocol, rows))
        for weights, record in records.items():
            print(describe(weights, record))
    return 0


def run(weights: str, protocol: Protocol, root: Path) -> EvaluationRecord:
    """Run a protocol with one set of weights."""
    from moe3d_engine.assets import find_weights
    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.lab.datasets.sequences.open import open_scenes
    from moe3d_engine.lab.protocols.run import run_protocol
    from moe3d_engine.network import Engine
    from moe3d_engine.session import Session
    from tqdm import tqdm

    scenes = open_scenes(protocol.dataset, root, protocol.depth_kind)
    session = Session(Engine(open_backend('auto', weights)))
    total = len(protocol.sequences or scenes.sequences())
    try:
        with tqdm(total=total, unit='sequence', desc=weights, disable=None) as progress:
            record = run_protocol(session, scenes, protocol, lambda sequence: progress.update())
    finally:
        session.engine.close()
    files = find_weights(weights).files
    hashes = {role: file.sha256 for role, file in files.items()}
    return replace(record, configuration={**record.configuration, 'weights_sha256': hashes})


def record_path(folder: Path, weights: str, number: int) -> Path:
    """Return evaluation.json, or evaluation-NAME.json where there are several weights."""
    return folder / ('evaluation.json' if number == 1 else f'evaluation-{Path(weights).stem}.json')


def summarize(protocol: Protocol, records: Mapping[str, EvaluationRecord]) -> dict[str, object]:
    """Return what `--json` prints; figures that do not exist are null."""
    from moe3d_engine.lab.reports.record import without_nan

    return {
        'dataset': protocol.dataset,
        'protocol': protocol.name,
        'results': {
            weights: {
                'counts': record.counts(),
                'dropped': dropped(record),
                'incomplete_sequences': record.configuration['incomplete_sequences'],
                'summary': without_nan(record.summary()),
            }
            for weights, record in records.items()
        },
    }


def describe(weights: str, record: EvaluationRecord) -> str:
    """Return how much was judged, and by name what was not."""
    counts = record.counts()
    text = f'{weights}: {counts["published"]} of {counts["in"]} judged'
    for reason, keys in dropped(record).items():
        text += f'; {reason}: {", ".join(keys)}'
    incomplete: Mapping[str, list[int]] = record.configuration['incomplete_sequences']
    for sequence, (found, expected) in incomplete.items():
        text += f'; {sequence} has {found} frames where the protocol has {expected}'
    return text


def dropped(record: EvaluationRecord) -> dict[str, list[str]]:
    """Return the keys of what was not judged by reason."""
    reasons: dict[str, list[str]] = {}
    for frame in record.frames:
        if frame.dropped:
            reasons.setdefault(frame.dropped, []).append(frame.key)
    return reasons


def list_protocols() -> list[dict[str, object]]:
    """Return what there is to run."""
    from moe3d_engine.lab.protocols.catalogue import load_protocols

    return [
        {
            'dataset': protocol.dataset,
            'protocol': protocol.name,
            'task': protocol.task,
            'alignment': protocol.alignment,
            'reference': protocol.reference,
            'published': [row.method for row in protocol.published],
        }
        for protocol in load_protocols().protocols
    ]


def format_listing(listing: list[dict[str, object]]) -> str:
    """Return a table of the protocols."""
    names = ('dataset', 'protocol', 'task', 'alignment', 'reference')
    rows = []
    for item in listing:
        published = item['published']
        assert isinstance(published, list)
        rows.append([*(str(item[name]) for name in names), ', '.join(published)])
    return markdown_table([*names, 'published'], rows)
