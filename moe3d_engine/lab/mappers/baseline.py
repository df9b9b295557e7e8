"""Another network on the windows of a run: what a single regression would have published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moe3d_engine.assets import find_weights
from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.window_cameras import KnownCameras
import numpy as np

SOFT = 'soft'  # the weights' own experts, averaged as a network with one regression would


def open_baseline(name: str, weights: str) -> Callable[[Reconstruction], Float32Array]:
    """
    Return what gives the depth (H, W) of a window's newest view by another network.

    Parameters
    ----------
    name : `soft`, or a checkpoint (.safetensors).
    weights : of the run; `soft` averages its experts.

    Returns
    -------
    A function; its depth is finite, on the pixels of the run's depth, and has the run's metres:
    the median ratio to the depth before rejection is 1, so that edges alone decide.

        A network that compares views is told the poses of the window, but no earlier depth.

    Raises
    ------
    ConfigError
        If the name is neither, or torch is not installed.
    """
    if name != SOFT and not name.endswith('.safetensors'):
        raise ConfigError(f'--baseline is {SOFT} or a checkpoint (.safetensors); got {name!r}.')
    try:
        from moe3d_engine.lab.training.predict import predict_with_network
        from moe3d_engine.model.checkpoint import load_weights
    except ImportError as error:
        raise ConfigError(
            f'--baseline needs the packages torch and safetensors ({error}). Install them: '
            'pip install torch safetensors'
        ) from error
    is_own = name == SOFT
    path = find_weights(weights).verified_file('weights') if is_own else Path(name)
    predict = predict_with_network(load_weights(path).eval(), SOFT if is_own else 'agree')

    def depth_of(result: Reconstruction) -> Float32Array:
        _, height, width = result.depth.shape
        images = [fit_view(view, (height, width)).image for view in result.views]
        cameras = KnownCameras((height, width), None).of_window(result.views, result.published)
        depth = predict(to_network(np.stack(images)), cameras).depth[result.published[0]]
        scaled: Float32Array = depth * np.float32(np.median(result.depth_raw[0] / depth))
        return scaled

    return depth_of
