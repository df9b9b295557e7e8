"""Corners are found again: to a fraction of a pixel, under other exposure, after large motion."""

from __future__ import annotations

import cv2
from moe3d_engine.mapping.flow import Corners
from moe3d_engine.mapping.flow import equalized
from moe3d_engine.mapping.flow import find_again
from moe3d_engine.mapping.flow import follow
from moe3d_engine.mapping.flow import median_parallax_px
from moe3d_engine.mapping.flow import new_corners
from moe3d_engine.mapping.flow import PreparedImage
from moe3d_engine.mapping.flow import whole_shift
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
import numpy as np
import pytest

from .conftest import INTRINSICS

NONE = np.empty((0, 2), np.float32)


@pytest.fixture(scope='module')
def picture() -> UInt8Array:
    """Return a grey picture (360, 540) of blurred noise at several scales."""
    rng = np.random.default_rng(0)
    layers = [
        cv2.resize(
            rng.normal(0, 1, (1800 // size, 2400 // size)).astype(np.float32), (800, 600),
            interpolation=cv2.INTER_CUBIC,
        )
        for size in (12, 24, 48)
    ]  # fmt: skip
    return np.clip(np.sum(layers, axis=0) * 25 + 128, 0, 255).astype(np.uint8)


def cut(picture: UInt8Array, shift: tuple[float, float], angle_deg: float = 0.0) -> UInt8Array:
    """Return a view (360, 540) of the picture, moved and turned about its middle."""
    matrix = cv2.getRotationMatrix2D((400.0, 300.0), angle_deg, 1.0)
    matrix[:, 2] += (-130.0 + shift[0], -120.0 + shift[1])
    return np.asarray(cv2.warpAffine(picture, matrix, (540, 360), flags=cv2.INTER_CUBIC), np.uint8)


def corners_of(image: PreparedImage) -> Corners:
    """Return the corners of an image."""
    places = new_corners(image, NONE)
    return Corners(np.arange(len(places)), places)


def moved_by(before: Corners, after: Corners) -> Float32Array:
    """Return how far the corners have moved that were found again (N, 2)."""
    return after.pixels - before.pixels[after.identities]


@pytest.mark.parametrize('shift', [(0.4, -0.3), (20.5, 7.25), (60.0, -25.0)])
def test_corners_are_followed_to_a_twentieth_of_a_pixel(
    picture: UInt8Array, shift: tuple[float, float]
) -> None:
    before, now = PreparedImage(cut(picture, (0.0, 0.0))), PreparedImage(cut(picture, shift))
    corners = corners_of(before)

    found = follow(before, now, corners, whole_shift(before, now))

    assert len(found.pixels) > 0.7 * len(corners.pixels)
    off = moved_by(corners, found) - np.array(shift, np.float32)
    assert np.median(np.abs(off)) < 0.05


@pytest.mark.parametrize('gain', [0.4, 1.6])
def test_exposure_does_not_matter(picture: UInt8Array, gain: float) -> None:
    before = PreparedImage(cut(picture, (0.0, 0.0)))
    other = np.clip(cut(picture, (8.0, 3.0)).astype(np.float32) * gain, 0, 255).astype(np.uint8)
    corners = corners_of(before)

    found = find_again(before, PreparedImage(other), corners)

    assert len(found.pixels) > 0.6 * len(corners.pixels)
    assert np.median(np.abs(moved_by(corners, found) - np.float32([8.0, 3.0]))) < 0.1


def test_corner_looks_the_same_wherever_it_moves(picture: UInt8Array) -> None:
    here, there = equalized(cut(picture, (0.0, 0.0))), equalized(cut(picture, (30.0, 0.0)))

    difference = here[100:260, 150:350].astype(int) - there[100:260, 180:380]

    assert np.abs(difference).mean() < 1.0


def test_image_that_has_turned_too_far_to_follow_is_matched(picture: UInt8Array) -> None:
    before = PreparedImage(cut(picture, (-70.0, 0.0)))
    now = PreparedImage(cut(picture, (90.0, 30.0), angle_deg=8.0))
    corners = corners_of(before)

    found = find_again(before, now, corners)

    assert len(found.pixels) > 40
    assert len(found.pixels) > len(follow(before, now, corners, whole_shift(before, now)).pixels)


def test_black_image_has_no_corners_and_keeps_none(picture: UInt8Array) -> None:
    before, black = (
        PreparedImage(cut(picture, (0.0, 0.0))),
        PreparedImage(np.zeros((360, 540), np.uint8)),
    )

    assert len(new_corners(black, NONE)) == 0
    assert len(find_again(before, black, corners_of(before)).pixels) < 20


def test_new_corners_keep_their_distance_from_those_present(picture: UInt8Array) -> None:
    image = PreparedImage(cut(picture, (0.0, 0.0)))
    present = new_corners(image, NONE)[::3]

    added = new_corners(image, present)

    apart = np.linalg.norm(added[:, None] - present[None], axis=2)
    assert len(added) > 50
    assert apart.min() > 8


def test_turning_on_the_spot_is_no_parallax() -> None:
    rng = np.random.default_rng(6)
    rotation = np.asarray(cv2.Rodrigues(np.array([0.02, 0.1, 0.03]))[0])
    rays = np.c_[rng.uniform(-0.4, 0.4, (50, 2)), np.ones(50)]
    first, second = ((r @ INTRINSICS.T)[:, :2] / r[:, 2:] for r in (rays, rays @ rotation.T))

    assert median_parallax_px(first, second, rotation, INTRINSICS) < 1e-6
    assert median_parallax_px(first, second, np.eye(3), INTRINSICS) > 40
