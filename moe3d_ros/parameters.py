"""The node's parameters: declared from the table, read into the settings that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import TYPE_CHECKING

from moe3d_engine.errors import ConfigError
from moe3d_engine.pipeline import ReconstructorConfig
from moe3d_ros.parameter_table import PARAMETERS
from moe3d_ros.parameter_table import ParameterValue

if TYPE_CHECKING:
    from rclpy.node import Node


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What the parameters say; see PARAMETERS for meaning and units."""

    camera: str
    transport: str
    reliability: str
    camera_info_timeout_s: float
    max_views: int
    keyframe_interval_s: float
    backend: str
    weights: str
    threads: int | None
    depth_encoding: str
    organized_cloud: bool
    reconstructor: ReconstructorConfig


def declare_parameters(node: Node) -> None:
    """Declare all parameters, with descriptors."""
    from rcl_interfaces.msg import FloatingPointRange
    from rcl_interfaces.msg import IntegerRange
    from rcl_interfaces.msg import ParameterDescriptor

    for row in PARAMETERS:
        descriptor = ParameterDescriptor(description=row.text, read_only=row.read_only)
        if row.choices:
            descriptor.additional_constraints = f'One of {", ".join(row.choices)}.'
        if row.bounds is not None and isinstance(row.default, int):
            first, last = map(int, row.bounds)
            descriptor.integer_range = [IntegerRange(from_value=first, to_value=last, step=0)]
        elif row.bounds is not None:
            low, high = row.bounds
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        node.declare_parameter(row.name, row.default, descriptor)


def read_parameters(node: Node) -> dict[str, ParameterValue]:
    """Return the present value of each parameter of the table."""
    return {row.name: node.get_parameter(row.name).value for row in PARAMETERS}


def node_config(values: Mapping[str, ParameterValue]) -> NodeConfig:
    """
    Return the settings that the values of all parameters stand for.

    Raises
    ------
    ConfigError
        If a value is not one of its choices or contradicts another.
    """
    for row in PARAMETERS:
        if row.choices and values[row.name] not in row.choices:
            raise ConfigError(
                f'{row.name} is one of {", ".join(row.choices)}; got {values[row.name]!r}.'
            )
    camera = str(values['camera.name'])
    if not re.fullmatch(r'[A-Za-z_]\w*(/[A-Za-z_]\w*)*', camera, re.ASCII):
        raise ConfigError(
            f'camera.name is part of topic names: letters, digits and _ (and / between), no '
            f'digit first; got {camera!r}.'
        )
    rejects = bool(values['rejection.enabled'])
    return NodeConfig(
        camera=camera,
        transport=str(values['input.transport']),
        reliability=str(values['input.reliability']),
        camera_info_timeout_s=float(values['camera_info.timeout_s']),
        max_views=int(values['window.max_views']),
        keyframe_interval_s=float(values['window.keyframe_interval_s']),
        backend=str(values['engine.backend']),
        weights=str(values['engine.weights']),
        threads=int(values['engine.threads']) or None,
        depth_encoding=str(values['depth.encoding']),
        organized_cloud=bool(values['cloud.organized']),
        reconstructor=ReconstructorConfig(
            depth_min_m=float(values['depth.min_m']),
            depth_max_m=float(values['depth.max_m']),
            min_agreement=float(values['rejection.min_agreement']) if rejects else 0.0,
            min_confidence=float(values['rejection.min_confidence']) if rejects else 0.0,
            scale_source=str(values['scale.source']),
            scale_factor=float(values['scale.factor']),
        ),
    )
