"""Graphs that are compiled for the window of a stream, beside those for any window."""

from __future__ import annotations

from moe3d_engine.assets import WeightsCard
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.types import Float32Array
import numpy as np
import pytest

pytest.importorskip('openvino')

from moe3d_engine.backends import openvino_backend
from moe3d_engine.backends.openvino_backend import open_openvino
from moe3d_engine.backends.openvino_backend import OpenVinoBackend


def newest_depth(backend: OpenVinoBackend, num_views: int) -> Float32Array:
    """Encode images one after the other, as they come, and publish the newest."""
    images = textured_images(num_views, backend.spec.input_hw)
    features = [backend.encode(image[None])[0] for image in images]
    return backend.reconstruct(features, [num_views - 1]).depth


def test_graphs_of_a_stream_compute_what_those_of_any_window_compute(tiny: WeightsCard) -> None:
    backend = open_openvino(tiny, threads=1, precision='f32', keep=False)
    of_any = OpenVinoBackend(tiny, backend._requests, {})

    for num_views in range(1, tiny.max_views + 1):
        depth, expected = (newest_depth(b, num_views) for b in (backend, of_any))
        np.testing.assert_allclose(depth, expected, rtol=2e-4)


def test_full_window_of_which_one_view_is_published_runs_the_graph_of_a_stream(
    tiny: WeightsCard,
) -> None:
    backend = open_openvino(tiny, threads=1, precision='f32', keep=False)
    del backend._requests['reconstruct']

    assert np.isfinite(newest_depth(backend, tiny.max_views)).all()


def test_large_graphs_are_compiled_once_for_any_window(
    tiny: WeightsCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_backend, 'MOST_BYTES_TWICE', 0)

    backend = open_openvino(tiny, threads=1, precision='f32', keep=False)

    assert not backend._of_streams
    assert np.isfinite(newest_depth(backend, tiny.max_views)).all()
