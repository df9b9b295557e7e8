"""What rules of consumers are told: settings, what is published, and what they find wrong."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

CLOUD = 'sensor_msgs/msg/PointCloud2'
IMAGE = 'sensor_msgs/msg/Image'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
ODOMETRY = 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseWithCovarianceStamped'
TF_BUFFER_S = 10.0  # what a listener of tf2 keeps, if nobody asks for more


class Trouble(NamedTuple):
    """
    A setting or a stream that drops or spoils data.

    Parameters
    ----------
    setting : name of a parameter, a topic or a frame.
    value : what it is.
    effect : what becomes of the data.
    remedy : what to set.
    severe : False = it limits what arrives, which may be meant.
    """

    setting: str
    value: object
    effect: str
    remedy: str
    severe: bool = True

    @property
    def text(self) -> str:
        """Return value, effect and remedy as sentences."""
        return f'{self.value if self.value != "" else "empty"}: {self.effect} {self.remedy}'


@dataclass(frozen=True, slots=True)
class Stream:
    """
    What was seen of a topic.

    Parameters
    ----------
    type : of its messages.
    stamps_ns : of the messages, in the order in which they came.
    latencies_s : from each stamp until the message came.
    frame, child_frame : of the last message.
    size : (width, height) of the last image, camera_info or cloud.
    encoding : of the last image.
    pose_variances, twist_variances : diagonals (6,) of the last odometry.
    seconds : how long was listened.
    """

    type: str
    stamps_ns: Sequence[int] = ()
    latencies_s: Sequence[float] = ()
    frame: str = ''
    child_frame: str = ''
    size: tuple[int, int] | None = None
    encoding: str = ''
    pose_variances: tuple[float, ...] = ()
    twist_variances: tuple[float, ...] = ()
    seconds: float = 0.0

    @property
    def rate_hz(self) -> float:
        """Return messages per second; 0 where nothing came."""
        return len(self.stamps_ns) / self.seconds if self.seconds > 0 else 0.0

    @property
    def latency_s(self) -> float | None:
        """Return the largest latency but for one in twenty; None where nothing came."""
        ordered = sorted(self.latencies_s)
        return ordered[int(0.95 * (len(ordered) - 1))] if ordered else None


@dataclass(frozen=True, slots=True)
class Outputs:
    """
    What there is to hear.

    Parameters
    ----------
    streams : by topic: those of the node, and the other inputs of its consumers.
    published : all topics that somebody publishes.
    node : full name of the node.
    sends_tf : whether the node sends odom -> base.
    tf_lag_s : by how much TF comes later than the stamps it is for; None = not known.
    """

    streams: Mapping[str, Stream] = field(default_factory=dict)
    published: frozenset[str] = frozenset()
    node: str = '/moe3d'
    sends_tf: bool = False
    tf_lag_s: float | None = None

    def is_ours(self, topic: str) -> bool:
        """Return whether a topic is below the node's name."""
        return topic.startswith(f'{self.node}/')

    def named(self, end: str) -> str:
        """Return the node's topic that ends so; where there is none, that of camera `camera`."""
        ours = sorted(filter(self.is_ours, self.published))
        default = f'{self.node}/{end if end == "odometry" else f"camera/{end}"}'
        return next((topic for topic in ours if topic.endswith(f'/{end}')), default)

    def stream(self, topic: str) -> Stream:
        """Return what was seen of a topic; an empty stream where nothing was."""
        return self.streams.get(topic, Stream(''))


@dataclass(frozen=True, slots=True)
class Consumer:
    """
    A node that takes depth, clouds or odometry.

    Parameters
    ----------
    name : its full name.
    parameters : their values by full names; what is missing has the consumer's default.
    inputs : type by topic of what it subscribes to.
    """

    name: str
    parameters: Mapping[str, object]
    inputs: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """Return a parameter that is a number, or a text that holds one."""
        value = self.parameters.get(name, default)
        try:
            return float(value) if isinstance(value, int | float | str) else default
        except ValueError:
            return default

    def flag(self, name: str, default: bool) -> bool:
        """Return a parameter that is true or false."""
        value = self.parameters.get(name, default)
        return value if isinstance(value, bool) else default

    def text(self, name: str, default: str = '') -> str:
        """Return a parameter that is a text."""
        value = self.parameters.get(name, default)
        return value if isinstance(value, str) else default

    def inputs_of(self, *types: str) -> list[str]:
        """Return the topics of some types that it subscribes to."""
        return sorted(topic for topic, kind in self.inputs.items() if kind in types)

    def absolute(self, topic: str) -> str:
        """Return a topic's full name in this node's namespace."""
        return topic if topic.startswith('/') else f'{self.name.rpartition("/")[0]}/{topic}'


def unheard_inputs(
    consumer: Consumer, outputs: Outputs, remaps: Mapping[str, str]
) -> list[Trouble]:
    """
    Return the inputs that nobody publishes, with the remapping that feeds them.

    Parameters
    ----------
    consumer, outputs : see there.
    remaps : end of an input's name -> end of the name of the output that should feed it.
    """
    troubles = []
    for topic in sorted(consumer.inputs):
        end = next((end for end in remaps if topic.endswith(end)), None)
        if end is None or topic in outputs.published:
            continue
        troubles.append(
            Trouble(
                topic,
                'without a publisher',
                'nothing arrives.',
                f'Remap {end.lstrip("/")}:={outputs.named(remaps[end])} at the start of '
                f'{consumer.name}.',
            )
        )
    return troubles


def late_transforms(outputs: Outputs, topic: str, queue: int) -> list[Trouble]:
    """Return whether messages fall out of a queue while they wait for TF."""
    lag_s, rate_hz = outputs.tf_lag_s, outputs.stream(topic).rate_hz
    waiting_s = (lag_s or 0.0) - (outputs.stream(topic).latency_s or 0.0)
    if lag_s is None or rate_hz * waiting_s <= queue:
        return []
    return [
        Trouble(
            topic,
            f'{rate_hz:.1f} Hz',
            f'TF comes {lag_s:.2f} s late, and only {queue} messages wait for it.',
            'Let the source of TF send at a higher rate or with less delay.',
        )
    ]
