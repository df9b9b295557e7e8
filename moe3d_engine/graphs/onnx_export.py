"""From a network to two ONNX graphs: one per image, one for a window of views."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
import warnings

from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.graph_file import write_graph
from moe3d_engine.model import Moe3dNet
import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch import Tensor

OPSET = 20
OUTPUTS = ('depth', 'boundary_confidence', 'agreement', 'depth_confidence', 'pose_encoding')
_LARGE = 1024  # values; smaller weights are not worth a cast


class ImageEncoder(nn.Module):
    """The graph `image_encoder`: images (V, 3, H, W) to features by name, first axis V."""

    def __init__(self, network: Moe3dNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute what depends on one image alone."""
        return self.network.encode_images(images)


class WindowDecoder(nn.Module):
    """The graph `reconstruct`: features of V views, P indices to the outputs of one window."""

    def __init__(self, network: Moe3dNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: dict[str, Tensor], publish: Tensor) -> dict[str, Tensor]:
        """Add and remove the batch axis around the network."""
        window = {name: values[None] for name, values in features.items()}
        outputs = self.network.reconstruct(window, publish)
        return {name: getattr(outputs, name)[0] for name in OUTPUTS}


def export_onnx(
    network: Moe3dNet, input_hw: tuple[int, int], folder: Path, name: str
) -> dict[str, Path]:
    """
    Write `<name>.image_encoder.onnx` and `<name>.reconstruct.onnx`.

    The number of views `num_views` and of published views `num_published` stay dynamic, height
    and width are fixed. Arithmetic is float32; large weights that float16 holds exactly are
    stored so. Weights of more than 2 GB lie beside their graph, in `<graph>.data`. The same
    network gives the same bytes.

    Parameters
    ----------
    network : on the CPU; afterwards it takes images of this size only.
    input_hw : (H, W) of the images in pixels, multiples of the patch size.
    folder : existing folder to write to.
    name : name of the weights.

    Returns
    -------
    Path of each graph by its role.

    Raises
    ------
    EngineError
        If the exporter froze a dynamic axis.
    """
    network.bake_positions(input_hw)
    images = torch.rand(3, 3, *input_hw, generator=torch.Generator().manual_seed(0))
    num_views = torch.export.Dim('num_views', min=1, max=64)
    num_published = torch.export.Dim('num_published', min=1, max=64)
    with torch.no_grad():
        features = network.eval().encode_images(images)
    calls = {
        'image_encoder': (
            ImageEncoder(network), (images,), ({0: num_views},), ['images'], list(features)
        ),
        'reconstruct': (
            WindowDecoder(network),
            (features, torch.tensor([0, 2])),
            ({key: {0: num_views} for key in features}, {0: num_published}),
            [*features, 'publish'],
            list(OUTPUTS),
        ),
    }  # fmt: skip
    paths = {}
    for role, call in calls.items():
        model = _trace(*call)
        check_dynamic_axes(model.graph, role)
        store_half(model.graph)
        paths[role] = folder / f'{name}.{role}.onnx'
        write_graph(model, paths[role])
    return paths


def _trace(
    module: nn.Module,
    inputs: tuple[Any, ...],
    dynamic_shapes: tuple[Any, ...],
    input_names: list[str],
    output_names: list[str],
) -> ir.Model:
    """Run the exporter, without its remarks on packages that the network does not need."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                module.eval(),
                inputs,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dynamic_shapes,
                input_names=input_names,
                output_names=output_names,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None  # with dynamo=True it never is
    return program.model


def check_dynamic_axes(graph: ir.Graph, role: str) -> None:
    """
    Raise unless the first axis of each input and output, and no other, is still dynamic.

    Loops over views with a fixed chunk make the exporter freeze their number without a word.

    Raises
    ------
    EngineError
        If an axis is frozen or should be.
    """
    published = {'publish', *OUTPUTS} - {'pose_encoding'}
    for value in (*graph.inputs, *graph.outputs):
        expected = 'num_published' if value.name in published else 'num_views'
        axes = [getattr(axis, 'value', axis) for axis in value.shape or ()]
        if axes[:1] != [expected] or not all(isinstance(axis, int) for axis in axes[1:]):
            raise EngineError(
                f'The exporter changed the axes of {value.name} in {role}: they are {axes}, the '
                f'first should be {expected} and the others fixed. Look for a loop or a '
                'condition on the number of views in the network.'
            )


def store_half(graph: ir.Graph) -> None:
    """Store each large float32 weight that float16 holds exactly as float16 behind a Cast."""
    for name, weight in tuple(graph.initializers.items()):
        tensor = weight.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < _LARGE:
            continue
        values = tensor.numpy()
        with np.errstate(over='ignore'):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        stored = ir.Value(
            name=f'{name}.f16',
            type=ir.TensorType(ir.DataType.FLOAT16),
            shape=weight.shape,
            const_value=ir.Tensor(half, name=f'{name}.f16'),
        )
        wide = ir.Value(name=name, type=weight.type, shape=weight.shape)
        weight.replace_all_uses_with(wide)
        weight.const_value = None
        del graph.initializers[name]
        graph.register_initializer(stored)
        to = ir.AttrInt64('to', ir.DataType.FLOAT.value)
        graph.insert_before(graph[0], ir.Node('', 'Cast', [stored], [to], outputs=[wide]))
