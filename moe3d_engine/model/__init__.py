"""The network: VGGT with a mixture of depths."""

from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.config import preset
from moe3d_engine.model.config import PRESETS
from moe3d_engine.model.network import Moe3dNet
from moe3d_engine.model.network import NetworkOutputs

__all__ = ['PRESETS', 'ModelConfig', 'Moe3dNet', 'NetworkOutputs', 'preset']
