"""From a network to a set of weights: files that agree with each other, and their card."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import NamedTuple

from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.assets.card import WeightsFile
from moe3d_engine.assets.whole import written_into
from moe3d_engine.errors import ConfigError
from moe3d_engine.graphs.graph_file import data_file
from moe3d_engine.graphs.onnx_export import export_onnx
from moe3d_engine.graphs.parity import check_outputs
from moe3d_engine.graphs.parity import OutputError
from moe3d_engine.graphs.parity import PRECISIONS
from moe3d_engine.graphs.parity import run_window
from moe3d_engine.graphs.parity import sideways_cameras
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.graphs.precision import convert_graph
from moe3d_engine.graphs.precision import KINDS
from moe3d_engine.graphs.quantize import quantize_graphs
from moe3d_engine.graphs.quantize import QUANTIZED
from moe3d_engine.graphs.reference import Reference
from moe3d_engine.graphs.reference import REFERENCE_ROLE
from moe3d_engine.graphs.reference import REFERENCE_VIEWS
from moe3d_engine.graphs.reference import save_reference
from moe3d_engine.graphs.rounding import RoundedBackend
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import save_weights
from moe3d_engine.model.sweep.geometry import Cameras
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import torch

PARITY_VIEWS = 2


class Exported(NamedTuple):
    """A written set of weights and how far each precision differs from torch on it."""

    card: WeightsCard
    parity: dict[str, dict[str, OutputError]]


def export_weights(
    network: Moe3dNet,
    folder: Path,
    *,
    name: str,
    input_hw: tuple[int, int],
    max_views: int,
    metric: bool,
    training: Mapping[str, Any],
    licence: str = 'Apache-2.0',
    precisions: Sequence[str] = ('fp32',),
    images: Float32Array | None = None,
    cameras: WindowCameras | None = None,
    calibration: Float32Array | None = None,
) -> Exported:
    """
    Write weights in 16 bits, the ONNX graphs of these rounded weights, a reference, and the card.

    All files get their places at the end, the card last, and only if every precision agrees with
    torch on one window: after an error, or Ctrl-C, nothing of them is left.

    Parameters
    ----------
    network : on the CPU; it stays as it is.
    folder : is made where it is missing; files of the same names in it are replaced.
    name, input_hw, max_views, metric, training, licence : see WeightsCard.
    precisions : of the graphs; those in float32 are always written.
    images : (V, 3, input_hw) float32 in [0, 1], the window that is compared; None = flat
        rectangles, which a network has never seen.
    cameras : of these images, for a network that sweeps; None = they go to the right.
    calibration : (N, 3, input_hw) float32 images in [0, 1], views of a scene in order; for `int8`
        and `fp8`.

    Raises
    ------
    ConfigError
        If `input_hw` is no multiple of the patch size, a precision is unknown or lacks its
        calibration images.
    EngineError
        If the exporter changed the network's axes, or numbers are too large for a precision.
    BackendError
        If a precision and torch disagree, or OpenVINO is not installed.
    """
    check_request(network, name, input_hw, precisions, calibration)
    if images is None:
        images = textured_images(min(PARITY_VIEWS, max_views), input_hw)
    narrow = [precision for precision in PRECISIONS if precision in precisions]
    with written_into(folder, last=f'{name}.json') as new:
        weights, config = new / f'{name}.safetensors', network.config
        save_weights(network, weights, dtype=torch.float16)
        del network  # where the caller does not need it, either, this is memory for OpenVINO
        # Nothing matches in flat rectangles: a network that sweeps wavers there, and rounding
        # decides. So its reference is the window that is compared.
        small = textured_images(min(REFERENCE_VIEWS, max_views), input_hw)
        windows = [_Window(images, cameras), _Window(images if config.sweep else small, cameras)]
        windows = [window.for_network(config.sweep) for window in windows]
        (expected, outputs), graphs = _trace_rounded(weights, windows, name)
        paths = {'weights': weights, **graphs, REFERENCE_ROLE: new / f'{name}.reference.npz'}
        save_reference(paths[REFERENCE_ROLE], Reference(*windows[1], outputs))
        paths |= _narrow_graphs(graphs, narrow, calibration, max_views)
        paths |= {f'{r}.data': data_file(p) for r, p in paths.items() if data_file(p).is_file()}
        card = WeightsCard(
            name=name,
            input_hw=input_hw,
            max_views=max_views,
            metric=metric,
            config=asdict(config),
            files={r: WeightsFile(path.name, sha256_of(path)) for r, path in paths.items()},
            training=training,
            licence=licence,
            folder=new,
        )
        parity = {
            precision: _check_precision(card, precision, windows[0], expected)
            for precision in ('fp32', *(p for p in narrow if p != 'fp32'))
        }
        card.write()
    return Exported(replace(card, folder=folder), parity)


def check_request(
    network: Moe3dNet,
    name: str,
    input_hw: tuple[int, int],
    precisions: Sequence[str],
    calibration: Float32Array | None,
) -> None:
    """
    Check what can be refused before the work begins.

    Raises
    ------
    ConfigError
        See `export_weights`.
    """
    patch = network.config.patch_size
    if min(input_hw) < patch or any(side % patch for side in input_hw):
        raise ConfigError(
            f'The input of {name} must be a multiple of {patch} pixels high and wide; got '
            f'{input_hw[0]} x {input_hw[1]} (height x width).'
        )
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ConfigError(f'A precision is one of {", ".join(PRECISIONS)}; got {precision!r}.')
        if precision in QUANTIZED and calibration is None:
            raise ConfigError(
                f'{precision} needs images to measure the range of each layer on. Give a folder '
                'of images like those of the camera: --calibration FOLDER.'
            )


def _narrow_graphs(
    graphs: Mapping[str, Path],
    precisions: Sequence[str],
    calibration: Float32Array | None,
    max_views: int,
) -> dict[str, Path]:
    """Write the graphs of further precisions beside those in float32; return them by role."""
    paths = {}
    for precision in precisions:
        if precision in KINDS:
            for role, path in graphs.items():
                out = path.with_name(f'{path.stem}.{precision}.onnx')
                convert_graph(path, precision, out)
                paths[f'{role}.{precision}'] = out
        elif precision != 'fp32' and calibration is not None:
            paths |= quantize_graphs(graphs, precision, calibration, max_views)
    return paths


class _Window(NamedTuple):
    """Images (V, 3, H, W), and the cameras that a network which sweeps is given."""

    images: Float32Array
    cameras: WindowCameras | None

    def for_network(self, sweeps: bool) -> _Window:
        """Return the window without cameras, or with some where the network wants them."""
        num_views, _, height, width = self.images.shape
        cameras = self.cameras or sideways_cameras(num_views, (height, width))
        return _Window(self.images, cameras if sweeps else None)


def _trace_rounded(
    weights: Path, windows: Sequence[_Window], name: str
) -> tuple[list[RawOutputs], dict[str, Path]]:
    """Return what torch makes of windows with the written weights, and the graphs by role."""
    network = load_weights(weights).eval()
    expected = [_run_network(network, window) for window in windows]
    height, width = windows[0].images.shape[2:]
    graphs = export_onnx(network, (height, width), weights.parent, name)
    for parameter in network.parameters():  # the exporter keeps references to all of them
        parameter.data = torch.empty(0)
    return expected, graphs


def _run_network(network: Moe3dNet, window: _Window) -> RawOutputs:
    """Return the network's outputs for one window as arrays; see `run_window`."""
    images, cameras = torch.from_numpy(window.images), None
    if window.cameras is not None:
        given = (np.asarray(x, np.float32) for x in window.cameras if x is not None)
        cameras = Cameras(*(torch.from_numpy(values) for values in given))
    with torch.inference_mode():
        outputs = network(images, cameras=cameras)
        if cameras is not None:
            window_of_one = {k: x[None] for k, x in network.encode_images(images).items()}
            poses = network.estimate_cameras(window_of_one)[0][0]
            outputs = outputs._replace(pose_encoding=poses)
    return RawOutputs(*(getattr(outputs, field).numpy() for field in RawOutputs._fields))


def _check_precision(
    card: WeightsCard, precision: str, window: _Window, expected: RawOutputs
) -> dict[str, OutputError]:
    """Run the graphs of a precision, one open at a time, and compare them with torch."""
    backend = RoundedBackend(card, precision, one_at_a_time=True)
    found = run_window(backend, *window)
    backend.close()
    backend.check_range()
    return check_outputs(expected, found, precision, f'OpenVINO on {card.name}')


def random_network(name: str) -> Moe3dNet:
    """Return a network of a preset with random weights, always the same."""
    torch.manual_seed(0)
    network = Moe3dNet(preset(name))
    network.break_symmetry(0)
    return network
