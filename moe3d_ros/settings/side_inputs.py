"""Which odometry and which reference depth the node listens to, and where those sensors sit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.intake.measured.poses import decode_transform
from moe3d_engine.types import Float64Array
from moe3d_engine.types import MotionErrors
from moe3d_ros.settings.table import SingleValue


@dataclass(frozen=True, slots=True, eq=False)
class SideInputsConfig:
    """
    What comes in beside the images.

    Parameters
    ----------
    odometry_topic : nav_msgs/Odometry; empty = none.
    odometry_by_tf : whether TF is asked for the camera in `odometry_frame` instead.
    odometry_frame : in which odometry moves the robot, where TF says it.
    odometry_errors : of its motion from one image to the next.
    base_from_camera : (4, 4), the camera's optical frame in the child frame of the odometry;
        None = TF knows.
    reference_topic : sensor_msgs/Image of depth, or PointCloud2; empty = none, or the scale does
        not ask for it.
    camera_from_reference : (4, 4), the reference's frame in the camera's optical frame; None = it
        is the same, or TF knows.
    """

    odometry_topic: str
    odometry_by_tf: bool
    odometry_frame: str
    odometry_errors: MotionErrors
    base_from_camera: Float64Array | None
    reference_topic: str
    camera_from_reference: Float64Array | None

    @property
    def has_odometry(self) -> bool:
        """Whether somebody says where the robot is."""
        return self.odometry_by_tf or bool(self.odometry_topic)


def side_inputs_config(
    values: Mapping[str, SingleValue], *, has_rig: bool = False
) -> SideInputsConfig:
    """
    Return the settings of what comes in beside the images.

    Parameters
    ----------
    values : of all parameters.
    has_rig : whether cameras with known distances measure metres, too.

    Raises
    ------
    ConfigError
        If a value is none, or what is asked for has no source.
    """
    asks_reference = values['scale.source'] in ('auto', 'reference_depth')
    config = SideInputsConfig(
        odometry_topic=str(values['poses.odometry_topic']),
        odometry_by_tf=values['poses.odometry_from'] == 'tf',
        odometry_frame=str(values['poses.odometry_frame']),
        odometry_errors=MotionErrors(
            float(values['poses.odometry_error']),
            math.radians(float(values['poses.odometry_error_deg'])),
        ),
        base_from_camera=_extrinsics('poses.base_from_camera', values),
        reference_topic=str(values['scale.reference_topic']) if asks_reference else '',
        camera_from_reference=_extrinsics('scale.camera_from_reference', values),
    )
    same_frame = config.odometry_frame == values['tf.odom_frame']
    _check_sources(values, config, has_rig=has_rig)
    if config.odometry_by_tf and config.odometry_topic:
        raise ConfigError(
            f'poses.odometry_from is tf, but poses.odometry_topic is {config.odometry_topic!r}: '
            f'which one holds? Set poses.odometry_from to topic, or leave the topic empty.'
        )
    if config.odometry_by_tf and config.base_from_camera is not None:
        raise ConfigError(
            'poses.odometry_from is tf, so TF says where the camera sits, too; leave '
            'poses.base_from_camera empty.'
        )
    if config.odometry_by_tf and values['tf.publish'] and same_frame:
        raise ConfigError(
            f'poses.odometry_from is tf and tf.publish is true, both with the frame '
            f'{config.odometry_frame!r}: the node would hear itself. Set tf.publish to false, or '
            f'tf.odom_frame to another name.'
        )
    if not config.odometry_frame or config.odometry_frame.startswith('/'):
        raise ConfigError(
            f'poses.odometry_frame names a frame of TF, without a leading slash; got '
            f'{config.odometry_frame!r}.'
        )
    return config


def _check_sources(
    values: Mapping[str, SingleValue], config: SideInputsConfig, *, has_rig: bool
) -> None:
    """Raise ConfigError where poses or scale need an input that is not named."""
    poses, scale = values['poses.source'], values['scale.source']
    for name, source in (('poses.source', poses), ('scale.source', scale)):
        if source == 'odometry' and not config.has_odometry:
            raise ConfigError(
                f'{name} odometry needs odometry: name its topic in poses.odometry_topic, or set '
                f'poses.odometry_from to tf.'
            )
    if scale == 'reference_depth' and not config.reference_topic:
        raise ConfigError(
            'scale.source reference_depth needs the topic of a depth image or of a cloud in '
            'scale.reference_topic.'
        )
    if poses == 'network' and scale in ('odometry', 'rig', 'reference_depth'):
        raise ConfigError(
            f'scale.source {scale} measures the map that tracking makes, and poses.source is '
            f'network: set it to tracking or odometry.'
        )
    if poses == 'network' and values['tf.publish']:
        raise ConfigError(
            'tf.publish sends the poses of tracking, and poses.source is network: set it to '
            'tracking or odometry.'
        )
    is_fixed = scale == 'fixed' or (scale == 'auto' and values['scale.factor'] != 1.0)
    is_measured = scale in ('auto', 'odometry', 'rig', 'reference_depth') and poses != 'network'
    has_input = config.has_odometry or bool(config.reference_topic) or has_rig
    if values['scale.require_lock'] and not (is_fixed or (is_measured and has_input)):
        raise ConfigError(
            f'scale.require_lock waits until metres are known to 2 %, but nobody measures them: '
            f'scale.source is {scale}, poses.source is {poses}. Name poses.odometry_topic, '
            f'scale.reference_topic or rig.extrinsics, or give scale.factor.'
        )


def _extrinsics(name: str, values: Mapping[str, SingleValue]) -> Float64Array | None:
    """Return the rigid transform (4, 4) of seven numbers; None where there are none."""
    text = str(values[name])
    if not text.strip():
        return None
    try:
        x, y, z, *quaternion = map(float, text.replace(',', ' ').split())
        qx, qy, qz, qw = quaternion
        return decode_transform((x, y, z), (qx, qy, qz, qw))
    except (ValueError, InputError) as error:
        raise ConfigError(
            f"{name} is 'x y z qx qy qz qw' in metres with a quaternion, or empty; got {text!r}."
        ) from error
