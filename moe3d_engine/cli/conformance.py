"""`moe3d doctor --bag`: the findings of a recorded bag, one a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.bags.damage import seconds

if TYPE_CHECKING:
    from moe3d_engine.conformance.bag_check import BagReport


def report_bag(path: Path, node: str, as_json: bool) -> int:
    """Check a bag and print its findings; return 1 if there are any, else 0."""
    from moe3d_engine.conformance.bag_check import check_bag

    report = check_bag(path, node)
    print(json.dumps(as_values(report)) if as_json else '\n'.join(lines_of(report)))
    return 1 if report.findings else 0


def as_values(report: BagReport) -> dict[str, object]:
    """Return a report as JSON has it."""
    return {
        'ok': not report.findings,
        'messages': dict(report.topics),
        'findings': [finding._asdict() for finding in report.findings],
        'counts': [
            {'rule': rule, 'topic': topic, 'count': count}
            for (rule, topic), count in report.counts.items()
        ],
    }


def lines_of(report: BagReport) -> list[str]:
    """Return a line for each finding that was kept, how many more there were, and a sum."""
    lines = [
        f'{finding.topic} at {seconds(finding.stamp_ns)}: {finding.rule}: {finding.text}'
        for finding in report.findings
    ]
    for (rule, topic), count in report.counts.items():
        shown = sum((f.rule, f.topic) == (rule, topic) for f in report.findings)
        if count > shown:
            lines.append(f'{topic}: {rule}: {count - shown} more')
    messages, broken = sum(report.topics.values()), sum(report.counts.values())
    outcome = f'{broken} findings' if broken else 'all rules are kept'
    return [*lines, f'{messages} messages on {len(report.topics)} topics: {outcome}']
