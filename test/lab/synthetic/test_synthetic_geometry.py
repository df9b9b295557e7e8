"""Depth and poses of rendered scenes against analytic shapes and against each other."""

from __future__ import annotations

from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.lab.synthetic import render_trajectory
from moe3d_engine.lab.synthetic import SyntheticSet
from moe3d_engine.lab.synthetic.cameras import intrinsics_from_focal
from moe3d_engine.lab.synthetic.cameras import look_at
from moe3d_engine.lab.synthetic.render import render_views
from moe3d_engine.lab.synthetic.tracing import Tracer
from moe3d_engine.lab.synthetic.worlds.meshes import Mesh
from moe3d_engine.lab.synthetic.worlds.meshes import quad
from moe3d_engine.lab.synthetic.worlds.meshes import sphere
from moe3d_engine.lab.synthetic.worlds.scene import Item
from moe3d_engine.lab.synthetic.worlds.scene import Light
from moe3d_engine.lab.synthetic.worlds.scene import pack_scene
from moe3d_engine.lab.synthetic.worlds.scene import Palette
from moe3d_engine.lab.synthetic.worlds.textures import texture_bank
import numpy as np
import pytest

IMAGE_HW = (60, 80)
INTRINSICS = intrinsics_from_focal(70.0, IMAGE_HW)


@pytest.fixture(scope='module', params=[1, 2, HELD_OUT_SEED_START + 3])
def rendered(request: pytest.FixtureRequest) -> SyntheticSet:
    return render_set(request.param, num_views=3, image_hw=(72, 96))


def render_mesh(
    mesh: Mesh, position: np.ndarray, target: np.ndarray, supersample: int = 1
) -> tuple[SyntheticSet, np.ndarray]:
    """Return a rendered view of one mesh, and its pixel rays in the world."""
    bank = texture_bank(0)
    rng = np.random.default_rng(0)
    item = Item(1, 1, 1)
    item.add(mesh, Palette(rng, bank).wood())
    light = Light(np.array([0.5, -1.0, 4.0]), np.ones(3), 0.1)
    scene = pack_scene(item, rng, bank, (light,), np.ones(3), np.ones(3))
    pose = look_at(position, target, 0.3)
    rendered = render_views(
        Tracer(scene), pose[None], INTRINSICS, IMAGE_HW, supersample, 'photo', 0
    )
    y, x = np.mgrid[: IMAGE_HW[0], : IMAGE_HW[1]]
    rays = np.stack([x, y, np.ones(IMAGE_HW)], axis=-1) @ np.linalg.inv(INTRINSICS).T
    return rendered, rays @ pose[:3, :3].T


def interpolate(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sample bilinearly; exact on planes where `image` is the inverse depth."""
    column, row = u.astype(int), v.astype(int)
    a, b = u - column, v - row
    top = image[row, column] * (1 - a) + image[row, column + 1] * a
    bottom = image[row + 1, column] * (1 - a) + image[row + 1, column + 1] * a
    return top * (1 - b) + bottom * b


@pytest.mark.parametrize('supersample', [1, 2])
def test_depth_of_plane_is_analytic(supersample: int) -> None:
    position, target = np.array([0.3, -2.0, 1.5]), np.array([0.0, 0.5, 0.0])
    rendered, rays = render_mesh(quad(50.0, 50.0), position, target, supersample)
    expected = -position[2] / rays[..., 2]
    hit = np.isfinite(rendered.depth[0])
    assert hit.mean() > 0.5
    np.testing.assert_allclose(rendered.depth[0][hit], expected[hit], rtol=1e-4)


def test_depth_of_sphere_is_analytic() -> None:
    radius, centre = 0.5, np.array([0.0, 0.0, 0.5])
    position = np.array([0.2, -2.0, 0.8])
    rendered, rays = render_mesh(sphere(radius, 500), position, centre)
    offset = position - centre
    a, b = (rays**2).sum(-1), rays @ offset
    root = b**2 - a * (offset @ offset - radius**2)
    inside = root > 0.1 * root.max()  # at the rim, facets and sphere differ
    expected = (-b - np.sqrt(np.maximum(root, 0))) / a
    assert inside.sum() > 300
    np.testing.assert_allclose(rendered.depth[0][inside], expected[inside], rtol=1e-4)


def test_depth_is_infinite_where_only_sky_is() -> None:
    rendered, _ = render_mesh(sphere(0.2), np.array([0, -2.0, 0.2]), np.array([0, 0, 0.2]))
    sky = rendered.object_id[0] == -1
    assert 0.5 < sky.mean() < 1
    assert np.isinf(rendered.depth[0][sky]).all()
    assert np.isfinite(rendered.depth[0][~sky]).all()


def test_depth_reprojects_into_the_other_views(rendered: SyntheticSet) -> None:
    height, width = rendered.depth.shape[1:]
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
    known = np.isfinite(rendered.depth[0])
    rays = pixels[known] @ np.linalg.inv(rendered.intrinsics[0]).T
    world_from_first = rendered.world_from_cam[0]
    points = rays * rendered.depth[0][known][:, None] @ world_from_first[:3, :3].T
    points += world_from_first[:3, 3]
    for i in (1, 2):
        world_from_cam = rendered.world_from_cam[i]
        local = (points - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
        u, v, z = (local @ rendered.intrinsics[i].T).T
        u, v = u / z, v / z
        inside = (z > 0) & (u >= 0) & (u < width - 1) & (v >= 0) & (v < height - 1)
        assert inside.mean() > 0.3
        seen = interpolate(1 / rendered.depth[i], u[inside], v[inside])
        error = np.abs(z[inside] * seen - 1)
        assert np.median(error) < 5e-4
        assert (error < 0.03).mean() > 0.65  # the rest is hidden, or at an edge


def test_cameras_stand_clear_of_everything(rendered: SyntheticSet) -> None:
    assert rendered.depth.min() > 0.2


def test_cameras_of_a_set_are_close_and_share_intrinsics(rendered: SyntheticSet) -> None:
    positions = rendered.world_from_cam[:, :3, 3]
    baselines = np.linalg.norm(positions[1:] - positions[0], axis=1)
    assert (baselines >= 0.05 - 1e-9).all()
    assert (baselines <= 1.0 + 1e-9).all()
    assert (rendered.intrinsics == rendered.intrinsics[0]).all()
    rotations = rendered.world_from_cam[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (3, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)


def test_trajectory_moves_smoothly() -> None:
    walk = render_trajectory(HELD_OUT_SEED_START + 7, num_frames=6, image_hw=(36, 48))
    steps = np.diff(walk.world_from_cam[:, :3, 3], axis=0)
    length = np.linalg.norm(steps, axis=1)
    assert (length < 0.08).all()
    assert length.mean() > 0.03
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < 0.02
    assert walk.depth.min() > 0.2
