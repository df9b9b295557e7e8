"""Training windows: order by seed alone, mirrored worlds that stay consistent, colours only."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.geometry.cameras import pose_encoding_from_cameras
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.lab.synthetic.dataset import SyntheticDataset
from moe3d_engine.lab.synthetic.dataset import write_dataset
from moe3d_engine.lab.training.data import augment_colours
from moe3d_engine.lab.training.data import known_windows
from moe3d_engine.lab.training.data import mean_distance
from moe3d_engine.lab.training.data import mirror_views
from moe3d_engine.lab.training.data import WindowDataset
from moe3d_engine.lab.training.data import WindowKey
from moe3d_engine.lab.training.data import WindowSampler
import numpy as np
import pytest

IMAGE_HW = (48, 64)


def reprojection_error(
    depth: np.ndarray, intrinsics: np.ndarray, world_from_cam: np.ndarray
) -> float:
    """Return the median relative difference of view 0's points to view 1's depth."""
    v, u = np.mgrid[: depth.shape[1], : depth.shape[2]]
    rays = np.linalg.inv(intrinsics[0]) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    points = np.vstack(
        [rays * np.where(np.isfinite(depth[0]), depth[0], 1e3).ravel(), np.ones(u.size)]
    )
    seen = (np.linalg.inv(world_from_cam[1]) @ world_from_cam[0] @ points)[:3]
    pixel = np.rint((intrinsics[1] @ seen)[:2] / seen[2]).astype(int)
    inside = (seen[2] > 0) & (pixel >= 0).all(0)
    inside &= (pixel[0] < depth.shape[2]) & (pixel[1] < depth.shape[1])
    other = depth[1][pixel[1, inside], pixel[0, inside]]
    return float(np.median(np.abs(other / seen[2, inside] - 1)))


def test_mirrored_views_reproject_as_well_as_the_originals() -> None:
    source = render_set(5, 2, IMAGE_HW)

    rgb, depth, intrinsics, world_from_cam = mirror_views(
        source.rgb, source.depth, source.intrinsics, source.world_from_cam
    )

    before = reprojection_error(source.depth, source.intrinsics, source.world_from_cam)
    after = reprojection_error(depth, intrinsics, world_from_cam)
    assert after == pytest.approx(before, abs=0.01)
    assert before < 0.05
    np.testing.assert_array_equal(rgb[:, :, 0], source.rgb[:, :, -1])


def test_principal_point_is_mirrored_with_the_image() -> None:
    depth = np.ones((1, 4, 10), np.float32)
    intrinsics = np.array([[[8.0, 0, 3.0], [0, 8.0, 1.5], [0, 0, 1]]])

    mirrored = mirror_views(np.zeros((1, 4, 10, 3), np.uint8), depth, intrinsics, np.eye(4)[None])

    assert mirrored[2][0, 0, 2] == 6.0
    assert intrinsics[0, 0, 2] == 3.0


def test_colour_augmentation_changes_every_view_and_keeps_type_and_shape() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (2, 8, 9, 3)).astype(np.uint8)

    augmented = augment_colours(rgb, np.random.default_rng(1))

    assert augmented.shape == rgb.shape
    assert augmented.dtype == np.uint8
    assert (augmented != rgb).any(axis=(1, 2, 3)).all()


def test_sampler_continues_where_an_interrupted_run_stopped() -> None:
    whole = list(WindowSampler(7, 2, (1, 2, 4), range(1, 9), seed=3))
    rest = list(WindowSampler(7, 2, (1, 2, 4), range(5, 9), seed=3))

    assert rest == whole[4:]


def test_ranks_draw_other_windows_of_the_same_length() -> None:
    first = list(WindowSampler(1000, 4, (1, 2, 4), range(1, 9), seed=3, rank=0))
    second = list(WindowSampler(1000, 4, (1, 2, 4), range(1, 9), seed=3, rank=1))

    for a, b in zip(first, second, strict=True):
        assert a != b
        assert {key.num_views for key in a} == {key.num_views for key in b}


def test_window_holds_the_set_with_its_first_view_as_the_world(tmp_path: Path) -> None:
    write_dataset(tmp_path, range(2), num_views=3, image_hw=IMAGE_HW, processes=1)
    sets = SyntheticDataset(tmp_path)

    window = WindowDataset(sets, far_m=20.0, metric=True, augment=False)[WindowKey(1, 2, 0)]

    source = sets[1]
    assert window['images'].shape == (2, 3, *IMAGE_HW)
    assert window['depth'].max() <= 20.0
    np.testing.assert_allclose(window['pose_encoding'][0, :7], [0, 0, 0, 0, 0, 0, 1], atol=1e-6)
    cam_from_first = np.linalg.inv(source.world_from_cam[1]) @ source.world_from_cam[0]
    expected = pose_encoding_from_cameras(cam_from_first[None], source.intrinsics[1:2], IMAGE_HW)
    np.testing.assert_allclose(window['pose_encoding'][1], expected[0], atol=1e-5)


def test_window_without_metres_has_its_points_at_mean_distance_one(tmp_path: Path) -> None:
    write_dataset(tmp_path, range(1), num_views=2, image_hw=IMAGE_HW, processes=1)
    sets = SyntheticDataset(tmp_path)
    key = WindowKey(0, 2, 0)

    metres = WindowDataset(sets, far_m=1e3, metric=True, augment=False)[key]
    scaled = WindowDataset(sets, far_m=1e3, metric=False, augment=False)[key]

    first_from_cam = np.linalg.inv(sets[0].world_from_cam[0]) @ sets[0].world_from_cam
    unit_m = mean_distance(sets[0].depth, sets[0].intrinsics, first_from_cam)
    np.testing.assert_allclose(scaled['depth'] * unit_m, metres['depth'], rtol=1e-5)
    moved_m = metres['pose_encoding'][1, :3]
    np.testing.assert_allclose(scaled['pose_encoding'][1, :3] * unit_m, moved_m, rtol=1e-4)


def test_mean_distance_of_a_sphere_of_points_is_its_radius() -> None:
    intrinsics = np.array([[[20.0, 0, 31.5], [0, 20.0, 23.5], [0, 0, 1]]])
    v, u = np.mgrid[: IMAGE_HW[0], : IMAGE_HW[1]]
    length = np.sqrt(((u - 31.5) / 20) ** 2 + ((v - 23.5) / 20) ** 2 + 1)
    depth = (7.0 / length)[None].astype(np.float32)
    depth[0, 0, 0] = np.inf

    assert mean_distance(depth, intrinsics, np.eye(4)[None]) == pytest.approx(7.0, rel=1e-5)


def test_pixels_near_unknown_depth_are_not_valid() -> None:
    depth = np.ones((1, 20, 20), np.float32)
    depth[0, 10, 10] = np.nan

    valid = known_windows(depth)

    assert valid[0, 7:14, 7:14].max() == 0.0
    assert valid.sum() == 400 - 49
