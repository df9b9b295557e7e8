"""Depth of a single head at boundaries: one of the two surfaces, and nothing else is touched."""

from __future__ import annotations

from typing import Any

from moe3d_engine.geometry.boundary import MARGIN
from moe3d_engine.geometry.boundary import RADIUS_PX
from moe3d_engine.geometry.boundary import snap_to_surfaces
from moe3d_engine.lab.metrics.flying_points import flying_points
from moe3d_engine.network import Engine
from moe3d_engine.policy import Thresholds
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import Float32Array
from moe3d_engine.types import View
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
import pytest

NEAR, FAR = 1.0, 3.0


def square(height: int = 40, width: int = 56) -> Float32Array:
    """Return a near square before a far wall."""
    depth = np.full((height, width), FAR, np.float32)
    depth[10:30, 15:40] = NEAR
    return depth


def blurred(depth: Float32Array) -> Float32Array:
    """Return the mean over 3x3 pixels, as a single head regresses it at steps."""
    windows = sliding_window_view(np.pad(depth, 1, mode='edge'), (3, 3))
    mean: Float32Array = windows.mean(axis=(-2, -1), dtype=np.float64).astype(np.float32)
    return mean


def plane(slope_x: float, slope_y: float) -> Float32Array:
    """Return a plane: inverse depth is linear in pixels."""
    y, x = np.mgrid[:40, :56]
    return (1 / (0.2 + slope_x * x + slope_y * y)).astype(np.float32)


def test_each_pixel_of_a_ramp_takes_the_surface_that_is_nearer_by_ratio() -> None:
    ramp = blurred(square())

    snapped = snap_to_surfaces(ramp)

    np.testing.assert_array_equal(snapped, np.where(ramp**2 > NEAR * FAR, FAR, NEAR))


def test_flying_points_of_a_blurred_scene_vanish() -> None:
    truth = square()[None]
    ramp = blurred(truth[0])[None]

    for levels in ('gt', 'pred'):
        assert flying_points(ramp, truth, levels=levels).flying > 0
        assert flying_points(snap_to_surfaces(ramp), truth, levels=levels).flying == 0


def test_every_value_is_one_of_the_neighbourhood(rng: np.random.Generator) -> None:
    depth = rng.uniform(0.5, 5.0, (12, 17)).astype(np.float32)

    snapped = snap_to_surfaces(depth)

    side = 2 * RADIUS_PX + 1
    padded = np.pad(depth, RADIUS_PX, mode='edge')
    windows = sliding_window_view(padded, (side, side)).reshape(*depth.shape, side**2)
    assert (windows == snapped[..., None]).any(axis=-1).all()
    assert (snapped != depth).any()


@pytest.mark.parametrize(('slope_x', 'slope_y'), [(0.05, 0.0), (0.0, 0.1), (0.03, -0.004)])
def test_a_slanted_plane_stays_up_to_the_border(slope_x: float, slope_y: float) -> None:
    depth = plane(slope_x, slope_y)
    steepest = np.maximum(depth[:, 4:] / depth[:, :-4], depth[:, :-4] / depth[:, 4:]).max()
    assert (
        max(steepest, depth[:-4].max() / depth[4:].min()) > (1 + MARGIN) ** 2
    )  # it is no easy one

    np.testing.assert_array_equal(snap_to_surfaces(depth), depth)


def test_sharp_steps_and_steps_below_the_tolerance_stay() -> None:
    faint = blurred(np.where(square() == NEAR, np.float32(2.95), np.float32(FAR)))

    np.testing.assert_array_equal(snap_to_surfaces(square()), square())
    np.testing.assert_array_equal(snap_to_surfaces(faint), faint)


def test_the_unit_of_depth_does_not_matter() -> None:
    ramp = blurred(square())

    np.testing.assert_array_equal(snap_to_surfaces(8 * ramp), 8 * snap_to_surfaces(ramp))


def test_views_do_not_touch_each_other() -> None:
    views = np.stack([blurred(square()), plane(0.05, 0.0), blurred(square().T.reshape(40, 56))])

    together = snap_to_surfaces(views)

    for one, view in zip(together, views, strict=True):
        np.testing.assert_array_equal(one, snap_to_surfaces(view))


def ramp_view() -> View:
    """Return a view that the fake backend turns into a ramp between two surfaces."""
    image = np.full((28, 42, 3), 255, np.uint8)
    image[..., 0] = np.repeat([0, 100, 200], [20, 1, 21])
    return View(image)


@pytest.mark.parametrize(('min_agreement', 'snaps'), [(0.5, True), (0.0, False)])
def test_session_snaps_unless_rejection_is_off(
    fake_backend: type[Any], min_agreement: float, snaps: bool
) -> None:
    backend = fake_backend(metric=False)
    config = SessionConfig(thresholds=Thresholds(min_agreement=min_agreement))

    result = Session(Engine(backend), config).reconstruct([ramp_view()])

    assert len(np.unique(result.depth_raw)) == 3
    assert len(np.unique(result.depth)) == (2 if snaps else 3)
    assert np.isfinite(result.depth).all()
    np.testing.assert_array_equal(result.boundary_confidence, 1.0)
