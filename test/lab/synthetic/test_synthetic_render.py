"""What a seed promises, and what the colours must show."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.lab.synthetic.render import Style
from moe3d_engine.lab.synthetic.sheet import write_sheet
from moe3d_engine.lab.synthetic.worlds.textures import texture_bank
import numpy as np
import pytest

SMALL = (48, 64)


@pytest.mark.parametrize(('style', 'supersample'), [('fast', 1), ('photo', 2)])
def test_same_seed_gives_same_bytes(style: Style, supersample: int) -> None:
    first, second = (render_set(5, 2, SMALL, supersample, style) for _ in range(2))
    for name in ('rgb', 'depth', 'object_id', 'intrinsics', 'world_from_cam'):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name


def test_seeds_give_different_scenes() -> None:
    first, second = render_set(5, 2, SMALL), render_set(6, 2, SMALL)
    assert not np.array_equal(first.depth, second.depth)
    assert not np.array_equal(first.world_from_cam, second.world_from_cam)


def test_style_changes_colours_but_not_truth() -> None:
    fast, photo = render_set(8, 2, SMALL), render_set(8, 2, SMALL, 2, 'photo')
    np.testing.assert_array_equal(fast.depth, photo.depth)
    np.testing.assert_array_equal(fast.object_id, photo.object_id)
    assert not np.array_equal(fast.rgb, photo.rgb)


def test_exposure_is_neither_dark_nor_blown() -> None:
    rgb = np.concatenate([render_set(seed, 2, SMALL).rgb for seed in range(10, 16)])
    means = rgb.reshape(len(rgb), -1).mean(axis=1)
    assert means.min() > 40
    assert means.max() < 235
    assert rgb.std() > 25


def test_held_out_scenes_use_other_textures() -> None:
    train, held_out = texture_bank(0), texture_bank(16)
    assert not np.array_equal(train.texels, held_out.texels)
    assert HELD_OUT_SEED_START == 1_000_000_000


def test_texture_tiles_and_keeps_its_mean_over_mip_levels() -> None:
    bank = texture_bank(0)
    rng = np.random.default_rng(0)
    uvs = rng.uniform(-2, 2, (4000, 2))
    texture = np.full(4000, bank.kinds['noise'][0])
    fine = bank.sample(texture, uvs, np.zeros(4000))
    coarse = bank.sample(texture, uvs, np.full(4000, 2.0))
    np.testing.assert_allclose(bank.sample(texture, uvs + 3, np.zeros(4000)), fine, atol=1e-3)
    np.testing.assert_allclose(coarse, np.broadcast_to(coarse[0], coarse.shape), atol=1e-6)
    np.testing.assert_allclose(fine.mean(axis=0), coarse[0], rtol=0.05)


def test_sheet_holds_a_row_per_set(tmp_path: Path) -> None:
    import cv2

    sets = [render_set(seed, 2, SMALL) for seed in (5, 6)]
    write_sheet(tmp_path / 'sheet.png', sets)
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (2 * 48, 4 * 64, 3)
