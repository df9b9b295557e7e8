"""Whether what a node has published keeps the rules of its consumers: read off a recorded bag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
import math
import re
from typing import TypeAlias

from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.bag import Source
from moe3d_engine.bags.reader import listing
from moe3d_engine.conformance.clouds import CloudRules
from moe3d_engine.conformance.findings import Finding
from moe3d_engine.conformance.findings import Findings
from moe3d_engine.conformance.headers import HeaderRules
from moe3d_engine.conformance.images import CameraRules
from moe3d_engine.conformance.images import COLOR
from moe3d_engine.conformance.images import CONFIDENCE
from moe3d_engine.conformance.images import DEPTH
from moe3d_engine.conformance.images import INFO
from moe3d_engine.conformance.motion import OdometryRules
from moe3d_engine.conformance.motion import PoseRules
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns

NODE = '/moe3d'
ODOMETRY = 'nav_msgs/msg/Odometry'
PATH = 'nav_msgs/msg/Path'
POSE = 'geometry_msgs/msg/PoseWithCovarianceStamped'
CLOUD = 'sensor_msgs/msg/PointCloud2'
DIAGNOSTICS = 'diagnostic_msgs/msg/DiagnosticArray'
TRANSFORMS = 'tf2_msgs/msg/TFMessage'
TF_TOPICS = ('/tf', '/tf_static')
# Roles of a camera's topics by the end of their names.
ROLES = {
    'depth/image_rect': DEPTH,
    'relative_depth/image_rect': DEPTH,
    'depth/camera_info': INFO,
    'relative_depth/camera_info': INFO,
    'boundary_confidence': CONFIDENCE,
    'color/image_rect': COLOR,
}
METRIC = (  # endings
    '/depth/image_rect', '/points', '/points_clearing', '/pose', '/odometry', '/path',
)  # fmt: skip
_CAMERA_TOPIC = re.compile(rf'(?P<camera>.+?)/(?P<end>{"|".join(ROLES)})')

Check: TypeAlias = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class BagReport:
    """
    The outcome of a check.

    Parameters
    ----------
    topics : those that were checked, with the number of their messages.
    findings : the first few of each rule on each topic; empty = all rules are kept.
    counts : how often each rule was broken on each topic.
    """

    topics: Mapping[str, int]
    findings: tuple[Finding, ...]
    counts: Mapping[tuple[str, str], int]


def check_bag(source: Source, node: str = NODE) -> BagReport:
    """
    Check what a node has published: poses, odometry, depth, clouds, scale, and TF as a whole.

    Only what is in the bag is checked; that something is missing is no finding.

    Parameters
    ----------
    source : recorded bag.
    node : the node's full name, below which its topics are.

    Raises
    ------
    InputError
        If the bag cannot be read, or holds nothing of the node that could be checked.
    """
    with open_bag(source) as bag:
        types = {name: topic.type for name, topic in bag.topics.items()}
        check = OutputCheck(types, node)
        for topic, _, message in bag.decoded(check.topics):
            check.add(topic, message)
        for line in bag.damage.lines:
            check.findings.add('unreadable', str(bag.path), 0, line)
        report = check.report()
        if not any(name.startswith(f'{node}/') for name in report.topics):
            raise InputError(
                f'{bag.path} has nothing of a node {node} for which there are rules. Name the '
                f'node with --node. The bag has: {listing(bag.topics)}.'
            )
    return report


class OutputCheck:
    """
    The rules for each topic of a node, for messages as they come.

    Parameters
    ----------
    types : of all topics that there are, by name.
    node : as in `check_bag`.

    Attributes
    ----------
    topics : those for which there are rules.
    findings : what is wrong so far.
    """

    def __init__(self, types: Mapping[str, str], node: str = NODE) -> None:
        own = {name for name in types if name.startswith(f'{node}/')}
        self.findings = Findings()
        self._types = types
        self._headers = HeaderRules(self.findings)
        self._poses = PoseRules(self.findings, self._headers)
        self._clouds = CloudRules(self.findings)
        self._odometry: list[OdometryRules] = []
        self._cameras = self._camera_rules(own)
        self._check_relative(own)
        self._counts: Counter[str] = Counter()
        checks = {
            name: self._check_of(name, types[name])
            for name in sorted(own | {name for name in TF_TOPICS if name in types})
        }
        self._checks = {name: check for name, check in checks.items() if check is not None}
        self.topics = list(self._checks)

    def add(self, topic: str, message: Message) -> None:
        """Check a message of one of `topics`."""
        self._counts[topic] += 1
        if self._types[topic] not in (DIAGNOSTICS, TRANSFORMS):
            self._headers.check(topic, message)
        self._checks[topic](message)

    def report(self) -> BagReport:
        """Check what only all messages show, and return the outcome."""
        for odometry in self._odometry:
            odometry.finish()
        for camera, _ in self._cameras.values():
            camera.finish()
        findings = self.findings
        return BagReport(dict(self._counts), tuple(findings.kept), dict(findings.counts))

    def _camera_rules(self, own: set[str]) -> dict[str, tuple[CameraRules, str]]:
        """Return the rules of the camera, and the role in it, of each topic that has one."""
        cameras: dict[str, dict[str, str]] = {}
        for name in own:
            match = _CAMERA_TOPIC.fullmatch(name)
            if match is not None and self._types[name] in (IMAGE, CAMERA_INFO):
                cameras.setdefault(match['camera'], {})[ROLES[match['end']]] = name
        return {
            name: (rules, role)
            for by_role in cameras.values()
            for rules in [CameraRules(self.findings, by_role)]
            for role, name in by_role.items()
        }

    def _check_of(self, name: str, type_name: str) -> Check | None:
        """Return what checks the messages of a topic; None where there are no rules for it."""
        if name in self._cameras:
            camera, role = self._cameras[name]
            return partial(camera.check, role)
        if type_name == ODOMETRY:
            self._odometry.append(OdometryRules(self.findings, name))
            return self._odometry[-1].check
        if type_name == DIAGNOSTICS and not name.endswith('/scale'):
            return None
        rules: dict[str, Callable[[str, Message], None]] = {
            CLOUD: self._clouds.check,
            POSE: self._poses.check_pose,
            PATH: self._poses.check_path,
            TRANSFORMS: self._poses.check_transforms,
            DIAGNOSTICS: self._check_scale,
        }
        return partial(rules[type_name], name) if type_name in rules else None

    def _check_relative(self, own: set[str]) -> None:
        """Find topics that claim metres beside depth that has none."""
        relative = sorted(name for name in own if '/relative_depth/' in name)
        claiming = sorted(name for name in own if name.endswith(METRIC))
        if relative and claiming:
            text = f'{claiming[0]} claims metres, while depth is relative.'
            self.findings.add('metres_beside_relative', relative[0], 0, text)

    def _check_scale(self, topic: str, message: Message) -> None:
        """Check that a scale says factor, deviation, source and state."""
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        stamp = stamp_ns(message)
        missing = [key for key in ('factor', 'std', 'source', 'state') if not values.get(key)]
        if missing:
            text = f'the scale does not say its {", ".join(missing)}.'
            self.findings.add('scale_incomplete', topic, stamp, text)
            return
        factor, std = _number(values['factor']), _number(values['std'])
        if not (0 < factor < math.inf and std >= 0):
            text = f'factor {values["factor"]}, std {values["std"]}: both are numbers above 0.'
            self.findings.add('scale_value', topic, stamp, text)
        if values['state'] not in ('estimating', 'locked'):
            text = f'the state is {values["state"]}; known are estimating and locked.'
            self.findings.add('scale_value', topic, stamp, text)


def _number(text: str) -> float:
    """Return a text's number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
