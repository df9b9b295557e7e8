"""From a network to a set of weights: three files that agree with each other, and their card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from typing import NamedTuple

from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.assets.card import WeightsFile
from moe3d_engine.backends.openvino_backend import open_openvino
from moe3d_engine.backends.torch_backend import open_torch
from moe3d_engine.build.onnx_export import export_onnx
from moe3d_engine.build.parity import check_parity
from moe3d_engine.build.parity import OutputError
from moe3d_engine.errors import ConfigError
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.checkpoint import load_weights
from moe3d_engine.model.checkpoint import save_weights
import torch


class Exported(NamedTuple):
    """A written set of weights and how far OpenVINO (f32) differs from torch on it."""

    card: WeightsCard
    parity: dict[str, OutputError]


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
) -> Exported:
    """
    Write weights in 16 bits, both ONNX graphs of these rounded weights, and the card.

    The card is written last, and only if OpenVINO and torch agree: without it the other files
    cannot be opened.

    Parameters
    ----------
    network : on the CPU; it stays as it is.
    folder : is made where it is missing.
    name, input_hw, max_views, metric, training, licence : see WeightsCard.

    Raises
    ------
    ConfigError
        If `input_hw` is no multiple of the patch size.
    EngineError
        If the exporter changed the network's axes.
    BackendError
        If OpenVINO and torch disagree, or one is not installed.
    """
    patch = network.config.patch_size
    if min(input_hw) < patch or any(side % patch for side in input_hw):
        raise ConfigError(
            f'The input of {name} must be a multiple of {patch} pixels high and wide; got '
            f'{input_hw[0]} x {input_hw[1]} (height x width).'
        )
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f'{name}.safetensors'
    save_weights(network, weights, dtype=torch.float16)
    paths = {'weights': weights}
    paths |= export_onnx(load_weights(weights), input_hw, folder, name)
    card = WeightsCard(
        name=name,
        input_hw=input_hw,
        max_views=max_views,
        metric=metric,
        config=asdict(network.config),
        files={r: WeightsFile(path.name, sha256_of(path)) for r, path in paths.items()},
        training=training,
        licence=licence,
        folder=folder,
    )
    reference, other = open_torch(card), open_openvino(card, precision='f32')
    try:
        parity = check_parity(reference, other, 'f32')
    finally:
        reference.close()
        other.close()
    card.write()
    return Exported(card, parity)
