"""A sliding window that keeps features and decodes one view equals the plain run."""

from __future__ import annotations

from moe3d_engine.assets import find_weights
from moe3d_engine.backends.openvino_backend import open_openvino
from moe3d_engine.graphs.parity import textured_images
import numpy as np
import pytest

pytestmark = pytest.mark.instruction_sets

TOLERANCE = {'f32': 1e-4, 'bf16': 5e-2}  # relative, 99th percentile


@pytest.mark.parametrize('num_views', [2, 4])
@pytest.mark.parametrize('precision', ['f32', 'bf16'])
def test_kept_features_and_one_decoded_view_give_the_depth_of_the_plain_run(
    precision: str, num_views: int
) -> None:
    backend = open_openvino(find_weights('moe3d-small'), precision=precision)
    try:
        images = textured_images(num_views, backend.spec.input_hw)
        plain = backend.reconstruct(backend.encode(images), range(num_views))
        kept = [backend.encode(image[None])[0] for image in images]
        sliding = backend.reconstruct(kept, [num_views - 1])
    finally:
        backend.close()

    error = np.abs(sliding.depth[0] - plain.depth[-1]) / plain.depth[-1]
    assert np.percentile(error, 99) <= TOLERANCE[precision]
    np.testing.assert_allclose(sliding.pose_encoding, plain.pose_encoding, atol=5e-2)
