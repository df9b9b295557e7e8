"""How commands print a result: lines for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Mapping
import json


def print_summary(summary: Mapping[str, object], as_json: bool) -> None:
    """Print a result as one JSON object, or as aligned lines."""
    if as_json:
        print(json.dumps(dict(summary)))
        return
    width = max(len(key) for key in summary)
    for key, value in summary.items():
        print(f'{key:<{width}}  {value}')
