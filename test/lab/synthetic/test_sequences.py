"""Rendered sequences: what a seed promises, and that pictures, poses and depth agree."""

from __future__ import annotations

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.synthetic.sequences import DepthStandIn
from moe3d_engine.lab.synthetic.sequences import render_sequence
from moe3d_engine.lab.synthetic.sequences import Sequence
from moe3d_engine.types import Float32Array
import numpy as np
import pytest

HW = (240, 320)


@pytest.fixture(scope='module')
def walk() -> Sequence:
    return render_sequence('walk', 3, 4, HW)


def seen_from(sequence: Sequence, first: int, second: int) -> tuple[Float32Array, Float32Array]:
    """Return the pixels (H, W, 2) and depth (H, W) in the second view of the first one's."""
    intrinsics = sequence.views[0].intrinsics
    assert intrinsics is not None
    poses = sequence.cam_from_world
    second_from_first = poses[second] @ invert_rigid(poses[first])
    y, x = np.indices(HW)
    rays = np.stack([x, y, np.ones(HW)], axis=-1) @ np.linalg.inv(intrinsics).T
    points = rays * sequence.depth[first][..., None]
    there = points @ second_from_first[:3, :3].T + second_from_first[:3, 3]
    pixels = there @ intrinsics.T
    return (pixels[..., :2] / pixels[..., 2:]).astype(np.float32), there[..., 2].astype(np.float32)


def test_same_seed_gives_same_bytes() -> None:
    first, second = (render_sequence('board_40', 5, 3, (48, 64)) for _ in range(2))
    for one, other in zip(first.views, second.views, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
    assert first.cam_from_world.tobytes() == second.cam_from_world.tobytes()


def test_world_is_the_first_camera(walk: Sequence) -> None:
    np.testing.assert_allclose(walk.cam_from_world[0], np.eye(4), atol=1e-12)


def test_depth_of_a_view_is_that_of_the_next_one_moved(walk: Sequence) -> None:
    pixels, depth = seen_from(walk, 0, 1)
    there = cv2.remap(walk.depth[1], pixels, None, cv2.INTER_NEAREST)
    visible = there > 0
    agree = np.abs(there[visible] / depth[visible] - 1) < 0.02
    assert visible.mean() > 0.7
    assert agree.mean() > 0.97


def test_corners_are_where_poses_and_depth_put_them_to_a_tenth_of_a_pixel(walk: Sequence) -> None:
    pixels, depth = seen_from(walk, 0, 1)
    there = cv2.remap(walk.depth[1], pixels, None, cv2.INTER_NEAREST)
    visible = (np.abs(there / depth - 1) < 0.02).astype(np.uint8)
    grey = [cv2.cvtColor(walk.views[i].image, cv2.COLOR_RGB2GRAY) for i in (0, 1)]
    warped = cv2.remap(grey[1], pixels, None, cv2.INTER_CUBIC)
    inside = cv2.erode(visible, np.ones((25, 25)))
    corners = cv2.goodFeaturesToTrack(grey[0], 300, 0.01, 8, mask=inside)
    moved, _, _ = cv2.calcOpticalFlowPyrLK(
        grey[0], warped, corners, corners.copy(), winSize=(21, 21), maxLevel=0,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    shift = (moved - corners)[:, 0]
    assert len(shift) > 100
    assert np.median(np.linalg.norm(shift, axis=1)) < 0.1
    assert np.abs(np.median(shift, axis=0)).max() < 0.02


def test_resized_half_shows_the_same_world() -> None:
    sequence = render_sequence('resized', 3, 2, HW)
    small, large = (view.image for view in sequence.views)
    assert large.shape == (360, 480, 3)
    assert sequence.depth[1].shape == (360, 480)
    assert small.shape == (*HW, 3)


def test_looped_stamps_and_poses_begin_again() -> None:
    sequence = render_sequence('looped', 3, 6, (48, 64))
    stamps = [view.stamp_ns for view in sequence.views]
    assert stamps[3:] == stamps[:3]
    np.testing.assert_array_equal(sequence.cam_from_world[3:], sequence.cam_from_world[:3])


def test_board_hides_its_share_of_the_image() -> None:
    depth = render_sequence('board_40', 3, 20, (48, 64)).depth[10]
    assert 0.3 < (depth < 1.2).mean() < 0.5


def test_stand_in_errs_as_asked_and_doubts_edges(walk: Sequence) -> None:
    errors = []
    for seed in range(40):
        result = DepthStandIn(walk, seed).result(0)
        truth = cv2.resize(walk.depth[0], (192, 144), interpolation=cv2.INTER_NEAREST)
        sure = result.boundary_confidence > 0.5
        errors.append(np.log(result.depth[sure] / truth[sure]))
        assert 0 < (~sure).mean() < 0.4
    assert 0.15 < np.std(np.concatenate(errors)) < 0.35
    assert np.mean([error.std() for error in errors]) < 0.2


def test_unknown_trouble_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match='flood'):
        render_sequence('flood', 0, 1)
