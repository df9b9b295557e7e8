"""Where the cameras of a rig sit, from a file or from TF."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.errors import ConfigError
from moe3d_engine.rig.extrinsics_file import read_rig
from moe3d_engine.rig.moments import MomentConfig
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
import moe3d_ros.inputs.extrinsics
from moe3d_ros.inputs.extrinsics import RigExtrinsics
from moe3d_ros.settings.rig import RigConfig
from moe3d_ros.share import share_file
import rclpy
from rclpy.context import Context

CAMERAS = ('front', 'left')
Open = Callable[..., RigExtrinsics]


class KnownFrames:
    """What a test puts in of TF; target -> source is the translation along x."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], float] = {}
        self.problem = 'nobody sends it'
        self.destroyed = False

    def at(self, target: str, source: str) -> Float64Array | None:
        if (target, source) not in self.known:
            return None
        matrix = np.eye(4)
        matrix[0, 3] = self.known[target, source]
        return matrix

    def destroy(self) -> None:
        self.destroyed = True


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> KnownFrames:
    """Put a double in the place of TF."""
    double = KnownFrames()
    monkeypatch.setattr(moe3d_ros.inputs.extrinsics, 'Frames', lambda node, purpose: double)
    return double


@pytest.fixture
def opened(ros_context: Context) -> Iterator[Open]:
    """Return a function that opens extrinsics, on a node that is destroyed afterwards."""
    node = rclpy.create_node('rig', context=ros_context, start_parameter_services=False)

    def make(extrinsics: str, frame: str = '') -> RigExtrinsics:
        return RigExtrinsics(node, RigConfig(CAMERAS, MomentConfig(), extrinsics, frame, False))

    yield make
    node.destroy_node()


def views(*cameras: str) -> list[View]:
    """Return views of a moment."""
    image = np.zeros((4, 4, 3), np.uint8)
    return [View(image, frame_id=f'{camera}_optical', camera=camera) for camera in cameras]


def test_cameras_are_asked_of_tf_as_they_come(opened: Open, frames: KnownFrames) -> None:
    extrinsics = opened('tf', 'base_link')
    frames.known['base_link', 'front_optical'] = 0.5

    unknown = extrinsics.rig_of(views(*CAMERAS))
    front = extrinsics.rig_of(views('front'))
    frames.known['base_link', 'left_optical'] = 0.2
    both = extrinsics.rig_of(views(*CAMERAS))

    assert unknown is None
    assert front is not None
    assert both is not None
    assert both.baseline_m(*CAMERAS) == pytest.approx(0.3)
    assert extrinsics.rig_of(views('left')) is both  # not asked again
    extrinsics.destroy()
    assert frames.destroyed


def test_frame_that_is_not_named_is_that_of_the_first_camera(
    opened: Open, frames: KnownFrames
) -> None:
    extrinsics = opened('tf')
    frames.known['front_optical', 'front_optical'] = 0.0
    frames.known['front_optical', 'left_optical'] = -0.3

    assert extrinsics.rig_of(views('left')) is None
    rig = extrinsics.rig_of(views(*CAMERAS))

    assert extrinsics.frame == 'front_optical'
    assert rig is not None
    assert rig.rig_from_camera['left'][0, 3] == -0.3


def test_camchain_has_no_frame_but_that_of_its_first_camera(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / 'camchain.yaml'
    path.write_text('cam0: {}\ncam1: {T_cn_cnm1: [[1,0,0,1],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}\n')

    assert opened(str(path)).rig_of(views(*CAMERAS)) is not None
    with pytest.raises(ConfigError, match=r'Leave rig\.frame empty'):
        opened(str(path), 'base_link')


def test_without_extrinsics_no_rig_is_known(opened: Open) -> None:
    assert opened('').rig_of(views(*CAMERAS)) is None


def test_shipped_example_of_extrinsics_looks_ahead_and_to_both_sides() -> None:
    rig = read_rig(share_file('config/rig_extrinsics.yaml'), ('front', 'left', 'right'))

    ahead = {camera: matrix[:3, 2] for camera, matrix in rig.rig_from_camera.items()}
    down = [matrix[:3, 1] for matrix in rig.rig_from_camera.values()]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(ahead['front'], (1, 0, 0), atol=1e-5)
    np.testing.assert_allclose(ahead['left'], (half, half, 0), atol=1e-5)
    np.testing.assert_allclose(ahead['right'], (half, -half, 0), atol=1e-5)
    np.testing.assert_allclose(down, [(0, 0, -1)] * 3, atol=1e-5)
