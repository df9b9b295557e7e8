"""The demo: a bag through the real node, three processes that talk over the middleware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import json
import logging
import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
from typing import Any

from moe3d_engine.bags import CameraTopics
from moe3d_engine.bags import choose_camera
from moe3d_engine.bags import read_topics
from moe3d_engine.cloud_io import write_ply
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.messages import COMPRESSED_IMAGE
from moe3d_ros.contact_sheet import write_contact_sheet
from moe3d_ros.demo_bag import demo_bag_path
from moe3d_ros.demo_bag import render_demo_bag
from moe3d_ros.demo_frames import DEPTH_TOPICS
from moe3d_ros.demo_frames import PREFIX
from moe3d_ros.demo_frames import PublishedFrame
from moe3d_ros.demo_report import evaluate
from moe3d_ros.demo_report import EvaluatedFrames
from moe3d_ros.demo_report import machine
from moe3d_ros.demo_report import MAX_EVALUATED_FRAMES
from moe3d_ros.demo_report import node_figures
from moe3d_ros.demo_report import stream_figures
from moe3d_ros.demo_report import Summary
from moe3d_ros.fastdds_profile import use_shipped_profile
from moe3d_ros.parameter_table import PARAMETERS
from moe3d_ros.parameters import node_config
from moe3d_ros.parameters import NodeConfig
from moe3d_ros.recorder import Recorder
from moe3d_ros.replay import ReplaySummary
import numpy as np
from tqdm import tqdm

logger = logging.getLogger(__name__)

DEFAULT_FRAMES = 60
DIAGNOSTICS = '/diagnostics'
START_TIMEOUT_S = 90.0  # the node loads and warms up its network
SETTLE_TIMEOUT_S = 60.0  # the node works off what it has; slow on a busy machine
SILENCE_S = 4.0  # no change in the node's counts for so long = nothing more will come
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """
    What the demo runs on.

    Parameters
    ----------
    out : folder of the results; results of an earlier run are replaced.
    bag : None = render one.
    rate : of the replay.
    frames : to render, or to play of the bag; None = 60, or all.
    image_topic, camera_info_topic, depth_topic : None = the likeliest.
    weights : name of shipped weights, or path of a card.
    """

    out: Path
    bag: Path | None = None
    rate: float = 1.0
    frames: int | None = None
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    weights: str = 'moe3d-small'


def run_demo(options: DemoOptions) -> Summary:
    """
    Run the demo and write its results; return the content of summary.json.

    Raises
    ------
    Moe3dError
        If the bag or weights cannot be used, or the node fails; its log is in node.log.
    """
    use_shipped_profile()
    # Neither a robot on the network nor a second demo on this machine shall hear the replay.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(random.SystemRandom().randint(1, 100)))
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    bag = options.bag or _rendered_bag(out, options.frames or DEFAULT_FRAMES)
    camera = choose_camera(
        bag, options.image_topic, options.camera_info_topic, options.depth_topic
    )
    output = out / 'output'
    _remove_bag(output)
    config = _config(options, bag, camera)
    sent, diagnostics = _stream(options, bag, camera, config)
    rate = options.rate
    num_frames = min(int(diagnostics['published']), MAX_EVALUATED_FRAMES)
    with tqdm(total=num_frames, desc='evaluating', unit='frame', disable=None) as progress:
        evaluated, figures = evaluate(bag, camera, output, config, progress.update)
    summary = {
        **node_figures(sent.sent[camera.image], diagnostics),
        **stream_figures(output, camera.image, bag, sent, rate),
        **figures,
        'replay_rate': rate,
        'bag': str(bag),
        'weights': diagnostics['weights'],
        'backend': diagnostics['backend'],
        'machine': machine(),
    }
    (out / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    write_contact_sheet(out / 'contact_sheet.png', evaluated, summary)
    _write_cloud(out / 'cloud.ply', _middle(evaluated))
    return summary


def _rendered_bag(out: Path, num_frames: int) -> Path:
    """Return the demo's own bag, rendered unless an earlier run has done so."""
    path = demo_bag_path(out / 'input', num_frames)
    if not path.is_dir():
        logger.info('Rendering %d frames with ground truth (half a minute) ...', num_frames)
        path.parent.mkdir(parents=True, exist_ok=True)
        render_demo_bag(path, num_frames)
    return path


def _remove_bag(path: Path) -> None:
    """Remove the bag of an earlier run, and nothing else."""
    if not path.exists():
        return
    foreign = [p.name for p in path.iterdir() if p.suffix not in ('.mcap', '.yaml')]
    if foreign:
        raise ConfigError(f'{path} holds {foreign[0]}, so it is no output of the demo. Use --out.')
    shutil.rmtree(path)


def _config(options: DemoOptions, bag: Path, camera: CameraTopics) -> NodeConfig:
    """Return the node's settings: its defaults, the weights and the bag's kind of images."""
    compressed = read_topics(bag)[camera.image].type == COMPRESSED_IMAGE
    values = {row.name: row.default for row in PARAMETERS}
    values['engine.weights'] = options.weights
    values['input.transport'] = 'compressed' if compressed else 'raw'
    return node_config(values)


def _stream(
    options: DemoOptions, bag: Path, camera: CameraTopics, config: NodeConfig
) -> tuple[ReplaySummary, dict[str, str]]:
    """Play the bag into the node and record; return what was sent and the last diagnostics."""

    def wanted(topic: str) -> bool:
        return topic.startswith(f'{PREFIX}/') or topic == DIAGNOSTICS

    with (
        _node(options.out / 'node.log', camera, config) as node,
        Recorder(options.out / 'output', wanted) as recorder,
    ):
        _wait_for_outputs(recorder, node)
        sent = _play(options, bag, camera, recorder, node)
        settled = _Settled(recorder, sent.sent[camera.image])
        if not recorder.spin_until(lambda: settled() or node.ended, SETTLE_TIMEOUT_S):
            logger.warning('The node has not accounted for all images; see node.log.')
        diagnostics = settled.diagnostics
        node.stop(recorder)
    return sent, diagnostics


class _NodeProcess:
    """The node in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def stop(self, recorder: Recorder) -> None:
        """Interrupt the node as Ctrl-C does, and demand that it ends cleanly."""
        if not self.ended:
            self._process.send_signal(signal.SIGINT)
        if not recorder.spin_until(lambda: self.ended, STOP_TIMEOUT_S):
            raise self.failure(f'did not end within {STOP_TIMEOUT_S:g} s after SIGINT')
        if self._process.returncode != 0:
            raise self.failure(f'ended with code {self._process.returncode}')

    def failure(self, what: str) -> Moe3dError:
        """Return an error with the end of the node's log."""
        tail = '\n'.join(self._log.read_text(errors='replace').splitlines()[-8:])
        return Moe3dError(f'The node {what}. {self._log} ends with:\n{tail}')


@contextmanager
def _node(log: Path, camera: CameraTopics, config: NodeConfig) -> Iterator[_NodeProcess]:
    """Start the node on a camera's topics; it does not outlive the block."""
    base = camera.image.removesuffix('/compressed')
    command = [
        *_moe3d('run', '--ros-args'),
        *('-p', f'engine.weights:={config.weights}', '-p', f'input.transport:={config.transport}'),
        *('-r', f'camera/image_raw:={base}', '-r', f'camera/camera_info:={camera.camera_info}'),
        *('-r', f'camera/image_raw/compressed:={camera.image}'),
    ]
    with log.open('wb') as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield _NodeProcess(process, log)
        finally:
            process.kill()
            process.wait()


def _moe3d(*arguments: str) -> list[str]:
    """Return a command line of `moe3d` in this interpreter."""
    return [sys.executable, '-m', 'moe3d_ros.cli', *arguments]


def _wait_for_outputs(recorder: Recorder, node: _NodeProcess) -> None:
    """Return once the node's depth and diagnostics are being recorded."""

    def ready() -> bool:
        has_depth = any(topic in recorder.topics for topic in DEPTH_TOPICS.values())
        return node.ended or (has_depth and DIAGNOSTICS in recorder.latest)

    in_time = recorder.spin_until(ready, START_TIMEOUT_S)
    if node.ended:
        raise node.failure('did not start')
    if not in_time:
        raise node.failure(f'was not ready within {START_TIMEOUT_S:g} s')


def _play(
    options: DemoOptions, bag: Path, camera: CameraTopics, recorder: Recorder, node: _NodeProcess
) -> ReplaySummary:
    """Play the bag from a process of its own; its progress goes to stderr."""
    frames = () if options.frames is None else ('--frames', str(options.frames))
    command = _moe3d('replay', str(bag), '--rate', str(options.rate), '--json', *frames)
    command += ['--topics', camera.image, camera.camera_info]
    command += ['--image-topic', camera.image, '--camera-info-topic', camera.camera_info]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        recorder.spin_until(lambda: process.poll() is not None or node.ended, float('inf'))
        if node.ended:
            raise node.failure('ended while the bag was played')
        stdout, _ = process.communicate()
        if process.returncode != 0:
            raise Moe3dError(f'The replay of {bag} ended with code {process.returncode}.')
        return ReplaySummary(**json.loads(stdout))
    finally:
        process.kill()
        process.wait()


class _Settled:
    """Whether every image that was sent has become an output or a drop, by the diagnostics."""

    def __init__(self, recorder: Recorder, sent_images: int) -> None:
        self._recorder = recorder
        self._sent_images = sent_images
        self._num_unchanged = 0
        self._last_counts: tuple[int, ...] = ()
        self._num_seen = recorder.counts[DIAGNOSTICS]
        self.diagnostics: dict[str, str] = {}

    def __call__(self) -> bool:
        """Look at new diagnostics, which come once a second."""
        num_seen = self._recorder.counts[DIAGNOSTICS]
        if num_seen == self._num_seen:
            return False
        self._num_seen = num_seen
        values = read_diagnostics(self._recorder.latest[DIAGNOSTICS])
        if 'frames_in' not in values:
            return False
        self.diagnostics = values
        received, published = int(values['frames_in']), int(values['published'])
        dropped = sum(int(v) for key, v in values.items() if key.startswith('dropped.'))
        recorded = max(self._recorder.counts[topic] for topic in DEPTH_TOPICS.values())
        counts = (received, published, dropped, recorded)
        self._num_unchanged = self._num_unchanged + 1 if counts == self._last_counts else 0
        self._last_counts = counts
        complete = received == self._sent_images and recorded == published
        idle = self._num_unchanged >= SILENCE_S
        return received == published + dropped and (complete or idle)


def read_diagnostics(data: bytes) -> dict[str, str]:
    """Return the key-value pairs of the node's status in a serialized DiagnosticArray."""
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.serialization import deserialize_message

    array: Any = deserialize_message(data, DiagnosticArray)
    return {
        pair.key: pair.value
        for status in array.status
        if 'moe3d' in status.name
        for pair in status.values
    }


def _middle(evaluated: EvaluatedFrames) -> PublishedFrame:
    """Return the frame whose cloud is shown and written."""
    return evaluated.frames[len(evaluated.frames) // 2]


def _write_cloud(path: Path, frame: PublishedFrame) -> None:
    """Write the published points of one frame, in the camera's optical frame."""
    points = unproject_depth(frame.depth[None], frame.intrinsics[None])[0]
    valid = np.isfinite(points[..., 2])
    write_ply(path, points[valid], frame.image[valid])
