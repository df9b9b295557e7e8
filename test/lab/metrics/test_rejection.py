"""Every way to take flying points away gives a score and its time, and finds planted ones."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.metrics.filters import keep_at
from moe3d_engine.lab.metrics.rejection import baseline_scores
from moe3d_engine.lab.metrics.rejection import ScoredFilter

METHODS = {
    'agreement', 'boundary confidence', 'depth edges', 'VGGT percentile', 'DA3 percentile', 'SOR',
    'ROR', 'shadow points',
}  # fmt: skip
HW = (24, 32)


def planted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two views of a wall with single pixels halfway to the camera, and where these are."""
    flying = np.zeros((2, *HW), bool)
    flying[:, 3:-3:5, 3:-3:5] = True
    depth = 4.0 + 0.001 * rng.normal(size=flying.shape)
    return np.where(flying, 2.0, depth).astype(np.float32), flying


def score(depth: np.ndarray, suspicious: np.ndarray) -> dict[str, ScoredFilter]:
    intrinsics = np.array([[120.0, 0, 15.5], [0, 120, 11.5], [0, 0, 1]])
    confidence = np.where(suspicious, 0.1, 0.9).astype(np.float32)
    return baseline_scores(
        depth, np.stack([intrinsics] * len(depth)), 1 + confidence, confidence, confidence
    )


def test_every_method_scores_every_pixel_and_tells_its_time(rng: np.random.Generator) -> None:
    depth, flying = planted(rng)

    scores = score(depth, flying)

    assert set(scores) == METHODS
    for name, scored in scores.items():
        assert scored.score.shape == depth.shape, name
        assert np.isfinite(scored.score).all(), name
        assert scored.milliseconds > 0, name


@pytest.mark.parametrize('method', sorted(METHODS - {'depth edges', 'shadow points'}))
def test_planted_pixels_go_first(method: str, rng: np.random.Generator) -> None:
    depth, flying = planted(rng)

    kept = keep_at(score(depth, flying)[method].score, 1 - float(flying.mean()))

    np.testing.assert_array_equal(kept, ~flying)


@pytest.mark.parametrize('method', ['depth edges', 'shadow points'])
def test_methods_on_neighbours_suspect_what_is_around_a_planted_pixel(
    method: str, rng: np.random.Generator
) -> None:
    depth, flying = planted(rng)
    around = np.zeros_like(flying)
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            around |= np.roll(flying, (y, x), (1, 2))

    values = score(depth, flying)[method].score

    assert np.median(values[around]) > values[~around].max()


def test_scores_do_not_depend_on_the_unit_of_depth_in_their_order(
    rng: np.random.Generator,
) -> None:
    depth, flying = planted(rng)
    metres, millimetres = score(depth, flying), score(depth * np.float32(1024), flying)

    for name, scored in metres.items():
        np.testing.assert_array_equal(
            keep_at(scored.score, 0.9), keep_at(millimetres[name].score, 0.9), err_msg=name
        )


def test_unknown_depth_is_never_kept_by_what_looks_at_depth(rng: np.random.Generator) -> None:
    depth, flying = planted(rng)
    depth[0, 10, 10] = np.nan

    scores = score(depth, flying)

    for name in ('depth edges', 'SOR', 'ROR', 'shadow points'):
        assert not keep_at(scores[name].score, 1.0)[0, 10, 10], name
