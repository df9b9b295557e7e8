"""A torch network as the evaluation calls it: arrays in, arrays out, perhaps bfloat16 inside."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from moe3d_engine.backend import encode_cameras
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import NetworkOutputs
from moe3d_engine.model.sweep.geometry import Cameras
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import torch


def predict_with_network(
    network: Moe3dNet, decode: str = 'agree'
) -> Callable[[Float32Array, WindowCameras | None], RawOutputs]:
    """Return a function that publishes all views of a window; the network stays in its mode."""

    def predict(images: Float32Array, cameras: WindowCameras | None) -> RawOutputs:
        outputs = run_network(network, images, decode, cameras)
        fields = {
            name: values.float().cpu().numpy()
            for name in RawOutputs._fields
            if (values := getattr(outputs, name)) is not None
        }
        if cameras is not None:
            fields['pose_encoding'] = encode_cameras(cameras, images.shape[2:])
        return RawOutputs(**fields)

    return predict


def run_network(
    network: Moe3dNet,
    images: Float32Array,
    decode: str = 'agree',
    cameras: WindowCameras | None = None,
    publish: Sequence[int] | None = None,
) -> NetworkOutputs:
    """Return all outputs, experts included, of a window of images (V, 3, H, W) in [0, 1]."""
    device = next(network.parameters()).device
    window = torch.from_numpy(images).to(device)
    known = None
    if cameras is not None and network.config.sweep:
        arrays = cameras.intrinsics, cameras.cam_from_world, cameras.trust
        known = Cameras(*(torch.from_numpy(np.asarray(x, np.float32)).to(device) for x in arrays))
    chosen = None if publish is None else torch.tensor(publish, device=device)
    narrow = computes_bfloat16(device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=narrow):
        outputs: NetworkOutputs = network(
            window, chosen, known, decode=decode, return_experts=True
        )
    return outputs


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16; CPUs that emulate it are ten times slower."""
    return device.type == 'cuda' or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
