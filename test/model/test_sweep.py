"""The plane sweep: projections, matches, paths, surfaces, and what happens without cameras."""

from __future__ import annotations

from dataclasses import replace
import math

from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.checkpoint import with_swept_depths
from moe3d_engine.model.sweep.alignment import alignment
from moe3d_engine.model.sweep.branch import plane_log_depths
from moe3d_engine.model.sweep.geometry import Cameras
from moe3d_engine.model.sweep.geometry import grid_pixels
from moe3d_engine.model.sweep.geometry import project
from moe3d_engine.model.sweep.geometry import relative_pose
from moe3d_engine.model.sweep.regularize import semi_global
from moe3d_engine.model.sweep.surfaces import best_depth
from moe3d_engine.model.sweep.surfaces import doubled
from moe3d_engine.model.sweep.surfaces import envelopes
from moe3d_engine.model.sweep.volume import coarse_similarity
from moe3d_engine.model.sweep.volume import fine_similarity
from networks import MOBILE_TINY
import numpy as np
import pytest
import torch
from torch import Tensor

HW = (64, 96)
SMALL = replace(MOBILE_TINY, sweep=True)


@pytest.fixture(scope='module')
def network() -> Moe3dNet:
    torch.manual_seed(1)
    return Moe3dNet(SMALL).eval()


def cameras_beside_each_other(count: int, step: float = 0.2) -> Cameras:
    """Return cameras (1, V, ...) in a row along x."""
    intrinsics = torch.tensor([[80.0, 0, 47.5], [0, 80.0, 31.5], [0, 0, 1]])
    poses = torch.eye(4).repeat(count, 1, 1)
    poses[:, 0, 3] = -step * torch.arange(count)
    return Cameras(intrinsics.repeat(1, count, 1, 1), poses[None], torch.ones(1, count))


def turned_pose(rng: np.random.Generator) -> Tensor:
    pose = torch.eye(4)
    pose[:3, :3] = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3))).float())[0]
    pose[:3, :3] *= torch.linalg.det(pose[:3, :3]).sign()
    pose[:3, 3] = torch.from_numpy(rng.normal(size=3)).float()
    return pose


def test_a_relative_pose_is_the_product_of_one_pose_and_the_others_inverse(
    rng: np.random.Generator,
) -> None:
    cam, other = turned_pose(rng), turned_pose(rng)
    rotation, translation = relative_pose(cam[None], other[None, None])
    expected = other @ torch.linalg.inv(cam)
    torch.testing.assert_close(rotation[0, 0], expected[:3, :3], atol=1e-5, rtol=0)
    torch.testing.assert_close(translation[0, 0], expected[:3, 3], atol=1e-5, rtol=0)


def test_a_point_is_projected_where_its_cameras_see_it() -> None:
    cameras = cameras_beside_each_other(2)
    pixels = torch.tensor([40.0]), torch.tensor([20.0])
    motion = relative_pose(cameras.cam_from_world[:, 0], cameras.cam_from_world[:, 1:])
    lenses = cameras.intrinsics[:, 0], cameras.intrinsics[:, 1:]
    places = project(torch.tensor([[[math.log(2.0)]]]), pixels, *lenses, motion, HW)
    assert float(places.x) == pytest.approx(40 - 80 * 0.2 / 2.0, abs=1e-4)
    assert float(places.y) == pytest.approx(20, abs=1e-4)
    assert float(places.visible) == 1
    assert math.exp(float(places.log_rate)) == pytest.approx(80 * 0.2 / 2.0, abs=1e-3)


def test_what_lies_behind_a_camera_or_beside_its_image_is_not_visible() -> None:
    cameras = cameras_beside_each_other(2)
    turned = cameras.cam_from_world.clone()
    turned[0, 1, :3, :3] = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    pixels = grid_pixels((16, 24), 4, turned)
    lenses = cameras.intrinsics[:, 0], cameras.intrinsics[:, 1:]
    for poses, depth in ((turned, 2.0), (cameras.cam_from_world, 0.1)):
        motion = relative_pose(poses[:, 0], poses[:, 1:])
        places = project(torch.tensor([[[math.log(depth)]]]), pixels, *lenses, motion, HW)
        assert torch.isfinite(places.x).all()
        assert torch.isfinite(places.log_rate).all()
        assert places.visible.mean() < 0.1


@pytest.mark.parametrize('stride', [4, 2])
def test_descriptors_match_best_at_the_true_depth(stride: int) -> None:
    torch.manual_seed(3)
    hw = (HW[0] // stride, HW[1] // stride)
    cells = 3  # the source sees all of it this many cells farther left
    wide = torch.nn.functional.normalize(torch.randn(1, 12, hw[0], hw[1] + cells), dim=1)
    view, source = wide[..., : hw[1]], wide[..., cells:]
    depth = 80 * 0.2 / (cells * stride)
    cameras = cameras_beside_each_other(2)
    motion = relative_pose(cameras.cam_from_world[:, 0], cameras.cam_from_world[:, 1:])
    lenses = cameras.intrinsics[:, 0], cameras.intrinsics[:, 1:]
    offsets = torch.linspace(-0.3, 0.3, 7)[None, :, None] + math.log(depth)
    places = project(offsets, grid_pixels(hw, stride, view), *lenses, motion, HW)
    measure = coarse_similarity if stride == 4 else fine_similarity
    similarity = measure(view, source[:, None], places)[0, 0].unflatten(1, hw)
    inner = similarity[:, :, cells + 1 : -1]
    assert (inner.argmax(0) == 3).all()
    torch.testing.assert_close(inner[3], torch.ones_like(inner[3]), atol=1e-3, rtol=0)


def test_paths_are_those_of_semi_global_matching() -> None:
    torch.manual_seed(0)
    score = torch.randn(1, 5, 3, 4)
    near, far = torch.full((1, 1, 3, 4), 0.4), torch.full((1, 1, 3, 4), 1.1)

    def walk(line: np.ndarray) -> np.ndarray:  # (steps, D): the textbook recursion
        out = [line[0]]
        for here in line[1:]:
            before = out[-1] - out[-1].max()
            padded = np.pad(before, 1, constant_values=-np.inf)
            beside = np.maximum(padded[:-2], padded[2:]) - 0.4
            out.append(here + np.maximum(np.maximum(before, beside), -1.1))
        return np.stack(out)

    values = score[0].numpy()
    expected = np.zeros_like(values)
    for row in range(3):
        line = values[:, row].T
        expected[:, row] += (walk(line) + walk(line[::-1])[::-1]).T
    for column in range(4):
        line = values[:, :, column].T
        expected[:, :, column] += (walk(line) + walk(line[::-1])[::-1]).T
    found = semi_global(score, near, far)[0].numpy()
    found, expected = (x - x.max(0) for x in (found, expected / 4))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_best_depth_lies_on_one_of_two_surfaces_never_between() -> None:
    planes = plane_log_depths(torch.zeros(1))
    logits = torch.full((1, len(planes), 1, 1), -20.0)
    logits[0, 10], logits[0, 11], logits[0, 20] = 3.0, 3.0, 3.4
    depth, mass = best_depth(logits, planes, beyond=2)
    assert float(depth) == pytest.approx(float(planes[10:12].mean()), abs=1e-3)
    assert 0.5 < float(mass) < 0.7


def test_envelopes_of_a_step_are_its_two_sides_and_of_a_plane_the_plane() -> None:
    step = torch.zeros(1, 1, 12, 12)
    step[..., 6:] = 0.7
    near, far = envelopes(step)
    torch.testing.assert_close(near[..., :7], torch.zeros(1, 1, 12, 7), atol=0.01, rtol=0)
    torch.testing.assert_close(far[..., 5:], torch.full((1, 1, 12, 7), 0.7), atol=0.01, rtol=0)
    plane = torch.linspace(0, 0.2, 12).expand(1, 1, 12, 12)
    for side in envelopes(plane):
        torch.testing.assert_close(side[..., 2:-2], plane[..., 2:-2], atol=0.015, rtol=0)


def test_a_doubled_map_keeps_each_cell_on_its_pixel() -> None:
    x, y = grid_pixels((5, 6), 2, torch.zeros(1))
    columns = doubled(x.reshape(1, 1, 5, 6))
    torch.testing.assert_close(columns[0, 0, 3, 1:], torch.arange(1.0, 12.0))
    rows = doubled(y.reshape(1, 1, 5, 6))
    torch.testing.assert_close(rows[0, 0, 1:, 3], torch.arange(1.0, 10.0))


def test_the_shift_of_a_view_is_that_of_its_matches_and_not_of_a_few_wrong_ones() -> None:
    torch.manual_seed(0)
    difference = torch.full((1, 1, 16, 24), 0.4)
    difference[..., ::5, ::3] = 3.0
    weight = torch.ones_like(difference)
    shift = alignment(difference, weight)
    torch.testing.assert_close(shift, torch.full_like(shift, 0.4), atol=0.07, rtol=0)
    assert not alignment(difference, torch.zeros_like(weight)).any()


def test_without_a_usable_camera_a_view_is_what_it_is_alone(network: Moe3dNet) -> None:
    torch.manual_seed(2)
    images = torch.rand(3, 3, *HW)
    cameras = Cameras(*(x[0] for x in cameras_beside_each_other(3)))
    with torch.no_grad():
        alone = network(images[:1])
        untrusted = network(images, None, cameras._replace(trust=torch.zeros(3)))
        trusted = network(images, None, cameras)
    torch.testing.assert_close(untrusted.depth[:1], alone.depth)
    torch.testing.assert_close(untrusted.boundary_confidence[:1], alone.boundary_confidence)
    assert not torch.allclose(trusted.depth, untrusted.depth)


def test_one_regressed_depth_begins_between_the_surfaces_and_alone_is_one_expert() -> None:
    torch.manual_seed(1)
    network = with_swept_depths(Moe3dNet(SMALL), 1).eval()
    images = torch.rand(3, 3, *HW)
    cameras = Cameras(*(x[0] for x in cameras_beside_each_other(3)))
    first = torch.tensor([0])
    with torch.no_grad():
        network.sweep.experts.say.weight.zero_()
        network.depth_head.gate[2].bias[1] += 10.0
        swept = network(images, first, cameras, return_experts=True)
        untrusted = network(images, first, cameras._replace(trust=torch.zeros(3)))
        alone = network(images[:1], return_experts=True)
    assert swept.expert_depth.shape == (1, 1, *HW)
    near, far = (doubled(side) for side in (swept.surfaces.near, swept.surfaces.far))
    torch.testing.assert_close(swept.depth[0].log(), (0.5 * (near + far))[0, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(untrusted.depth[0], alone.expert_depth[0, 1])


def test_swept_depths_are_learnt_anew_and_all_else_stays(network: Moe3dNet) -> None:
    changed = with_swept_depths(network, 1).state_dict()

    kept = {k: v for k, v in network.state_dict().items() if not k.startswith('sweep.experts.')}
    for name, value in kept.items():
        torch.testing.assert_close(changed[name], value, rtol=0, atol=0)
    assert changed['sweep.experts.say.weight'].shape[0] == 2


def test_tracked_points_alone_bring_a_view_to_their_distance(network: Moe3dNet) -> None:
    torch.manual_seed(2)
    images = torch.rand(1, 2, 3, *HW)
    cameras = cameras_beside_each_other(2)._replace(trust=torch.zeros(1, 2))
    with torch.no_grad():
        first = torch.tensor([0])
        alone = network(images, first, cameras, return_experts=True)
        own = alone.gate_weights > 1e-6  # an untrained gate is undecided among these
        log_depth = (alone.expert_depth.log() * own).sum(2) / own.sum(2)
        cells = log_depth[..., 3::4, 3::4]
        hint = torch.zeros(1, 1, 2, *cells.shape[2:])
        hint[:, :, 0, ::3, ::3] = cells[..., ::3, ::3] + math.log(1.5)
        hint[:, :, 1, ::3, ::3] = 1.0
        told = network(images, first, cameras, hint)
    moved = told.depth / alone.depth
    assert float(moved.median()) == pytest.approx(1.5, rel=0.1)


def test_the_order_of_the_other_views_does_not_matter(network: Moe3dNet) -> None:
    torch.manual_seed(2)
    images, cameras = torch.rand(3, 3, *HW), cameras_beside_each_other(3)
    order = [0, 2, 1]
    first = torch.tensor([0])
    with torch.no_grad():
        one = network(images, first, Cameras(*(x[0] for x in cameras)))
        other = network(images[order], first, Cameras(*(x[0, order] for x in cameras)))
    torch.testing.assert_close(one.depth, other.depth, atol=1e-4, rtol=1e-4)


def test_depth_does_not_depend_on_where_the_world_is(
    network: Moe3dNet, rng: np.random.Generator
) -> None:
    torch.manual_seed(2)
    images, cameras = torch.rand(2, 3, *HW), cameras_beside_each_other(2)
    elsewhere = cameras._replace(cam_from_world=cameras.cam_from_world @ turned_pose(rng))
    with torch.no_grad():
        here, there = (
            network(images, torch.tensor([0]), Cameras(*(x[0] for x in chosen)))
            for chosen in (cameras, elsewhere)
        )
    torch.testing.assert_close(here.depth, there.depth, atol=1e-3, rtol=1e-3)
