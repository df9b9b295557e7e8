"""Extrinsics of a rig from a YAML file: our own form, or the camchain of Kalibr."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
import re
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.intake.measured.poses import decode_transform
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.extrinsics import rigid_transform
from moe3d_engine.types import Float64Array
import numpy as np
import yaml

ROW = 'T_cn_cnm1'  # of Kalibr: from the camera before to this one
EXPECTED = (
    'expected is `cameras:` with a line `NAME: {rig_from_camera: [x, y, z, qx, qy, qz, qw]}` for '
    'each camera, or a camchain of Kalibr (cam0, cam1 with T_cn_cnm1)'
)


def read_rig(path: Path, cameras: Sequence[str]) -> Rig:
    """
    Return the rig of a file.

    Parameters
    ----------
    path : YAML. Our own form has `cameras:`, in it the name of each camera with
        `rig_from_camera`: seven numbers x y z qx qy qz qw, or the rows of a 4x4 matrix; and
        perhaps `position_std_m`. Kalibr's has `cam0`, `cam1`, ... with T_cn_cnm1: they are
        `cameras` in this order, and the rig's frame is that of the first.
    cameras : names of the cameras that are needed.

    Raises
    ------
    ConfigError
        If the file cannot be read, is none of both, names a camera twice or lacks one.
    """
    content = _content(path)
    try:
        if _is_camchain(content):
            return _of_camchain(content, cameras)
        if isinstance(content.get('cameras'), Mapping):
            return _of_own(content).of(tuple(cameras))
    except ConfigError as error:
        raise ConfigError(f'The extrinsics {path} are wrong. {error}') from error
    raise ConfigError(f'{path} holds no extrinsics of a rig: {EXPECTED}.')


def is_camchain(path: Path) -> bool:
    """
    Return whether a file is a camchain of Kalibr, whose frame is that of its first camera.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    return _is_camchain(_content(path))


def _is_camchain(content: Mapping[str, Any]) -> bool:
    """Return whether this is Kalibr's form."""
    return 'cam0' in content


def _content(path: Path) -> Mapping[str, Any]:
    """Read a file whose top is a mapping."""
    try:
        text = path.expanduser().read_bytes()
        _check_names(yaml.compose(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(f'The extrinsics {path} cannot be read: {reason}') from error
    if not isinstance(content, Mapping):
        raise ConfigError(f'{path} holds no extrinsics of a rig: {EXPECTED}.')
    return content


def _of_own(content: Mapping[str, Any]) -> Rig:
    """Return the rig of our own form."""
    unknown = set(content) - {'cameras', 'position_std_m'}
    if unknown:
        raise ConfigError(
            f'There is {", ".join(sorted(map(str, unknown)))}; beside cameras there may be '
            f'position_std_m only.'
        )
    matrices = {}
    for camera, entry in content['cameras'].items():
        if not isinstance(entry, Mapping) or set(entry) != {'rig_from_camera'}:
            raise ConfigError(f'The camera {camera} has {entry!r}; {EXPECTED}.')
        matrices[str(camera)] = _matrix(entry['rig_from_camera'], str(camera))
    std = content.get('position_std_m')
    if std is None:
        return Rig(matrices)
    if isinstance(std, bool) or not isinstance(std, int | float):
        raise ConfigError(f'position_std_m is a number of metres; got {std!r}.')
    return Rig(matrices, float(std))


def _of_camchain(content: Mapping[str, Any], cameras: Sequence[str]) -> Rig:
    """Return the rig of a camchain, whose frame is its first camera."""
    links = [content.get(f'cam{index}') for index in range(len(cameras))]
    known = sorted(str(name) for name in content if re.fullmatch(r'cam\d+', str(name)))
    matrices = {}
    rig_from_camera = np.eye(4)
    for index, (camera, link) in enumerate(zip(cameras, links, strict=True)):
        if not isinstance(link, Mapping) or (index > 0 and ROW not in link):
            raise ConfigError(
                f'A camchain says by cam{index} with {ROW} where {camera} sits: the names of '
                f'camera.names stand for cam0, cam1, ... in this order. There is '
                f'{", ".join(known)}.'
            )
        if index > 0:
            cam_from_before = _matrix(link[ROW], f'cam{index}')
            rig_from_camera = rig_from_camera @ invert_rigid(cam_from_before)
        matrices[camera] = rig_from_camera
    return Rig(matrices)


def _matrix(values: object, what: str) -> Float64Array:
    """Return the transform (4, 4) of seven numbers, or of rows."""
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f'The place of the camera {what} is {values!r}; {EXPECTED}.') from error
    if numbers.shape == (7,):
        try:
            x, y, z, qx, qy, qz, qw = numbers.tolist()
            return decode_transform((x, y, z), (qx, qy, qz, qw))
        except InputError as error:
            raise ConfigError(f'The camera {what}: {error}') from error
    return rigid_transform(numbers, f'the camera {what}')


def _check_names(node: yaml.Node | None) -> None:
    """Refuse a name that is there twice: PyYAML would take the last one."""
    if isinstance(node, yaml.MappingNode):
        names = [name.value for name, _ in node.value]
        for index, (_, below) in enumerate(node.value):
            if names[index] in names[:index]:
                raise ValueError(f'{names[index]!r} is there twice')
            _check_names(below)
