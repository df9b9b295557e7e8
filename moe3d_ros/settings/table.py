"""The table of the node's parameters, and how the README shows it."""

from __future__ import annotations

import math
from typing import NamedTuple
from typing import TypeAlias

from moe3d_engine.backends.open import BACKEND_NAMES
from moe3d_engine.clouds import CLOUD_WRITERS
from moe3d_engine.policy import DEPTH_MAX_M
from moe3d_engine.policy import Thresholds
from moe3d_engine.rig.moments import SILENT_S
from moe3d_engine.rig.moments import TOLERANCE_S
from moe3d_engine.scale import SCALE_SOURCES
from moe3d_engine.scale import ScaleConfig
from moe3d_engine.types import MotionErrors
from moe3d_engine.window import KEYFRAME_INTERVAL_S
from moe3d_engine.window import MAX_VIEWS

SingleValue: TypeAlias = bool | int | float | str
ParameterValue: TypeAlias = SingleValue | list[str]


class ParameterRow(NamedTuple):
    """A parameter: its default also gives its type; `bounds` are inclusive."""

    name: str
    default: ParameterValue
    text: str
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    live: bool = False  # may change while the node is configured


_KEEP, _SCALE, _MOTION = Thresholds(), ScaleConfig(), MotionErrors()

# fmt: off
PARAMETERS = (
    ParameterRow('camera.name', 'camera', 'Name of the camera: first part of its topics.'),
    ParameterRow('camera.names', [''], 'Names of the cameras of a rig, the tracked one first; '
                 'empty = the one of camera.name.'),
    ParameterRow('input.transport', 'raw', 'Type of the images: raw = sensor_msgs/Image on '
                 '<camera>/image_raw, compressed = sensor_msgs/CompressedImage on '
                 '<camera>/image_raw/compressed.', choices=('raw', 'compressed')),
    ParameterRow('input.reliability', 'auto', 'Reliability of the subscriptions; auto = reliable '
                 'if every publisher of the topic offers it, else best_effort.',
                 choices=('auto', 'reliable', 'best_effort')),
    ParameterRow('input.rectified', 'auto', 'Whether the images are rectified already, so that P '
                 'of the camera_info belongs to them; auto = by the name of the topic '
                 '(image_rect...).', choices=('auto', 'yes', 'no')),
    ParameterRow('input.mono16_bits', 0, 'How many of 16 bits a grey sensor fills, from the '
                 'lowest on; 0 = 16.', (0, 16)),
    ParameterRow('camera_info.timeout_s', 1.0, 'Seconds that an image waits for the camera_info '
                 'of its stamp.', (0.0, 60.0)),
    ParameterRow('camera_info.latched', False, 'Take the camera_info that was published once '
                 '(transient local) for every image. Off, because a camera that is calibrated '
                 'anew, zooms or changes its mode would go on with what it was.'),
    ParameterRow('window.max_views', MAX_VIEWS, 'Views that are reconstructed together, the '
                 'newest included; 1 = each image by itself.', (1, 64)),
    ParameterRow('window.keyframe_interval_s', KEYFRAME_INTERVAL_S, 'Least seconds between the '
                 'earlier views of the window, where nobody knows how the camera has moved.',
                 (0.0, 60.0)),
    ParameterRow('engine.backend', 'auto', 'Runtime of the network; the log says what auto has '
                 'chosen.', choices=BACKEND_NAMES),
    ParameterRow('engine.weights', 'moe3d-small', 'Name of shipped weights, or path of a card '
                 '(.json).'),
    ParameterRow('engine.threads', 0, 'CPU threads of the network; 0 = the runtime chooses.',
                 (0, 1024)),
    ParameterRow('depth.min_m', _KEEP.depth_min_m, 'Metres; nearer depth becomes NaN.',
                 live=True),
    ParameterRow('depth.max_m', DEPTH_MAX_M, 'Metres; farther depth becomes +Inf, and '
                 'NaN in the cloud.', live=True),
    ParameterRow('depth.encoding', '32FC1', 'Encoding of the depth image: 32FC1 = metres, '
                 '16UC1 = millimetres with 0 for unknown and for beyond range.',
                 choices=('32FC1', '16UC1')),
    ParameterRow('rejection.enabled', True, 'Reject pixels that lie between two surfaces: depth '
                 'NaN, confidence 0.', live=True),
    ParameterRow('rejection.min_agreement', _KEEP.min_agreement, 'Share of the mixture that '
                 'must agree with the depth of a pixel.', (0.0, 1.0), live=True),
    ParameterRow('rejection.min_confidence', _KEEP.min_confidence, 'Boundary confidence that '
                 'a pixel must reach.', (0.0, 1.0), live=True),
    ParameterRow('poses.source', 'tracking', 'Where the poses of images come from: tracking = '
                 'from the images; odometry = from odometry, which the images check; network = '
                 'from the network, window by window.',
                 choices=('tracking', 'odometry', 'network')),
    ParameterRow('poses.odometry_topic', '', 'Topic of nav_msgs/Odometry of the robot, by wheels '
                 'or another camera; empty = none.'),
    ParameterRow('poses.odometry_from', 'topic', 'Who tells odometry: topic = '
                 'poses.odometry_topic; tf = TF, as poses.odometry_frame -> the camera at the '
                 "image's stamp. Needs tf2_ros.", choices=('topic', 'tf')),
    ParameterRow('poses.odometry_frame', 'odom', 'Frame of TF in which odometry moves the '
                 'robot.'),
    ParameterRow('poses.odometry_error', _MOTION.way_share, 'Share of a way by which odometry is '
                 'usually wrong, one standard deviation: .02 by wheels, .01 by good ones or '
                 'another camera.', (0.001, 1.0)),
    ParameterRow('poses.odometry_error_deg', round(math.degrees(_MOTION.turn_rad), 6),
                 'Degrees by which its turn from one image to the next is usually wrong.',
                 (0.001, 90.0)),
    ParameterRow('poses.base_from_camera', '', "Place of the camera's optical frame in the "
                 "odometry's child frame, as 'x y z qx qy qz qw' in metres; empty = TF knows."),
    ParameterRow('rig.extrinsics', '', 'Where the cameras of camera.names sit: path of a YAML '
                 'file (our own form, or a camchain of Kalibr), or tf; empty = not known.'),
    ParameterRow('rig.frame', '', 'Frame of the extrinsics and of ~/points, such as base_link; '
                 "empty = that of the first camera's images."),
    ParameterRow('rig.tolerance_s', TOLERANCE_S, 'Seconds by which the stamps of one moment may '
                 'differ.', (0.0, 0.5)),
    ParameterRow('rig.silent_s', SILENT_S, 'Seconds that the other cameras wait for one that '
                 'sends nothing.', (0.01, 60.0)),
    ParameterRow('scale.source', _SCALE.source, 'Where metres come from: odometry = its motion '
                 'against that of vision; rig = the distances between cameras, by rig.extrinsics; '
                 'reference_depth = scale.reference_topic against the '
                 "tracked points; fixed = the network's unit times scale.factor; network = the "
                 'metres that metric weights have learnt; none = depth is relative and goes out '
                 'under relative_depth; auto = the first of these that is there, fixed if '
                 'scale.factor is not 1.', choices=SCALE_SOURCES),
    ParameterRow('scale.factor', _SCALE.factor, 'Metres per unit of the network, for fixed and '
                 'auto; at run time for fixed only.', live=True),
    ParameterRow('scale.reference_topic', '', 'Topic of a depth image (sensor_msgs/Image; its '
                 'camera_info is beside it) or of a lidar (PointCloud2), for reference_depth and '
                 'auto; empty = none.'),
    ParameterRow('scale.camera_from_reference', '', 'Place of the frame of this depth in the '
                 "camera's optical frame, as 'x y z qx qy qz qw' in metres; empty = the same "
                 'frame, or TF knows.'),
    ParameterRow('scale.require_lock', _SCALE.require_lock, 'Publish nothing in metres before '
                 'the scale is locked, that is known to 2 %.'),
    ParameterRow('output.resolution', 'network', 'Pixels of depth, confidence, colour, '
                 'camera_info and cloud: network; source = those of the image, which guides the '
                 "edges; a number of its columns, such as '320'."),
    ParameterRow('cloud.organized', True, 'true = height x width points, NaN where unknown; '
                 'false = one row of known points.', live=True),
    ParameterRow('cloud.stride', 1, 'Points of every n-th row and column only; 1 = of all.',
                 (1, 64), live=True),
    ParameterRow('cloud.voxel_m', 0.0, 'Metres; one point, that of the highest confidence, in '
                 'each cube of this side; 0 = all points. Needs cloud.organized false.',
                 (0.0, 100.0), live=True),
    ParameterRow('cloud.merged', False, 'Also publish the clouds of all cameras as one, in '
                 'rig.frame, on ~/points.'),
    ParameterRow('save.folder', '~/moe3d_clouds', 'Folder of the files of ~/save_cloud; made '
                 'where it is missing.', live=True),
    ParameterRow('save.format', 'ply', 'Format of these files.', choices=tuple(CLOUD_WRITERS),
                 live=True),
    ParameterRow('tf.publish', False, 'Send the transform tf.odom_frame -> the base (the camera '
                 'where its place on the base is not known) to TF, unless somebody else places '
                 'that frame already. Needs tf2_msgs.'),
    ParameterRow('tf.odom_frame', 'odom', 'Frame in which poses are published: x forward, y '
                 'left, z up at the start (REP 103).'),
    ParameterRow('tf.base_frame', 'base_link', "Frame of the robot's base; used where the "
                 "camera's place on it is known."),
)
# fmt: on


def parameters_table() -> str:
    """Return the table of the README, in Markdown."""
    lines = ['| parameter | default | at run time | meaning |', '|---|---|---|---|']
    for row in PARAMETERS:
        text = row.text.replace('<', '&lt;')
        if row.choices:
            text += f' One of {", ".join(f"`{choice}`" for choice in row.choices)}.'
        if row.bounds is not None:
            text += f' {row.bounds[0]:g} to {row.bounds[1]:g}.'
        changes = 'yes' if row.live else ''
        lines.append(f'| `{row.name}` | `{_yaml(row.default)}` | {changes} | {text} |')
    return '\n'.join(lines) + '\n'


def _yaml(value: ParameterValue) -> str:
    """Return a value as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return '.inf' if value == math.inf else str(value)
