"""A bag through the real node: three processes that talk over the middleware."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
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
from typing import Any
from typing import NamedTuple

from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_ros.fastdds_profile import use_shipped_profile
from moe3d_ros.settings.parameters import node_config
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.settings.table import PARAMETERS
from moe3d_ros.settings.table import ParameterValue
from moe3d_ros.tools.bags.recorder import Recorder
from moe3d_ros.tools.bags.replay import ReplaySummary
from moe3d_ros.tools.own_module import own_module
from moe3d_ros.tools.process_usage import Usage
from moe3d_ros.tools.process_usage import UsageMonitor
from moe3d_ros.tools.recorded import DROPS
from moe3d_ros.tools.recorded import NODE
from moe3d_ros.tools.recorded import OUTPUTS
from moe3d_ros.topics import DIAGNOSTICS

logger = logging.getLogger(__name__)

CLI = 'moe3d_ros.cli'
START_TIMEOUT_S = 90.0  # the node loads and warms up its network
SETTLE_TIMEOUT_S = 60.0  # the node works off what it has; slow on a busy machine
SILENCE_S = 4.0  # no change in the node's counts for so long = nothing more will come
STOP_TIMEOUT_S = 20.0

Parameters = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class NodeRun:
    """
    What is played into a node of its own, and where the results go.

    Parameters
    ----------
    folder : gets `node.log` and the recorded bag `output`, which replaces one of an earlier run.
    bag, camera : what is played.
    parameters : of the node, where they are not the defaults; see `bag_parameters`.
    rate : 2 plays twice as fast as recorded.
    frames : images to play; None = all.
    """

    folder: Path
    bag: Path
    camera: CameraTopics
    parameters: Parameters
    rate: float = 1.0
    frames: int | None = None

    @property
    def output(self) -> Path:
        """The recorded bag."""
        return self.folder / 'output'

    @property
    def log(self) -> Path:
        """What the node has said."""
        return self.folder / 'node.log'


class NodeRunResult(NamedTuple):
    """What was sent, the node's last diagnostics, and what its process took of the machine."""

    sent: ReplaySummary
    diagnostics: dict[str, str]
    usage: Usage


def isolate() -> None:
    """
    Let the processes of this run hear each other and nobody else.

    Neither a robot on the network nor a second run on this machine shall hear the replay.
    """
    use_shipped_profile()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(random.SystemRandom().randint(1, 100)))


def bag_parameters(bag: Path, camera: CameraTopics, weights: str) -> dict[str, ParameterValue]:
    """Return the parameters with which the node takes the images of a bag."""
    compressed = read_topics(bag)[camera.image].type == COMPRESSED_IMAGE
    return {
        'engine.weights': weights,
        'input.transport': 'compressed' if compressed else 'raw',
    }


def config_of(parameters: Parameters) -> NodeConfig:
    """Return the settings of a node that is started with some parameters."""
    return node_config({row.name: row.default for row in PARAMETERS} | dict(parameters))


def play_into_node(run: NodeRun) -> NodeRunResult:
    """
    Play a bag into the node, and record until every image is accounted for.

    Raises
    ------
    Moe3dError
        If the bag cannot be played or the node fails; the end of its log is in the text.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    remove_recorded(run.output)

    def wanted(topic: str) -> bool:
        return topic.startswith(f'{NODE}/') or topic == DIAGNOSTICS

    with (
        _node(run) as node,
        UsageMonitor(node.pid) as monitor,
        Recorder(run.output, wanted) as recorder,
    ):
        _wait_for_outputs(recorder, node)
        sent = _play(run, recorder, node)
        settled = _Settled(recorder, sent.sent[run.camera.image])
        if not recorder.spin_until(lambda: settled() or node.ended, SETTLE_TIMEOUT_S):
            logger.warning('The node has not accounted for all images; see node.log.')
        diagnostics = settled.diagnostics
        node.stop(recorder)
    if not diagnostics:
        raise node.failure('has published no diagnostics')
    return NodeRunResult(sent, diagnostics, monitor.usage)


def remove_recorded(path: Path) -> None:
    """Remove the bag of an earlier run, and nothing else."""
    if not path.exists():
        return
    foreign = [p.name for p in path.iterdir() if p.suffix not in ('.mcap', '.yaml')]
    if foreign:
        raise ConfigError(
            f'{path} holds {foreign[0]}, so it is no output of an earlier run. Use --out.'
        )
    shutil.rmtree(path)


class _NodeProcess:
    """The node in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Identifier of the process."""
        return self._process.pid

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
def _node(run: NodeRun) -> Iterator[_NodeProcess]:
    """Start the node on a camera's topics; it does not outlive the block."""
    camera = run.camera
    command = own_module(CLI, 'run', '--ros-args')
    for name, value in run.parameters.items():
        command += ['-p', f'{name}:={_yaml(value)}']
    base = camera.image.removesuffix('/compressed')
    command += [
        *('-r', f'camera/image_raw:={base}', '-r', f'camera/camera_info:={camera.camera_info}'),
        *('-r', f'camera/image_raw/compressed:={camera.image}'),
    ]
    with run.log.open('wb') as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield _NodeProcess(process, run.log)
        finally:
            process.kill()
            process.wait()


def _yaml(value: ParameterValue) -> str:
    """Return a value as ROS reads it from the command line: 1e-05 would be a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f'[{", ".join(map(repr, value))}]'
    return f'{value:.12f}' if isinstance(value, float) else str(value)


def _wait_for_outputs(recorder: Recorder, node: _NodeProcess) -> None:
    """Return once the node's depth and diagnostics are being recorded."""

    def ready() -> bool:
        has_depth = any(names.depth in recorder.topics for names in OUTPUTS.values())
        has_drops = DROPS in recorder.topics
        return node.ended or (has_depth and has_drops and DIAGNOSTICS in recorder.latest)

    in_time = recorder.spin_until(ready, START_TIMEOUT_S)
    if node.ended:
        raise node.failure('did not start')
    if not in_time:
        raise node.failure(f'was not ready within {START_TIMEOUT_S:g} s')


def _play(run: NodeRun, recorder: Recorder, node: _NodeProcess) -> ReplaySummary:
    """Play the bag from a process of its own; its progress goes to stderr."""
    camera = run.camera
    frames = () if run.frames is None else ('--frames', str(run.frames))
    command = own_module(CLI, 'replay', str(run.bag), '--rate', str(run.rate), '--json', *frames)
    command += ['--topics', camera.image, camera.camera_info]
    command += ['--image-topic', camera.image, '--camera-info-topic', camera.camera_info]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        recorder.spin_until(lambda: process.poll() is not None or node.ended, float('inf'))
        if node.ended:
            raise node.failure('ended while the bag was played')
        stdout, _ = process.communicate()
        if process.returncode != 0:
            raise Moe3dError(f'The replay of {run.bag} ended with code {process.returncode}.')
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
        recorded = max(self._recorder.counts[names.depth] for names in OUTPUTS.values())
        named = self._recorder.counts[DROPS]
        counts = (received, published, dropped, recorded, named)
        self._num_unchanged = self._num_unchanged + 1 if counts == self._last_counts else 0
        self._last_counts = counts
        complete = (received, published, dropped) == (self._sent_images, recorded, named)
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
