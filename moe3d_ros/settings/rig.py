"""Which cameras there are, and how those of a rig belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import re

from moe3d_engine.errors import ConfigError
from moe3d_engine.rig.moments import MomentConfig
from moe3d_ros.settings.table import ParameterValue

BY_TF = 'tf'


@dataclass(frozen=True, slots=True)
class RigConfig:
    """
    The cameras.

    Parameters
    ----------
    cameras : names, the tracked one first; a single one is no rig.
    moments : when images of several cameras belong together.
    extrinsics : path of a file, BY_TF, or empty = nobody says where the cameras sit.
    frame : of the extrinsics and the merged cloud; empty = that of the first camera's images.
    merged : whether the clouds of all cameras are published as one, too.
    """

    cameras: tuple[str, ...]
    moments: MomentConfig
    extrinsics: str
    frame: str
    merged: bool

    @property
    def is_rig(self) -> bool:
        """Whether there are several cameras."""
        return len(self.cameras) > 1

    @property
    def has_extrinsics(self) -> bool:
        """Whether somebody says where the cameras sit."""
        return self.is_rig and bool(self.extrinsics)


def rig_config(values: Mapping[str, ParameterValue]) -> RigConfig:
    """
    Return the settings of the cameras.

    Raises
    ------
    ConfigError
        If a name is none or there twice, or something is asked for that one camera cannot do.
    """
    config = RigConfig(
        cameras=camera_names(values),
        moments=MomentConfig(
            tolerance_s=float(str(values['rig.tolerance_s'])),
            silent_s=float(str(values['rig.silent_s'])),
        ),
        extrinsics=str(values['rig.extrinsics']),
        frame=str(values['rig.frame']),
        merged=bool(values['cloud.merged']),
    )
    if config.extrinsics and not config.is_rig:
        raise ConfigError(
            f'rig.extrinsics is {config.extrinsics!r}, but there is one camera, '
            f'{config.cameras[0]}: name all of them in camera.names.'
        )
    if config.merged and not config.has_extrinsics:
        raise ConfigError(
            'cloud.merged puts the clouds of several cameras into one frame: it needs '
            'camera.names and rig.extrinsics (a file, or tf).'
        )
    if config.frame.startswith('/'):
        raise ConfigError(
            f'rig.frame names a frame of TF, without a leading slash; got {config.frame!r}.'
        )
    room = int(str(values['window.max_views']))
    if room < len(config.cameras):
        raise ConfigError(
            f'window.max_views is {room}, but there are {len(config.cameras)} cameras: a window '
            f'holds a view of each. Set window.max_views to {len(config.cameras)} at least (twice '
            f'that many to see an earlier moment, too), or name fewer cameras.'
        )
    if values['scale.source'] == 'rig' and not config.has_extrinsics:
        raise ConfigError(
            'scale.source rig takes metres from the distances between cameras: it needs '
            'camera.names and rig.extrinsics (a file, or tf).'
        )
    return config


def camera_names(values: Mapping[str, ParameterValue]) -> tuple[str, ...]:
    """
    Return the names of the cameras: those of camera.names, else the one of camera.name.

    Raises
    ------
    ConfigError
        If one cannot be part of a topic, or is there twice.
    """
    listed = values['camera.names']
    names = tuple(listed) if isinstance(listed, list) else (str(listed),)
    parameter = 'camera.names' if any(names) else 'camera.name'
    if not any(names):
        names = (str(values['camera.name']),)
    for name in names:
        if not re.fullmatch(r'[A-Za-z_]\w*(/[A-Za-z_]\w*)*', name, re.ASCII):
            raise ConfigError(
                f'{parameter} is part of topic names: letters, digits and _ (and / between), no '
                f'digit first; got {name!r}.'
            )
    if len(set(names)) < len(names):
        raise ConfigError(f'Each camera of camera.names has another name; got {", ".join(names)}.')
    return names
