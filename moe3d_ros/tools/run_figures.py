"""Figures of a run through the node: what became of the images, how fast, on what machine."""

from __future__ import annotations

from collections.abc import Mapping
import math
import os
from pathlib import Path
import platform
from typing import Any

from moe3d_ros.tools.bags.replay import ReplaySummary
from moe3d_ros.tools.stream_times import stream_times
import numpy as np

Summary = dict[str, Any]


def stream_figures(
    output: Path, image_topic: str, bag: Path, sent: ReplaySummary, rate: float
) -> Summary:
    """Return output rate and latency; see `stream_times`."""
    times = stream_times(output, image_topic, bag, sent, rate)
    latencies_ms = list(times.latency_ms.values())
    return {
        'recorded': len(latencies_ms),
        'rate_hz': rounded(times.rate_hz, 2),
        'latency_ms': {f'p{p}': rounded(np.percentile(latencies_ms, p), 1) for p in (50, 95)},
    }


def node_figures(sent_images: int, diagnostics: Mapping[str, str]) -> Summary:
    """
    Return what became of each image, from the node's last diagnostics.

    `dropped` also counts what never reached the node (`not_received`) and what the node has
    lost sight of (`unaccounted`), so that published and dropped images add up to those sent.
    `tracked` counts the images with a pose by its status; the latency of poses ends when they are
    published.
    """
    received, published = int(diagnostics['frames_in']), int(diagnostics['published'])
    dropped = {
        key.removeprefix('dropped.'): int(value)
        for key, value in diagnostics.items()
        if key.startswith('dropped.') and int(value)
    }
    missing = {
        'not_received': sent_images - received,
        'unaccounted': received - published - sum(dropped.values()),
    }
    dropped |= {reason: count for reason, count in missing.items() if count}
    statuses = [key for key in diagnostics if key.startswith('tracked.')]
    return {
        'frames_in': sent_images,
        'published': published,
        'dropped': dropped,
        'node_latency_ms': _percentiles('latency_ms', diagnostics),
        'tracked': {key.removeprefix('tracked.'): int(diagnostics[key]) for key in statuses},
        'track_ms': _percentiles('track_ms', diagnostics),
        'pose_latency_ms': _percentiles('pose_latency_ms', diagnostics),
    }


def _percentiles(name: str, diagnostics: Mapping[str, str]) -> dict[str, float]:
    """Return p50 and p95 of a duration; empty where it was never measured."""
    keys = {p: f'{name}.{p}' for p in ('p50', 'p95')}
    return {p: float(diagnostics[key]) for p, key in keys.items() if key in diagnostics}


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return {
        'cpu': models[0] if models else platform.processor() or platform.machine(),
        'cores': os.cpu_count() or 1,
        'platform': platform.platform(),
        'python': platform.python_version(),
    }


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Return a number fit for JSON: rounded, None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)
