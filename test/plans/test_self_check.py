"""The self-check: a stored window, and limits that rounding keeps and wrong engines do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import Backend
from moe3d_engine.errors import EngineError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

pytest.importorskip('openvino')

from moe3d_engine.backends.open import open_float32
from moe3d_engine.graphs.reference import Reference
from moe3d_engine.plans.self_check import check_backend
from moe3d_engine.plans.self_check import CheckFigures
from moe3d_engine.plans.self_check import LIMITS
from moe3d_engine.plans.self_check import read_reference
from moe3d_engine.plans.self_check import write_reference

pytestmark = pytest.mark.instruction_sets

SMALL = find_weights('moe3d-small')


class Stored:
    """A backend that returns what it was given, whatever the images are."""

    name = 'stored'
    spec = SMALL.spec

    def __init__(self, outputs: RawOutputs) -> None:
        self.outputs = outputs

    def encode(self, images: Float32Array) -> list[object]:
        return list(images)

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        return self.outputs

    def estimate_cameras(self, features: Sequence[object]) -> Float32Array:
        return self.outputs.pose_encoding

    def close(self) -> None:
        pass


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('reference')
    write_reference(SMALL, folder, open_float32)
    return folder


@pytest.fixture(scope='module')
def reference(folder: Path) -> Reference:
    return read_reference(folder)


def test_torch_and_openvino_in_float32_agree(reference: Reference) -> None:
    pytest.importorskip('torch')
    from moe3d_engine.backends.torch_backend import open_torch

    assert len(reference.images) == 2
    assert check_backend(open_torch(SMALL), reference, 'fp32').abs_rel < 1e-5


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_limits_allow_rounding_but_no_more(
    precision: str, reference: Reference, tmp_path: Path
) -> None:
    pytest.importorskip('onnx_ir')
    backend = rounded(SMALL, precision, tmp_path)

    figures = asdict(check_backend(backend, reference, precision))

    limits = asdict(LIMITS[precision])
    assert max(figures[name] / limits[name] for name in limits) > 0.03
    with pytest.raises(EngineError, match='--precision fp32'):
        check_backend(Stored(shifted(reference, limits['abs_rel'] * 1.1)), reference, precision)


def rounded(card: WeightsCard, precision: str, folder: Path) -> Backend:
    """Return the graphs with their products rounded as on a GPU."""
    from dataclasses import replace

    from moe3d_engine.assets.card import sha256_of
    from moe3d_engine.assets.card import WeightsFile
    from moe3d_engine.graphs.precision import convert_graph
    from moe3d_engine.graphs.rounding import RoundedBackend

    files = dict(card.files)
    for graph in card.graphs:
        out = folder / f'{graph}.onnx'
        convert_graph(card.verified_file(graph), precision, out)
        files[f'{graph}.{precision}'] = WeightsFile(str(out), sha256_of(out))
    return RoundedBackend(replace(card, files=files), precision)


def shifted(reference: Reference, relative: float) -> RawOutputs:
    """Return the outputs with half of the depth too large, so that its median stays."""
    depth = reference.outputs.depth.copy()
    depth[:, :, ::2] *= 1 + 2 * relative
    return reference.outputs._replace(depth=depth)


@pytest.mark.parametrize('name', ['depth', 'boundary_confidence', 'agreement', 'pose_encoding'])
def test_wrong_output_is_refused(name: str, reference: Reference) -> None:
    values = getattr(reference.outputs, name)
    wrong = reference.outputs._replace(**{name: values + 0.2})

    with pytest.raises(EngineError, match=r'stored \(fp16\) computes something else'):
        check_backend(Stored(wrong), reference, 'fp16')


def test_wrong_scale_and_blurred_boundaries_are_named(reference: Reference) -> None:
    depth = reference.outputs.depth
    blurred = (depth + np.roll(depth, 1, -1) + np.roll(depth, -1, -1)) / 3

    with pytest.raises(EngineError, match=r'scale_drift 0\.05'):
        check_backend(Stored(reference.outputs._replace(depth=1.05 * depth)), reference, 'bf16')
    with pytest.raises(EngineError, match='boundary_f1_drift'):
        check_backend(Stored(reference.outputs._replace(depth=blurred)), reference, 'fp16')


def test_nan_is_refused(reference: Reference) -> None:
    depth = np.full_like(reference.outputs.depth, np.nan)

    with pytest.raises(EngineError, match='abs_rel nan'):
        check_backend(Stored(reference.outputs._replace(depth=depth)), reference, 'bf16')


def test_every_precision_has_limits() -> None:
    from moe3d_engine.graphs.parity import PRECISIONS

    assert set(LIMITS) == set(PRECISIONS)
    assert all(isinstance(limits, CheckFigures) for limits in LIMITS.values())


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 not a zip', None])
def test_missing_or_corrupt_reference_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / 'reference.npz').write_bytes(content)

    with pytest.raises(EngineError, match='missing or corrupt'):
        read_reference(tmp_path)


def test_damaged_byte_in_the_reference_is_noticed(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / 'reference.npz').read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / 'reference.npz').write_bytes(content)

    with pytest.raises(EngineError, match='missing or corrupt'):
        read_reference(tmp_path)
