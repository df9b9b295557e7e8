"""Poses from matches: exact where the matches are, steady where some of them are wrong."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.training.match_loss import rotate
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model.checkpoint import with_matching
from moe3d_engine.model.matching import cell_centres
from moe3d_engine.model.matching import half_extent
from moe3d_engine.model.matching import image_plane
from moe3d_engine.model.matching import inverse_encoding
from moe3d_engine.model.matching import least_squares
from moe3d_engine.model.matching import Matches
from moe3d_engine.model.matching import mean_and_variance
from moe3d_engine.model.matching import rigid_motion
from moe3d_engine.model.matching import solve_poses
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.functional import pad

pytestmark = pytest.mark.instruction_sets

CLOSE = {'rtol': 1e-4, 'atol': 1e-4}  # float32, other order of summation
HW = (18, 24)
FOV = torch.tensor([[[0.8, 1.05], [0.7, 0.92], [0.75, 1.0]]])
SMALL = replace(preset('moe3d-small'), vit_depth=1, depth=1, taps=(0, 0, 0, 0), num_experts=2)


def true_poses() -> Tensor:
    """Return pose encodings of three cameras (1, 3, 9), the first of which is the world."""
    turn = torch.tensor([[[0.0, 0, 0], [0.05, -0.08, 0.03], [-0.1, 0.02, 0.06]]])
    quaternion = normalize(pad(turn, (0, 1), value=1.0), dim=-1)
    translation = torch.tensor([[[0.0, 0, 0], [0.3, -0.1, 0.2], [-0.2, 0.15, -0.3]]])
    return torch.cat((translation, quaternion, FOV), dim=-1)


def exact_matches(poses: Tensor) -> Matches:
    """Return where the cells of random depth of each view lie in the first."""
    depth = 1 + 4 * torch.rand(1, 3, HW[0] * HW[1], generator=torch.Generator().manual_seed(0))
    ray = pad(image_plane(cell_centres(HW, FOV), HW, FOV), (0, 1), value=1.0)
    quaternion = poses[:, :, None, 3:7] * torch.tensor([-1.0, -1, -1, 1])
    x, y, z = rotate(quaternion, ray * depth[..., None] - poses[:, :, None, :3]).unbind(-1)
    size = torch.tensor([HW[1], HW[0]])
    place = torch.stack((x / z, y / z), dim=-1) / half_extent(FOV[:, :1])
    cell_xy = (place + 1) * size / 2 - 0.5
    return Matches(torch.zeros(1), cell_xy, torch.zeros_like(depth), -depth.log())


def test_exact_matches_give_the_exact_pose_of_every_view() -> None:
    poses = true_poses()

    solved = solve_poses(exact_matches(poses), FOV, HW)

    torch.testing.assert_close(solved, poses, atol=1e-4, rtol=0)


def test_a_fifth_of_wrong_matches_turns_no_camera_by_more_than_half_a_degree() -> None:
    poses = true_poses()
    matches = exact_matches(poses)
    generator = torch.Generator().manual_seed(1)
    wrong = torch.rand(matches.log_weight.shape, generator=generator) < 0.2
    anywhere = torch.rand(matches.cell_xy.shape, generator=generator) * torch.tensor([23.0, 17.0])
    disturbed = matches._replace(cell_xy=torch.where(wrong[..., None], anywhere, matches.cell_xy))

    solved = solve_poses(disturbed, FOV, HW)

    cosine = (solved[..., 3:7] * poses[..., 3:7]).sum(-1).abs().clamp(max=1)
    assert torch.rad2deg(2 * torch.acos(cosine)).max() < 0.5
    assert (solved[..., :3] - poses[..., :3]).norm(dim=-1).max() < 0.05


def test_far_points_tell_the_rotation_and_leave_the_translation_where_it_was() -> None:
    poses = true_poses()
    poses[..., :3] = 0
    matches = exact_matches(poses)._replace(log_inverse_depth=torch.full((1, 3, 432), -8.0))

    solved = solve_poses(matches, FOV, HW)

    torch.testing.assert_close(solved[..., 3:7], poses[..., 3:7], atol=1e-4, rtol=0)
    assert solved[..., :3].abs().max() < 0.05


def test_matches_without_weight_leave_the_camera_where_the_first_is() -> None:
    matches = exact_matches(true_poses())._replace(log_weight=torch.full((1, 3, 432), -60.0))

    solved = solve_poses(matches, FOV, HW)

    still = torch.tensor([0.0, 0, 0, 0, 0, 0, 1]).expand(1, 3, 7)
    torch.testing.assert_close(solved[..., :7], still, atol=1e-4, rtol=0)


def test_least_squares_recovers_a_motion_from_its_effect() -> None:
    generator = torch.Generator().manual_seed(2)
    moved = torch.randn(1, 1, 6, 2, 50, generator=generator)
    motion = torch.tensor([0.1, -0.2, 0.3, 1.0, -2.0, 0.5])
    error = torch.einsum('...ijn,i->...jn', moved, motion)

    found = least_squares(moved, error, torch.full((1, 1, 1, 50), 1 / 50))

    torch.testing.assert_close(found[0, 0], motion, atol=5e-3, rtol=0)


def test_a_motion_turns_and_then_moves() -> None:
    quaternion = normalize(torch.tensor([0.1, -0.2, 0.3, 1.0]), dim=-1)
    turn = 2 * quaternion[:3] / quaternion[3]  # Cayley
    point, move = torch.tensor([1.0, 2, 3]), torch.tensor([0.5, 0, -1])

    moved = rigid_motion(torch.cat((turn, move))[None, None])[0, 0] @ pad(point, (0, 1), value=1)

    torch.testing.assert_close(moved, pad(rotate(quaternion, point) + move, (0, 1), value=1))


def test_encoding_of_a_pose_is_that_of_its_inverse() -> None:
    quaternion = normalize(torch.tensor([0.4, -0.2, 0.3, 1.0]), dim=-1)
    motion = torch.cat((2 * quaternion[:3] / quaternion[3], torch.tensor([0.5, 0, -1])))

    encoding = inverse_encoding(rigid_motion(motion[None, None]))[0, 0]

    inverse = quaternion * torch.tensor([-1.0, -1, -1, 1])
    torch.testing.assert_close(encoding[3:], inverse)
    torch.testing.assert_close(encoding[:3], -rotate(inverse, motion[3:]))


def test_expected_place_and_variance_are_those_of_the_distribution() -> None:
    probability = torch.zeros(3, 4)
    probability[1, 0], probability[1, 2], probability[2, 2] = 0.5, 0.25, 0.25

    xy, variance = mean_and_variance(probability)

    torch.testing.assert_close(xy, torch.tensor([1.0, 1.25]))
    torch.testing.assert_close(variance, torch.tensor(1.0 + 3 / 16))


def test_matching_changes_poses_and_nothing_else() -> None:
    torch.manual_seed(0)
    plain = Moe3dNet(replace(SMALL, matching=False)).eval()
    matching = with_matching(plain).eval()
    images = torch.rand(3, 3, 32, 48)

    with torch.no_grad():
        before, after = plain(images), matching(images, return_experts=True)

    assert before.matches is None
    assert after.matches is not None
    assert after.matches.cell_xy.shape == (3, 4 * 6, 2)
    torch.testing.assert_close(after.depth, before.depth, **CLOSE)
    torch.testing.assert_close(after.pose_encoding[:, 7:], before.pose_encoding[:, 7:], **CLOSE)
    assert not torch.allclose(after.pose_encoding[1:, :7], before.pose_encoding[1:, :7], **CLOSE)
    still = torch.tensor([0.0, 0, 0, 0, 0, 0, 1])
    torch.testing.assert_close(after.pose_encoding[0, :7], still, atol=0.05, rtol=0)


def test_no_published_view_gives_poses_without_depth() -> None:
    network = Moe3dNet(SMALL).eval()
    images = torch.rand(2, 3, 32, 48)

    with torch.no_grad():
        poses_alone = network(images, torch.arange(0))
        poses = network(images).pose_encoding

    assert poses_alone.depth.shape == (0, 32, 48)
    torch.testing.assert_close(poses_alone.pose_encoding, poses, **CLOSE)


def test_matching_without_the_maps_of_a_mobile_stem_is_refused() -> None:
    with pytest.raises(ConfigError, match='matching needs the maps of stem mobile'):
        replace(preset('vggt-1b'), matching=True)
