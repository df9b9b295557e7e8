"""Poses by matches, and depth in their unit, in place of a network's that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from board_and_wall import blobs
from board_and_wall import FAR_M
from board_and_wall import INTRINSICS
from board_and_wall import NEAR_M
from board_and_wall import STEP_M
from board_and_wall import view_from
import cv2
from moe3d_engine.network import Engine
from moe3d_engine.sequences.joint_depth import nearest
from moe3d_engine.sequences.sequence import reconstruct_sequence
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest
from sweeping_backend import SweepingBackend


def wrong_network(backend_class: type[Any]) -> type[Any]:
    """Return a backend whose cameras move upwards, and whose depth of its last view is doubled."""

    class WrongNetwork(backend_class):  # type: ignore[misc]
        def reconstruct(
            self,
            features: Sequence[object],
            publish: Sequence[int],
            cameras: WindowCameras | None = None,
        ) -> RawOutputs:
            raw: RawOutputs = super().reconstruct(features, publish, cameras)
            raw.pose_encoding[:, 1] = raw.pose_encoding[:, 0]
            raw.pose_encoding[:, 0] = 0.0
            raw.depth[-1] *= 2.0
            return raw

    return WrongNetwork


def test_matches_correct_poses_and_depth(fake_backend: type[Any]) -> None:
    views = [view_from(index) for index in range(3)]

    result = reconstruct_sequence(Session(Engine(wrong_network(fake_backend)())), views, 4)

    assert result.pose_sources == ('matches',) * 3
    np.testing.assert_array_equal(result.cam_from_world[0], np.eye(4))
    true = np.array([[-STEP_M * index, 0.0, 0.0] for index in range(3)])
    np.testing.assert_allclose(result.cam_from_world[:, :3, 3], true, atol=0.005)
    wall_and_board = result.depth_raw[:, 140, [10, 200]]
    np.testing.assert_allclose(wall_and_board, [[FAR_M, NEAR_M]] * 3, rtol=0.03)


def test_windows_are_placed_together(fake_backend: type[Any]) -> None:
    views = [view_from(index) for index in range(4)]

    result = reconstruct_sequence(Session(Engine(wrong_network(fake_backend)())), views, 3)

    assert result.pose_sources == ('matches',) * 4
    directions = result.cam_from_world[1:, 0, 3] / result.cam_from_world[1, 0, 3]
    np.testing.assert_allclose(directions, [1.0, 2.0, 3.0], rtol=0.03)


def test_a_view_of_something_else_keeps_the_networks_pose_and_the_log_says_so(
    fake_backend: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    views = [view_from(0), view_from(1), View(blobs(7)[:, :420], INTRINSICS)]

    result = reconstruct_sequence(Session(Engine(fake_backend())), views, 4)

    assert result.pose_sources == ('matches', 'matches', 'network')
    np.testing.assert_allclose(result.cam_from_world[2, :3, 3], [-2 * STEP_M, 0.0, 0.0], atol=1e-6)
    assert 'number 2 share too little' in caplog.text


def test_images_that_share_nothing_keep_the_networks_poses_and_the_log_says_so(
    fake_backend: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    views = [View(blobs(seed)[:, :420], INTRINSICS) for seed in (3, 4)]

    result = reconstruct_sequence(Session(Engine(fake_backend())), views, 4)

    assert result.pose_sources == ('network', 'network')
    assert "all poses are the network's" in caplog.text


def test_placed_views_are_compared_from_where_they_stand_and_the_others_keep_their_depth(
    fake_backend: type[Any],
) -> None:
    views = [view_from(0), view_from(1), view_from(2), View(blobs(7)[:, :420], INTRINSICS)]
    backend = SweepingBackend(fake_backend())
    session = Session(Engine(backend), SessionConfig(poses='network'))

    result = reconstruct_sequence(session, views, 4)

    first, *again = backend.told
    assert first is None
    assert len(again) == 3
    for cameras in again:
        assert cameras is not None
        assert len(cameras.trust) == 3
        assert (cameras.trust > 0).all()
        assert cameras.hint is not None
        assert (cameras.hint[0, 1] == 1.0).sum() > 20
    np.testing.assert_array_equal(result.depth_raw[:3], np.float32(2.0))
    assert not (result.depth_raw[3] == 2.0).any()
    true = np.array([[-STEP_M * index, 0.0, 0.0] for index in range(3)])
    np.testing.assert_allclose(result.cam_from_world[:3, :3, 3], true, atol=0.005)


def test_a_view_is_compared_with_those_that_see_most_nearly_the_same() -> None:
    def placed(x: float, turn_rad: float = 0.0) -> View:
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(np.array([0.0, turn_rad, 0.0]))[0]
        pose[0, 3] = -x
        return View(blobs(1), INTRINSICS, pose=PosePrior(pose, 'matches'))

    view, far, turned, near = placed(0), placed(1.0), placed(0.0, 0.4), placed(0.2)
    depth = np.full((1, 1), 2.0, np.float32)
    result = ViewResult(view, view.image, INTRINSICS, depth, depth, depth, np.eye(4))
    assert nearest(view, [far, view, turned, near], result) == [near, turned, far]
