"""From a network to its ONNX graphs: one per image, the others for a window of views."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from typing import NamedTuple
import warnings

from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.graph_file import write_graph
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model.sweep.geometry import Cameras
import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch import Tensor

OPSET = 20
MAPS = ('depth', 'boundary_confidence', 'agreement', 'depth_confidence')
OUTPUTS = (*MAPS, 'pose_encoding')
CAMERAS = ('intrinsics', 'cam_from_world', 'trust')
_PUBLISHED = {'publish', 'hint', *MAPS}
_MOST = 64  # views
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


class CameraEstimator(nn.Module):
    """The graph `cameras` of a sweeping network: features of V views to pose encodings."""

    def __init__(self, network: Moe3dNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Add and remove the batch axis around the network."""
        window = {name: values[None] for name, values in features.items()}
        return self.network.estimate_cameras(window)[0][0]


class SweepDecoder(nn.Module):
    """The graph `reconstruct` of a sweeping network: features and cameras of V views to maps."""

    def __init__(self, network: Moe3dNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        features: dict[str, Tensor],
        publish: Tensor,
        intrinsics: Tensor,
        cam_from_world: Tensor,
        trust: Tensor,
        hint: Tensor,
    ) -> dict[str, Tensor]:
        """Add and remove the batch axis around the network."""
        window = {name: values[None] for name, values in features.items()}
        cameras = Cameras(intrinsics[None], cam_from_world[None], trust[None])
        outputs = self.network.reconstruct(window, publish, cameras, hint[None])
        return {name: getattr(outputs, name)[0] for name in MAPS}


class _Call(NamedTuple):
    """What the exporter is told of a graph."""

    module: nn.Module
    inputs: tuple[Any, ...]
    dynamic_shapes: tuple[Any, ...]
    input_names: list[str]
    output_names: list[str]


def export_onnx(
    network: Moe3dNet, input_hw: tuple[int, int], folder: Path, name: str
) -> dict[str, Path]:
    """
    Write `<name>.<role>.onnx` for `image_encoder`, `reconstruct` and, if it sweeps, `cameras`.

    The number of views `num_views` and of published views `num_published` stay dynamic, height
    and width are fixed; a sweep needs two views or more. Of the features each graph takes those
    that it needs. Arithmetic is float32; large weights that float16 holds exactly are
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
    network.eval()
    calls = _sweep_calls(network, input_hw) if network.config.sweep else _calls(network, input_hw)
    paths = {}
    for role, call in calls.items():
        model = _trace(*call)
        _drop_unused_inputs(model.graph)
        check_dynamic_axes(model.graph, role)
        store_half(model.graph)
        paths[role] = folder / f'{name}.{role}.onnx'
        write_graph(model, paths[role])
    return paths


def _calls(network: Moe3dNet, input_hw: tuple[int, int]) -> dict[str, _Call]:
    """Return the graphs of a network that looks at all views together, by role."""
    encoder, features = _encoder_call(network, input_hw, num_views=3)
    num_views, num_published = _axis('num_views'), _axis('num_published')
    decoder = _Call(
        WindowDecoder(network),
        (features, torch.tensor([0, 2])),
        (_all(features, num_views), {0: num_published}),
        [*features, 'publish'],
        list(OUTPUTS),
    )
    return {'image_encoder': encoder, 'reconstruct': decoder}


def _sweep_calls(network: Moe3dNet, input_hw: tuple[int, int]) -> dict[str, _Call]:
    """
    Return the graphs of a network that compares views by their cameras, by role.

    Numbers that happen to be equal would become one: so the views, the others and the published
    ones are 5, 4 and 3.
    """
    encoder, features = _encoder_call(network, input_hw, num_views=5)
    publish = torch.tensor([0, 2, 4])
    cameras = (torch.eye(3).repeat(5, 1, 1), torch.eye(4).repeat(5, 1, 1), torch.ones(5))
    hint = torch.zeros(3, 2, input_hw[0] // 4, input_hw[1] // 4)
    estimator = _Call(
        CameraEstimator(network),
        (features, {}),  # a dictionary in the last place holds arguments by name
        (_all(features, _axis('num_views')),),
        list(features),
        ['pose_encoding'],
    )
    num_views, num_published = _axis('num_views', 2), _axis('num_published')
    views = ({0: num_views},) * len(cameras)
    decoder = _Call(
        SweepDecoder(network),
        (features, publish, *cameras, hint),
        (_all(features, num_views), {0: num_published}, *views, {0: num_published}),
        [*features, 'publish', *CAMERAS, 'hint'],
        list(MAPS),
    )
    return {'image_encoder': encoder, 'cameras': estimator, 'reconstruct': decoder}


def _encoder_call(
    network: Moe3dNet, input_hw: tuple[int, int], num_views: int
) -> tuple[_Call, dict[str, Tensor]]:
    """Return the graph `image_encoder` and the features of some noise."""
    images = torch.rand(num_views, 3, *input_hw, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.encode_images(images)
    axes = ({0: _axis('num_views')},)
    return _Call(ImageEncoder(network), (images,), axes, ['images'], list(features)), features


def _axis(name: str, least: int = 1) -> Any:  # noqa: ANN401 (torch has no type for it)
    """Return an axis that stays dynamic."""
    return torch.export.Dim(name, min=least, max=_MOST)


def _all(features: dict[str, Tensor], axis: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what is said of the axes of all features: the first is dynamic."""
    return {name: {0: axis} for name in features}


def _drop_unused_inputs(graph: ir.Graph) -> None:
    """Remove features that a graph does not need."""
    for value in tuple(graph.inputs):
        if not value.uses():
            graph.inputs.remove(value)


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
    for value in (*graph.inputs, *graph.outputs):
        expected = 'num_published' if value.name in _PUBLISHED else 'num_views'
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
