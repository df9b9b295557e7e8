"""PyTorch on the CPU in float32: the reference that other backends are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import camera_inputs
from moe3d_engine.backend import check_images
from moe3d_engine.backend import check_sweeps
from moe3d_engine.backend import check_window
from moe3d_engine.backend import compared
from moe3d_engine.backend import raw_outputs
from moe3d_engine.errors import BackendError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras

if TYPE_CHECKING:
    from moe3d_engine.model import Moe3dNet
    from torch import Tensor


class TorchBackend:
    """
    The network itself; features are tensors by name.

    Parameters
    ----------
    card : the weights.
    network : the network with these weights loaded.
    """

    name = 'torch'

    def __init__(self, card: WeightsCard, network: Moe3dNet) -> None:
        self.spec = card.spec
        self._network: Moe3dNet | None = network.eval()

    def encode(self, images: Float32Array) -> list[object]:
        """Return one dictionary of tensors per view; see `Backend.encode`."""
        import torch

        network = self._open_network()
        check_images(images, self.spec)
        with torch.inference_mode():
            features = network.encode_images(torch.from_numpy(images))
        return [
            {name: values[view] for name, values in features.items()}
            for view in range(len(images))
        ]

    def reconstruct(
        self,
        features: Sequence[Any],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Return depth of the published views and all poses; see `Backend.reconstruct`."""
        from moe3d_engine.model.sweep.geometry import Cameras
        import torch

        network = self._open_network()
        check_window(len(features), publish, self.spec)
        told = camera_inputs(self.spec, len(features), len(publish), cameras)
        batch = {name: torch.from_numpy(values)[None] for name, values in told.items()}
        hint = batch.pop('hint', None)
        with torch.inference_mode():
            outputs = network.reconstruct(
                _window(compared(features, self.spec)),
                torch.tensor(publish),
                Cameras(**batch) if batch else None,
                hint,
            )
        found = {
            name: getattr(outputs, name)[0].numpy()
            for name in RawOutputs._fields
            if getattr(outputs, name) is not None
        }
        return raw_outputs(found, self.spec, cameras, lambda: self.estimate_cameras(features))

    def estimate_cameras(self, features: Sequence[Any]) -> Float32Array:
        """Return the poses of a window; see `Backend.estimate_cameras`."""
        import torch

        network = self._open_network()
        check_sweeps(self.spec)
        check_window(len(features), [0], self.spec)
        with torch.inference_mode():
            poses: Float32Array = network.estimate_cameras(_window(features))[0][0].numpy()
        return poses

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._network = None

    def _open_network(self) -> Moe3dNet:
        """Return the network, or raise if the backend is closed."""
        if self._network is None:
            raise BackendError(
                f'The torch backend of {self.spec.name} is closed; open another one.'
            )
        return self._network


def _window(features: Sequence[Any]) -> dict[str, Tensor]:
    """Return the features of a window by name, (1, V, ...) each."""
    import torch

    return {name: torch.stack([view[name] for view in features])[None] for name in features[0]}


def open_torch(card: WeightsCard, *, threads: int | None = None) -> TorchBackend:
    """
    Load the network of a card.

    Parameters
    ----------
    card : the weights.
    threads : CPU threads of torch in this process; None leaves them as they are.

    Raises
    ------
    CheckpointError
        If the weights are missing or corrupt.
    BackendError
        If torch is not installed.
    """
    try:
        from moe3d_engine.model.checkpoint import load_weights
        import torch
    except ImportError as error:
        raise BackendError(
            f'The backend torch needs the packages torch and safetensors ({error}). Install '
            'them: pip install torch safetensors'
        ) from error
    path = card.verified_file('weights')
    if threads is not None:
        torch.set_num_threads(threads)
    return TorchBackend(card, load_weights(path))
