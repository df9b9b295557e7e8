"""Poses of posed views are judged as they are published."""

from __future__ import annotations

from typing import Any

from moe3d_engine.lab.runs.poses.pose_run import evaluate_poses
from moe3d_engine.lab.view_set import ViewSet
from moe3d_engine.network import Engine
from moe3d_engine.session import Session
import numpy as np
import pytest


def test_views_that_keep_the_networks_poses_are_judged_by_these(fake_backend: type[Any]) -> None:
    world_from_cam = np.tile(np.eye(4), (3, 1, 1))
    world_from_cam[:, 0, 3] = (0.0, 0.1, 0.2)  # what the fake network says
    world_from_cam[2, :3, :3] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    plain = np.full((3, 28, 42, 3), 200, np.uint8)
    intrinsics = np.tile(np.array([[40.0, 0, 20.5], [0, 40.0, 13.5], [0, 0, 1]]), (3, 1, 1))
    item = ViewSet(plain, np.ones((3, 28, 42), np.float32), intrinsics, world_from_cam, 'plain')

    figures = evaluate_poses(Session(Engine(fake_backend())), [item], 3)

    assert figures['matches']['by_matches'] == 0.0
    assert figures['matches']['rotation_deg'] == figures['network']['rotation_deg']
    assert figures['matches']['rotation_deg'] == pytest.approx(90.0)  # of three pairs, two
    assert figures['matches']['bad_share'] == pytest.approx(2 / 3)
