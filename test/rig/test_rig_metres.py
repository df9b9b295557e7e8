"""Known distances between cameras give metres where the cameras share what they see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
import math

from moe3d_engine.backends.open import open_backend
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.lab.synthetic.render import render_walk
from moe3d_engine.network import Engine
from moe3d_engine.rig.metres import rig_log_std
from moe3d_engine.scale import ScaleConfig
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import RIG
from moe3d_engine.types import View
from moe3d_engine.window import WindowConfig
import numpy as np
import pytest
from sweeping_backend import SweepingBackend

LENS = np.array([[100.0, 0, 63.5], [0, 100.0, 47.5], [0, 0, 1]])
WALL_M = 2.0


def log_std(baseline_m: float, turn_rad: float = 0.0) -> float:
    """Return the deviation by two cameras side by side before a wall."""
    second = np.eye(4)
    second[:3, :3] = rotation_from_vector(np.array([0.0, turn_rad, 0.0]))
    second[:3, 3] = second[:3, :3] @ (-baseline_m, 0, 0)
    depth = np.full((2, 96, 128), WALL_M, np.float32)
    return rig_log_std(depth, np.stack([LENS, LENS]), np.stack([np.eye(4), second]))


def test_a_quarter_of_a_pixel_of_the_parallax_is_the_deviation() -> None:
    parallax_px = 100 * 0.2 / WALL_M
    by_place = math.sqrt(2) * 0.001 / 0.2
    assert log_std(0.2) == pytest.approx(math.hypot(0.25 / parallax_px, by_place), rel=1e-6)
    assert log_std(0.4) < 0.6 * log_std(0.2)


def test_cameras_that_share_nothing_say_nothing() -> None:
    assert log_std(0.2, math.pi) == math.inf
    assert log_std(0.2, math.radians(70)) == math.inf
    assert math.isfinite(log_std(0.2, math.radians(20)))


def moment(baseline_m: float, source: str = RIG) -> list[View]:
    """Return what two cameras see at one moment."""
    poses: list[Float64Array] = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = -baseline_m
    image = np.full((28, 42, 3), 51, np.uint8)
    lens = np.array([[40.0, 0, 20.5], [0, 40.0, 13.5], [0, 0, 1]])
    return [
        View(image, lens, 1, camera=name, pose=PosePrior(pose, source))
        for name, pose in zip(('front', 'left'), poses, strict=True)
    ]


@pytest.mark.parametrize(
    ('baseline_m', 'asked', 'source', 'state'),
    [
        (0.8, 'auto', 'rig', 'locked'),
        (0.2, 'auto', 'rig', 'estimating'),
        (0.8, 'odometry', 'network', 'estimating'),
        (0.8, 'fixed', 'fixed', 'locked'),
    ],
)
def test_depth_of_a_standing_rig_is_in_the_metres_of_the_rig(
    fake_backend: type, baseline_m: float, asked: str, source: str, state: str
) -> None:
    plain = fake_backend()
    plain.spec = replace(plain.spec, metric=True)
    config = SessionConfig(
        window=WindowConfig(max_views=2), scale=ScaleConfig(asked), poses='network'
    )
    session = Session(Engine(SweepingBackend(plain)), config)

    result = session.push(moment(baseline_m))

    assert isinstance(result, Reconstruction)
    assert (result.scale.source, result.scale.state) == (source, state)
    np.testing.assert_allclose(result.depth_raw, 2.0)  # as compared; the factor is 1
    session.close()


@pytest.mark.parametrize('seed', [1_000_300_001, 1_000_300_009, 1_000_300_011])
def test_a_rendered_rig_that_stands_still_sees_metres(engine: Engine, seed: int) -> None:
    scene = render_walk(seed, 3)
    cam_from_rig = invert_rigid(scene.world_from_cam) @ scene.world_from_cam[0]
    views = [
        View(image, lens, 1, camera=f'camera{index}', pose=PosePrior(pose, RIG))
        for index, (image, lens, pose) in enumerate(
            zip(scene.rgb, scene.intrinsics, cam_from_rig, strict=True)
        )
    ]
    config = SessionConfig(window=WindowConfig(max_views=4), poses='network')
    session = Session(engine, config)

    result = session.push(views)

    assert isinstance(result, Reconstruction)
    known = np.isfinite(result.depth) & np.isfinite(scene.depth)
    log_ratio = np.log(result.depth[known] / scene.depth[known])
    assert result.scale.source == RIG
    assert abs(np.median(log_ratio)) < min(2 * result.scale.std, 0.03)
    assert np.abs(np.expm1(log_ratio)).mean() < 0.09
    assert known.mean() > 0.75
    session.close()


@pytest.fixture(scope='module')
def engine() -> Iterator[Engine]:
    """Open the shipped network."""
    engine = Engine(open_backend('auto', 'moe3d-small', threads=1))
    yield engine
    engine.close()
