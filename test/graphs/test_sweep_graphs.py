"""The graphs of a network that sweeps planes, on every runtime of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.card import WeightsFile
from moe3d_engine.backend import Backend
from moe3d_engine.backend import encode_cameras
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import CheckpointError
from moe3d_engine.errors import ShapeError
from moe3d_engine.graphs.parity import compare_outputs
from moe3d_engine.graphs.parity import DEPTH_ABS_REL
from moe3d_engine.graphs.parity import run_window
from moe3d_engine.graphs.parity import sideways_cameras
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.types import Float32Array
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')
openvino = pytest.importorskip('openvino')

from moe3d_engine.backends.openvino_backend import open_openvino  # noqa: E402 (after the skips)
from moe3d_engine.backends.openvino_backend import precision_here  # noqa: E402
from moe3d_engine.backends.openvino_backend import with_exact_geometry  # noqa: E402
from moe3d_engine.backends.torch_backend import open_torch  # noqa: E402
from moe3d_engine.graphs.rounding import RoundedBackend  # noqa: E402
from moe3d_engine.graphs.torch_graph import GraphBackend  # noqa: E402

pytestmark = pytest.mark.instruction_sets

HW = (64, 96)
CAPABILITIES = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
HAS_BF16 = precision_here(CAPABILITIES) == 'bf16'


@pytest.fixture(scope='module')
def card(sweeping_card: Path) -> WeightsCard:
    return find_weights(str(sweeping_card))


@pytest.fixture(scope='module')
def reference(card: WeightsCard) -> Backend:
    return open_torch(card)


@pytest.fixture(scope='module', params=['torch', 'openvino'])
def backend(request: pytest.FixtureRequest, card: WeightsCard, reference: Backend) -> Backend:
    if request.param == 'torch':
        return reference
    return open_openvino(card, threads=1, precision='f32')


@pytest.fixture(scope='module')
def images() -> Float32Array:
    return textured_images(4, HW)


def cameras_of(num_views: int, num_published: int) -> WindowCameras:
    """Return cameras that go to the right, the first not at the world, and a hint."""
    cameras = sideways_cameras(num_views, HW)
    cameras.cam_from_world[:, 1, 3] += 0.5
    hint = np.zeros((num_published, 2, HW[0] // 4, HW[1] // 4), np.float32)
    hint[:, 0], hint[:, 1, :8] = 0.7, 0.5
    return cameras._replace(hint=hint)


def test_each_graph_takes_the_features_that_it_needs_and_views_stay_dynamic(
    card: WeightsCard,
) -> None:
    axes = {}
    for role in card.graphs:
        graph = onnx.load(card.verified_file(role)).graph
        for kind, tensors in (('in', graph.input), ('out', graph.output)):
            axes[role, kind] = {
                tensor.name: [
                    a.dim_param or a.dim_value for a in tensor.type.tensor_type.shape.dim
                ]
                for tensor in tensors
            }
    maps = ('depth', 'boundary_confidence', 'agreement', 'depth_confidence')

    assert card.graphs == ('image_encoder', 'cameras', 'reconstruct')
    features = axes['image_encoder', 'out']
    assert features['match4'] == ['num_views', 32, 16, 24]
    assert features['match2'] == ['num_views', 12, 32, 48]
    assert axes['cameras', 'out'] == {'pose_encoding': ['num_views', 9]}
    assert axes['cameras', 'in'].items() < features.items()
    assert 'match4' not in axes['cameras', 'in']
    assert axes['reconstruct', 'out'] == {name: ['num_published', *HW] for name in maps}
    assert axes['reconstruct', 'in'] == features | {
        'publish': ['num_published'],
        'intrinsics': ['num_views', 3, 3],
        'cam_from_world': ['num_views', 4, 4],
        'trust': ['num_views'],
        'hint': ['num_published', 2, 16, 24],
    }


@pytest.mark.parametrize(('num_views', 'publish'), [(1, [0]), (2, [1]), (4, [3, 0, 1])])
def test_openvino_and_the_graph_in_torch_agree_with_the_network(
    card: WeightsCard, reference: Backend, images: Float32Array, num_views: int, publish: list[int]
) -> None:
    cameras = cameras_of(num_views, len(publish))
    graphs = {role: card.verified_file(role) for role in card.graphs}
    others = open_openvino(card, threads=1, precision='f32'), GraphBackend(card, graphs)
    expected = reference.reconstruct(reference.encode(images[:num_views]), publish, cameras)

    for other in others:
        found = other.reconstruct(other.encode(images[:num_views]), publish, cameras)

        for name, error in compare_outputs(expected, found, 'fp32').items():
            assert error.within, (other.name, name, error)


def test_estimated_cameras_agree_with_the_network(
    card: WeightsCard, reference: Backend, images: Float32Array
) -> None:
    other = open_openvino(card, threads=1, precision='f32')

    poses = other.estimate_cameras(other.encode(images))

    expected = reference.estimate_cameras(reference.encode(images))
    assert poses.shape == (4, 9)
    np.testing.assert_allclose(poses, expected, atol=1e-4)


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_graphs_in_16_bits_agree_with_the_network(
    card: WeightsCard,
    reference: Backend,
    images: Float32Array,
    tmp_path: Path,
    precision: str,
) -> None:
    from moe3d_engine.graphs.precision import convert_graph

    files = dict(card.files)
    for role in card.graphs:
        out = tmp_path / f'{role}.onnx'
        convert_graph(card.verified_file(role), precision, out)
        files[f'{role}.{precision}'] = WeightsFile(str(out), sha256_of(out))
    rounded = RoundedBackend(replace(card, files=files), precision)
    cameras = sideways_cameras(2, HW)

    expected, found = (
        run_window(backend, images[:2], cameras) for backend in (reference, rounded)
    )

    # A random network rounds worse than a trained one: to a fifth of what is allowed.
    errors = compare_outputs(expected, found, precision)
    middle = np.median(np.abs(found.depth / expected.depth - 1))
    assert middle < DEPTH_ABS_REL[precision] / 3
    assert errors['pose_encoding'].within
    assert rounded.largest
    rounded.check_range()


@pytest.mark.skipif(not HAS_BF16, reason='this CPU has no native bf16')
def test_coordinates_paths_and_depth_stay_float32_where_openvino_computes_in_bf16(
    card: WeightsCard, reference: Backend, images: Float32Array
) -> None:
    """Rounded to bf16 they would put depth off by several per cent nearly everywhere."""
    backend = open_openvino(card, threads=1, precision='bf16', keep=False)
    cameras = sideways_cameras(2, HW)

    found = run_window(backend, images[:2], cameras)

    expected = run_window(reference, images[:2], cameras)
    assert np.median(np.abs(found.depth / expected.depth - 1)) < 5e-3
    graph = backend._requests['reconstruct'].get_compiled_model().get_runtime_model()
    kinds = {}
    for node in graph.get_ordered_ops():
        info = node.get_rt_info()
        kind, precision = (info[name].value for name in ('layerType', 'runtimePrecision'))
        kinds.setdefault(kind, set()).add(precision)
    for kind in ('GridSample', 'Math', 'Pad', 'Pooling', 'TopK'):
        assert kinds[kind] == {'f32'}, kind
    assert kinds['Convolution'] == {'bf16'}


def test_exact_geometry_has_the_same_names_each_time_so_that_compiled_graphs_are_found_again(
    card: WeightsCard,
) -> None:
    path = card.verified_file('reconstruct')

    def names() -> list[str]:
        model = with_exact_geometry(openvino.Core().read_model(path))
        added = model.get_results()[len(plain.get_results()) :]
        return [node.get_friendly_name() for node in added]

    plain = openvino.Core().read_model(path)
    first = names()
    assert first
    assert names() == first


def test_without_cameras_each_depth_is_that_of_a_view_alone_and_poses_are_estimated(
    backend: Backend, images: Float32Array
) -> None:
    features = backend.encode(images[:3])

    raw = backend.reconstruct(features, [0, 2])

    alone = [backend.reconstruct([features[view]], [0]).depth[0] for view in (0, 2)]
    np.testing.assert_allclose(raw.depth, alone, rtol=1e-4)
    np.testing.assert_array_equal(raw.pose_encoding, backend.estimate_cameras(features))
    known = backend.reconstruct(features, [0, 2], sideways_cameras(3, HW))
    assert not np.allclose(known.depth, raw.depth, rtol=1e-2)


def test_poses_of_the_outputs_are_those_of_the_given_cameras(
    backend: Backend, images: Float32Array
) -> None:
    cameras = cameras_of(3, 1)

    raw = backend.reconstruct(backend.encode(images[:3]), [1], cameras)

    np.testing.assert_array_equal(raw.pose_encoding, encode_cameras(cameras, HW))
    np.testing.assert_allclose(raw.pose_encoding[:, 0], -2 / 96 * np.arange(3), atol=1e-6)
    np.testing.assert_allclose(raw.pose_encoding[:, 1:7], [[0, 0, 0, 0, 0, 1]] * 3, atol=1e-6)
    np.testing.assert_allclose(raw.pose_encoding[:, 8], 2 * np.arctan(0.5), atol=1e-6)


def test_a_hint_changes_depth(backend: Backend, images: Float32Array) -> None:
    features, cameras = backend.encode(images[:2]), cameras_of(2, 1)

    hinted = backend.reconstruct(features, [1], cameras)

    plain = backend.reconstruct(features, [1], cameras._replace(hint=None))
    assert not np.array_equal(hinted.depth, plain.depth)


@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('intrinsics', (3, 3)),
        ('cam_from_world', (3, 4, 4)),
        ('trust', (2, 1)),
        ('hint', (2, 2, 16, 24)),
    ],
)
def test_cameras_of_another_window_are_refused(
    backend: Backend, images: Float32Array, name: str, shape: tuple[int, ...]
) -> None:
    features = backend.encode(images[:2])
    cameras = sideways_cameras(2, HW)._replace(**{name: np.zeros(shape, np.float32)})

    with pytest.raises(ShapeError, match=f'{name} of the cameras has the shape'):
        backend.reconstruct(features, [0], cameras)


def test_a_network_without_a_sweep_takes_no_cameras_and_estimates_them_with_depth(
    tiny_card: Path,
) -> None:
    backend = open_openvino(find_weights(str(tiny_card)), threads=1, precision='f32')
    features = backend.encode(textured_images(2, (56, 70)))

    assert not backend.spec.sweeps
    with pytest.raises(ShapeError, match='does not compare views by cameras'):
        backend.reconstruct(features, [0], sideways_cameras(2, (56, 70)))
    with pytest.raises(BackendError, match='read the pose encoding of `reconstruct`'):
        backend.estimate_cameras(features)


def test_a_card_that_sweeps_without_the_graph_of_cameras_is_refused(card: WeightsCard) -> None:
    files = {role: file for role, file in card.files.items() if role != 'cameras'}

    with pytest.raises(CheckpointError, match=r'lacks files\.cameras'):
        replace(card, files=files)
