"""The node's parameters: declared from the table, read into the settings that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import TYPE_CHECKING

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.output_view import NETWORK
from moe3d_engine.geometry.output_view import SOURCE
from moe3d_engine.policy import Thresholds
from moe3d_engine.scale import ScaleConfig
from moe3d_engine.session import SessionConfig
from moe3d_engine.window import WindowConfig
from moe3d_ros.settings.cloud import cloud_form
from moe3d_ros.settings.cloud import CloudForm
from moe3d_ros.settings.rig import rig_config
from moe3d_ros.settings.rig import RigConfig
from moe3d_ros.settings.side_inputs import side_inputs_config
from moe3d_ros.settings.side_inputs import SideInputsConfig
from moe3d_ros.settings.table import PARAMETERS
from moe3d_ros.settings.table import ParameterValue
from moe3d_ros.settings.table import SingleValue

if TYPE_CHECKING:
    from rclpy.node import Node


RECTIFIED = {'auto': None, 'yes': True, 'no': False}
MIN_COLUMNS = 16
# Some distributions declare them, others read them without.
ROS_PARAMETERS = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What the parameters say; see PARAMETERS for meaning and units."""

    rig: RigConfig
    transport: str
    reliability: str
    rectified: bool | None
    mono16_bits: int | None
    camera_info_timeout_s: float
    camera_info_latched: bool
    side_inputs: SideInputsConfig
    backend: str
    weights: str
    threads: int | None
    depth_encoding: str
    resolution: str | int
    cloud: CloudForm
    save_folder: Path
    save_format: str
    publish_tf: bool
    odom_frame: str
    base_frame: str
    session: SessionConfig

    @property
    def camera(self) -> str:
        """The camera that is tracked: the only one, or the first of a rig."""
        return self.rig.cameras[0]


def declare_parameters(node: Node) -> None:
    """Declare all parameters, with descriptors."""
    from rcl_interfaces.msg import FloatingPointRange
    from rcl_interfaces.msg import IntegerRange
    from rcl_interfaces.msg import ParameterDescriptor

    for row in PARAMETERS:
        descriptor = ParameterDescriptor(description=row.text)
        if row.choices:
            descriptor.additional_constraints = f'One of {", ".join(row.choices)}.'
        if row.bounds is not None and isinstance(row.default, int):
            first, last = map(int, row.bounds)
            descriptor.integer_range = [IntegerRange(from_value=first, to_value=last, step=0)]
        elif row.bounds is not None:
            low, high = row.bounds
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        node.declare_parameter(row.name, row.default, descriptor)


def undeclared_overrides(node: Node) -> list[str]:
    """
    Return the parameters that this process was given for a node and that the node does not have.

    rclpy ignores them. Those that belong to ROS itself (`qos_overrides`, ...) are none of them.
    """
    return sorted(
        name
        for name in node._parameter_overrides
        if not node.has_parameter(name) and not name.startswith(ROS_PARAMETERS)
    )


def read_parameters(node: Node) -> dict[str, ParameterValue]:
    """Return the present value of each parameter of the table."""
    return {row.name: node.get_parameter(row.name).value for row in PARAMETERS}


def check_change(
    present: Mapping[str, ParameterValue],
    proposed: Mapping[str, ParameterValue],
    *,
    configured: bool,
) -> None:
    """
    Check that parameters may change now: all of them before `configure`, live ones at any time.

    Raises
    ------
    ConfigError
        If one is fixed while the node is configured; says what to do.
    """
    fixed = [
        row.name
        for row in PARAMETERS
        if not row.live and row.name in proposed and proposed[row.name] != present[row.name]
    ]
    if configured and fixed:
        raise ConfigError(
            f'{", ".join(fixed)} can change only while the node is unconfigured. Call cleanup, '
            f'set the parameter, then configure.'
        )
    factor = 'scale.factor'
    changes = factor in proposed and proposed[factor] != present[factor]
    if configured and changes and present['scale.source'] != 'fixed':
        raise ConfigError(
            f'scale.factor changes at run time only where scale.source is fixed; it is '
            f'{present["scale.source"]}. Call cleanup, set scale.source to fixed, then configure.'
        )


def node_config(given: Mapping[str, ParameterValue]) -> NodeConfig:
    """
    Return the settings that the values of all parameters stand for.

    Raises
    ------
    ConfigError
        If a value is not one of its choices or contradicts another.
    """
    for row in PARAMETERS:
        if row.choices and given[row.name] not in row.choices:
            raise ConfigError(
                f'{row.name} is one of {", ".join(row.choices)}; got {given[row.name]!r}.'
            )
    rig = rig_config(given)
    values = {name: value for name, value in given.items() if not isinstance(value, list)}
    rejects = bool(values['rejection.enabled'])
    return NodeConfig(
        rig=rig,
        transport=str(values['input.transport']),
        reliability=str(values['input.reliability']),
        rectified=RECTIFIED[str(values['input.rectified'])],
        mono16_bits=int(values['input.mono16_bits']) or None,
        camera_info_timeout_s=float(values['camera_info.timeout_s']),
        camera_info_latched=bool(values['camera_info.latched']),
        side_inputs=side_inputs_config(values, has_rig=rig.has_extrinsics),
        backend=str(values['engine.backend']),
        weights=str(values['engine.weights']),
        threads=int(values['engine.threads']) or None,
        depth_encoding=str(values['depth.encoding']),
        resolution=_resolution(values),
        cloud=cloud_form(values),
        save_folder=_folder(values, 'save.folder'),
        save_format=str(values['save.format']),
        publish_tf=bool(values['tf.publish']),
        odom_frame=_frame_name(values, 'tf.odom_frame'),
        base_frame=_frame_name(values, 'tf.base_frame'),
        session=SessionConfig(
            WindowConfig(
                max_views=int(values['window.max_views']),
                keyframe_interval_s=float(values['window.keyframe_interval_s']),
            ),
            Thresholds(
                depth_min_m=float(values['depth.min_m']),
                depth_max_m=float(values['depth.max_m']),
                min_agreement=float(values['rejection.min_agreement']) if rejects else 0.0,
                min_confidence=float(values['rejection.min_confidence']) if rejects else 0.0,
            ),
            ScaleConfig(
                source=str(values['scale.source']),
                factor=float(values['scale.factor']),
                require_lock=bool(values['scale.require_lock']),
            ),
            poses=str(values['poses.source']),
        ),
    )


def _resolution(values: Mapping[str, SingleValue]) -> str | int:
    """Return the resolution of outputs: a word or a number of columns."""
    text = str(values['output.resolution'])
    if text in (NETWORK, SOURCE):
        return text
    if re.fullmatch('[0-9]{2,5}', text) and int(text) >= MIN_COLUMNS:
        return int(text)
    raise ConfigError(
        f'output.resolution is {NETWORK}, {SOURCE} or a number of columns from {MIN_COLUMNS} on, '
        f"in quotes such as '320'; got {text!r}."
    )


def _folder(values: Mapping[str, SingleValue], name: str) -> Path:
    """Return the value of a parameter that names a folder."""
    folder = str(values[name])
    if not folder:
        raise ConfigError(f'{name} names a folder, such as ~/moe3d_clouds; got an empty text.')
    return Path(folder)


def _frame_name(values: Mapping[str, SingleValue], name: str) -> str:
    """Return the value of a parameter that names a frame of TF."""
    frame = str(values[name])
    if not frame or frame.startswith('/'):
        raise ConfigError(f'{name} names a frame of TF, without a leading slash; got {frame!r}.')
    return frame
