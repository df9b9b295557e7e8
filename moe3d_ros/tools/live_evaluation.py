"""A bag through the running node, several times: latency, throughput, drops, CPU and memory."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

from moe3d_engine.assets import find_weights
from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.bags.reader import choose_camera
from moe3d_engine.bags.reader import read_messages
from moe3d_engine.bags.reader import serialized_stamp_ns
from moe3d_engine.errors import ConfigError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.lab.reports.compare_live import LIVE
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.runs.bag_run import hash_bag
from moe3d_engine.lab.runs.bag_run import UNREADABLE
from moe3d_engine.lab.runs.versions import versions
from moe3d_ros.tools.accounting import account_for
from moe3d_ros.tools.accounting import NOT_RECORDED
from moe3d_ros.tools.node_process import bag_parameters
from moe3d_ros.tools.node_process import isolate
from moe3d_ros.tools.node_process import NodeRun
from moe3d_ros.tools.node_process import NodeRunResult
from moe3d_ros.tools.node_process import Parameters
from moe3d_ros.tools.node_process import play_into_node
from moe3d_ros.tools.node_process import remove_recorded
from moe3d_ros.tools.recorded import read_drops
from moe3d_ros.tools.run_figures import machine
from moe3d_ros.tools.run_figures import node_figures
from moe3d_ros.tools.stream_times import stream_times
from moe3d_ros.tools.stream_times import StreamTimes
import numpy as np

PERCENTILES = (50, 95, 99)
PROBE_FRAMES = 40  # images of a run of the search for the saturation
MAX_DOUBLINGS, BISECTIONS = 5, 3


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """
    What is played into the node.

    Parameters
    ----------
    bag : rosbag2 folder, or an .mcap or .db3 file.
    out : folder; the log of the last node is left there.
    weights : name or card.
    image_topic, camera_info_topic : of the bag; None = the likeliest.
    rate : 2 plays twice as fast as recorded.
    repeats : so many runs, each with a node of its own.
    frames : images to play; None = all.
    saturation : also search for the highest rate at which nothing is dropped.
    parameters : of the node, where they are not the defaults.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    bag: Path
    out: Path
    weights: str = 'moe3d-small'
    image_topic: str | None = None
    camera_info_topic: str | None = None
    rate: float = 1.0
    repeats: int = 3
    frames: int | None = None
    saturation: bool = False
    parameters: Parameters = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers once."""
        if self.repeats < 1:
            raise ConfigError(f'--repeats is at least 1; got {self.repeats}.')
        if not 0.0 < self.rate < float('inf'):
            raise ConfigError(f'--rate is a number above 0; got {self.rate}.')


class LiveRun(NamedTuple):
    """One run of the bag through the node."""

    result: NodeRunResult
    times: StreamTimes
    stamps: list[int]  # of the images that were sent
    named: Mapping[int, list[str]]  # why the node has dropped images, by their stamps
    damaged: int  # images of the bag that could not be sent

    @property
    def dropped(self) -> dict[str, int]:
        """Images that were sent but not recorded, by reason; they add up."""
        figures = node_figures(len(self.stamps), self.result.diagnostics)
        dropped: dict[str, int] = dict(figures['dropped'])
        lost = figures['published'] - len(self.times.latency_ms)
        return dropped | ({NOT_RECORDED: lost} if lost else {})


def evaluate_live(
    options: LiveOptions, on_run: Callable[[], object] = lambda: None
) -> EvaluationRecord:
    """
    Play a bag into a node in a process of its own, and record, once per repeat.

    Parameters
    ----------
    options : what is played, and how often.
    on_run : called after each run.

    Returns
    -------
    EvaluationRecord : of kind `bag-live`. A frame is an image of a repeat. All figures are under
        `timings`; latency runs from the moment at which an image was due to be sent to the
        reception of its depth by the recorder.

    Raises
    ------
    Moe3dError
        If the bag cannot be played, the node fails, or an image is unaccounted for.
    """
    isolate()
    camera = choose_camera(options.bag, options.image_topic, options.camera_info_topic)
    parameters = bag_parameters(options.bag, camera, options.weights) | dict(options.parameters)

    def run_at(rate: float, frames: int | None) -> LiveRun:
        node_run = NodeRun(options.out, options.bag, camera, parameters, rate, frames)
        run = _run(node_run)
        on_run()
        return run

    runs = [run_at(options.rate, options.frames) for _ in range(options.repeats)]
    timings = _timings(runs) | {'machine': machine()}
    if options.saturation:
        probes: dict[float, float] = {}

        def keeps_up(rate: float) -> bool:
            run = run_at(rate, min(options.frames or PROBE_FRAMES, PROBE_FRAMES))
            probes[rate] = run.times.rate_hz
            return not run.dropped and len(run.times.latency_ms) == len(run.stamps)

        rate = find_saturation(keeps_up, options.rate)
        timings['saturation'] = {
            'rate': rate,
            'rate_hz': None if rate is None else probes[rate],
            'probed_rates': list(probes),
        }
    frames = [
        frame for number, run in enumerate(runs, start=1) for frame in _frame_records(number, run)
    ]
    return EvaluationRecord(
        LIVE,
        _configuration(options, camera, parameters, runs[0]),
        tuple(frames),
        timings=timings,
    )


def find_saturation(keeps_up: Callable[[float], bool], start: float) -> float | None:
    """
    Return the highest rate that is kept up with, within an eighth of a doubling.

    Parameters
    ----------
    keeps_up : whether a rate is; dear, so it is asked eight times at most.
    start : rate to begin with; it is doubled or halved at most five times.

    Returns
    -------
    The highest rate found; None if not even the lowest one is kept up with.
    """
    good, bad = None, None
    rate = start
    for _ in range(MAX_DOUBLINGS):
        if keeps_up(rate):
            good, rate = rate, 2 * rate
        else:
            bad, rate = rate, rate / 2
        if good is not None and bad is not None:
            break
    if good is None or bad is None:
        return good
    for _ in range(BISECTIONS):
        middle = float(np.sqrt(good * bad))
        if keeps_up(middle):
            good = middle
        else:
            bad = middle
    return good


def _run(node_run: NodeRun) -> LiveRun:
    """Play once; only the figures are kept of what was recorded."""
    result = play_into_node(node_run)
    image = node_run.camera.image
    messages = read_messages(node_run.bag, [image])
    stamps = [serialized_stamp_ns(message.data) for message in messages]
    times = stream_times(node_run.output, image, node_run.bag, result.sent, node_run.rate)
    named = read_drops(node_run.output)
    remove_recorded(node_run.output)
    sent = result.sent
    run = LiveRun(result, times, stamps[: sent.sent[image]], named, sent.damaged.get(image, 0))
    account_for(run.stamps, run.times.latency_ms, run.dropped, run.named)
    return run


def _timings(runs: list[LiveRun]) -> dict[str, Any]:
    """Return the figures of all runs together and of each."""
    latencies_ms = [value for run in runs for value in run.times.latency_ms.values()]
    each = {str(number): _run_figures(run) for number, run in enumerate(runs, start=1)}
    return {
        'latency_ms': _percentiles(latencies_ms),
        'rate_hz': float(np.mean([run.times.rate_hz for run in runs])),
        'cpu_percent': _mean_of(runs, 'cpu_percent'),
        'rss_mb_max': max((x for run in runs for x in run.result.usage.rss_mb), default=None),
        'repeats': each,
        'usage': {str(n): asdict(run.result.usage) for n, run in enumerate(runs, start=1)},
        'latencies_ms': latencies_ms,
    }


def _run_figures(run: LiveRun) -> dict[str, Any]:
    """Return the figures of one run."""
    latency_ms = run.times.latency_ms
    node = node_figures(len(run.stamps), run.result.diagnostics)
    return {
        'sent': len(run.stamps),
        'recorded': len(latency_ms),
        'dropped': run.dropped,
        'rate_hz': run.times.rate_hz,
        'latency_ms': _percentiles(list(latency_ms.values())),
        'first_latency_ms': latency_ms[min(latency_ms)],
        **{name: node[name] for name in ('node_latency_ms', 'tracked', 'track_ms')},
        'pose_latency_ms': node['pose_latency_ms'],
        'cpu_percent': _mean_of([run], 'cpu_percent'),
        'rss_mb_max': max(run.result.usage.rss_mb, default=None),
        'replay_late_ms': run.result.sent.most_late_ms,
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the maximum."""
    return {f'p{p}': float(np.percentile(values, p)) for p in PERCENTILES} | {'max': max(values)}


def _mean_of(runs: list[LiveRun], name: str) -> float | None:
    """Return the mean of all samples of a usage; None without any."""
    samples = [value for run in runs for value in getattr(run.result.usage, name)]
    return float(np.mean(samples)) if samples else None


def _frame_records(number: int, run: LiveRun) -> list[FrameRecord]:
    """Return a record of each image."""
    fates = account_for(run.stamps, run.times.latency_ms, run.dropped, run.named)
    damaged = [
        FrameRecord(f'{number}:{UNREADABLE}-{n}', dropped=DropReason.BAD_IMAGE.value)
        for n in range(run.damaged)
    ]
    return damaged + [
        FrameRecord(f'{number}:{stamp}', dropped=fate)
        if fate
        else FrameRecord(f'{number}:{stamp}', methods={PUBLISHED: Figures()})
        for stamp, fate in zip(run.stamps, fates, strict=True)
    ]


def _configuration(
    options: LiveOptions, camera: CameraTopics, parameters: Mapping[str, Any], run: LiveRun
) -> dict[str, Any]:
    """Return settings, names, versions and hashes of what was run on what."""
    card = find_weights(options.weights)
    return {
        'bag': options.bag.resolve().name,
        'bag_sha256': hash_bag(options.bag),
        'topics': {'image': camera.image, 'camera_info': camera.camera_info},
        'frames': options.frames,
        'rate': options.rate,
        'repeats': options.repeats,
        'weights': card.name,
        'weights_sha256': {role: file.sha256 for role, file in card.files.items()},
        'backend': run.result.diagnostics['backend'],
        'parameters': {k: v for k, v in parameters.items() if k != 'engine.weights'},
        'versions': versions(),
    }
