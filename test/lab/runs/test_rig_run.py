"""A rig that stands still is judged in metres, where two of its cameras see the same."""

from __future__ import annotations

from typing import Any

from moe3d_engine.lab.runs.poses.rig_run import judge_rig
from moe3d_engine.lab.runs.poses.rig_run import RigErrors
from moe3d_engine.lab.runs.poses.rig_run import summarize
from moe3d_engine.lab.synthetic.rigs import render_rig
from moe3d_engine.lab.synthetic.rigs import rig_from_cameras
from moe3d_engine.lab.synthetic.rigs import RIGS
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.network import Engine
from moe3d_engine.rig.extrinsics import Rig
import numpy as np
import pytest
from sweeping_backend import SweepingBackend

HW = (56, 84)  # twice the fake network's pixels
LENS = np.array([[80.0, 0, 41.5], [0, 80.0, 27.5], [0, 0, 1]])


def wall(depth_m: float, beside_m: float) -> ViewSet:
    """Return what two cameras beside each other see of a wall."""
    world_from_cam = np.tile(np.eye(4), (2, 1, 1))
    world_from_cam[1, 0, 3] = beside_m
    depth = np.full((2, *HW), depth_m, np.float32)
    rgb = np.random.default_rng(0).integers(0, 256, (2, *HW, 3), np.uint8)
    return ViewSet(rgb, depth, np.tile(LENS, (2, 1, 1)), world_from_cam, 'wall')


def rig_of(item: ViewSet) -> Rig:
    return Rig({f'camera{k}': pose for k, pose in enumerate(item.world_from_cam)})


def test_errors_are_in_metres_and_of_the_last_moment(fake_backend: type[Any]) -> None:
    backend = SweepingBackend(fake_backend())  # says 2 m wherever it is told of cameras
    item = wall(2.5, 0.1)

    errors = judge_rig(Engine(backend), item, rig_of(item))

    assert errors.abs_rel_raw == pytest.approx(0.2)
    assert errors.metres_off == pytest.approx(np.log(2.5 / 2.0), rel=1e-5)
    told = backend.told[-1]
    assert told is not None
    assert np.ptp(told.cam_from_world[:, 0, 3]) == pytest.approx(0.1)


def test_only_what_another_camera_sees_counts(fake_backend: type[Any]) -> None:
    near, far = wall(2.0, 0.1), wall(2.0, 0.1)
    depth = far.depth.copy()
    depth[0, :, :3] = 9.0  # to the left of what the right camera sees at 2 m; seen at 9 m
    depth[1, :, -3:] = 1.0  # to the right of what the left one sees
    spoilt = ViewSet(far.rgb, depth, far.intrinsics, far.world_from_cam, 'wall')

    right = judge_rig(Engine(SweepingBackend(fake_backend())), near, rig_of(near))
    wrong = judge_rig(Engine(SweepingBackend(fake_backend())), spoilt, rig_of(spoilt))

    assert right.abs_rel_raw == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < wrong.abs_rel_raw < 0.05  # the left edge alone: 7 / 9 of some pixels


def test_summary_takes_the_middle_and_the_worst_scene_of_metres() -> None:
    scenes = [RigErrors(0.1, 0.2, off, 0.02, True, 0.9) for off in (0.01, 0.03, 0.05)]

    figures = summarize(scenes)

    assert figures['metres_off_percent'] == pytest.approx(3.0)
    assert figures['metres_off_most_percent'] == pytest.approx(5.0)
    assert figures['metres_covered'] == pytest.approx(2 / 3)


@pytest.mark.parametrize('kind', RIGS)
def test_rendered_rig_sits_as_it_says_and_renders_again(kind: str) -> None:
    one, two = (render_rig(kind, 1_000_000_000, (36, 48)) for _ in range(2))

    np.testing.assert_array_equal(one.rgb, two.rgb)
    from_first = np.linalg.inv(one.world_from_cam[0]) @ one.world_from_cam
    np.testing.assert_allclose(from_first, rig_from_cameras(kind), atol=1e-9)
    assert (one.depth > 0).all()
