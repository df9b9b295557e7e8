"""The plans of a network that sweeps planes, on the double of TensorRT."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backends.open import open_float32
from moe3d_engine.backends.tensorrt.backend import open_tensorrt
from moe3d_engine.backends.tensorrt.backend import TensorRtBackend
from moe3d_engine.errors import EngineError
from moe3d_engine.errors import ShapeError
from moe3d_engine.graphs.parity import sideways_cameras
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.plans.manifest import plans_of
from moe3d_engine.plans.manifest import read_manifest
import numpy as np
import pytest

World = Any  # of tensorrt_double.py, which is loaded by conftest.py
HW = (64, 96)
IMAGES = textured_images(4, HW)


@pytest.fixture
def backend(sweeping: WeightsCard, sweeping_folder: Path) -> Iterator[TensorRtBackend]:
    backend = open_tensorrt(sweeping)  # which checks what all plans compute
    yield backend
    backend.close()


@pytest.mark.parametrize('publish', [[0], [3, 1]])
@pytest.mark.parametrize('num_views', [1, 2, 4])
def test_windows_with_cameras_and_without_are_those_of_a_cpu(
    backend: TensorRtBackend, sweeping: WeightsCard, num_views: int, publish: list[int]
) -> None:
    publish = [view % num_views for view in publish]
    reference = open_float32(sweeping)
    hint = np.full((len(publish), 2, HW[0] // 4, HW[1] // 4), 0.5, np.float32)
    known = sideways_cameras(num_views, HW)._replace(hint=hint)
    for cameras in (None, known, None):
        found = backend.reconstruct(backend.encode(IMAGES[:num_views]), publish, cameras)

        expected = reference.reconstruct(reference.encode(IMAGES[:num_views]), publish, cameras)
        for values, others in zip(found, expected, strict=True):
            np.testing.assert_allclose(values, others, rtol=1e-4, atol=1e-4)


def test_features_of_a_sliding_window_serve_both_plans(
    backend: TensorRtBackend, sweeping: WeightsCard
) -> None:
    kept = [backend.encode(image[None])[0] for image in IMAGES]

    poses = backend.estimate_cameras(kept[1:])

    reference = open_float32(sweeping)
    np.testing.assert_allclose(
        poses, reference.estimate_cameras(reference.encode(IMAGES[1:])), atol=1e-4
    )


def test_cameras_of_another_window_are_refused(backend: TensorRtBackend) -> None:
    with pytest.raises(ShapeError, match='intrinsics of the cameras has the shape'):
        backend.reconstruct(backend.encode(IMAGES[:2]), [0], sideways_cameras(3, HW))


@pytest.mark.parametrize('plan', ['cameras', 'reconstruct'])
def test_a_wrong_plan_is_refused_by_the_self_check(
    world: World, sweeping: WeightsCard, sweeping_folder: Path, plan: str
) -> None:
    def distort(name: str, outputs: dict[str, Any]) -> None:
        if name == plan:
            for values in outputs.values():
                values[...] *= 1.05

    world.distort = distort

    with pytest.raises(EngineError, match='computes something else'):
        open_tensorrt(sweeping)


def test_plans_without_that_of_the_cameras_are_built_anew(
    sweeping: WeightsCard, sweeping_folder: Path
) -> None:
    assert plans_of(sweeping) == ('preprocess', 'image_encoder', 'cameras', 'reconstruct')
    path = sweeping_folder / 'manifest.json'
    content = json.loads(path.read_text())
    del content['plan_sha256']['cameras']
    path.write_text(json.dumps(content))

    with pytest.raises(EngineError, match='lack a plan'):
        read_manifest(sweeping_folder)
