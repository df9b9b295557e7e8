"""Features of views that stay on the GPU from one window to the next."""

from __future__ import annotations

from collections.abc import Mapping
import math

from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda

_ALIGNMENT = 256  # bytes; what cudaMalloc itself gives


class DeviceFeatures:
    """
    Features of one view; their memory is used for another view once this object is gone.

    Parameters
    ----------
    pool : whose memory it is.
    address : where it begins.
    """

    def __init__(self, pool: FeaturePool, address: int) -> None:
        self.pool = pool
        self.address = address

    def __del__(self) -> None:
        """Give the memory back."""
        self.pool.free.append(self.address)


class FeaturePool:
    """
    Memory on the GPU, in pieces that hold the features of one view each.

    Parameters
    ----------
    cuda : allocates it, and frees it when it is closed.
    bytes_by_name : size of each feature of a view.
    num_views : how many views are kept from the beginning; more memory is taken when needed.
    """

    def __init__(self, cuda: Cuda, bytes_by_name: Mapping[str, int], num_views: int) -> None:
        self._cuda = cuda
        self.bytes_by_name = dict(bytes_by_name)
        self._offsets: dict[str, int] = {}
        self._piece_bytes = 0
        for name, num_bytes in bytes_by_name.items():
            self._offsets[name] = self._piece_bytes
            self._piece_bytes += _ALIGNMENT * math.ceil(num_bytes / _ALIGNMENT)
        self.free = [cuda.allocate(self._piece_bytes) for _ in range(num_views)]

    def keep(self, outputs: Mapping[str, int], view: int) -> DeviceFeatures:
        """Copy the features of a view from outputs of V views, which begin at these addresses."""
        address = self.free.pop() if self.free else self._cuda.allocate(self._piece_bytes)
        features = DeviceFeatures(self, address)
        for name, num_bytes in self.bytes_by_name.items():
            source = outputs[name] + view * num_bytes
            self._cuda.copy(address + self._offsets[name], source, num_bytes)
        return features

    def copy_to(self, features: DeviceFeatures, inputs: Mapping[str, int], view: int) -> None:
        """Copy the features that are inputs of V views to their place among them."""
        for name, address in inputs.items():
            num_bytes = self.bytes_by_name[name]
            source = features.address + self._offsets[name]
            self._cuda.copy(address + view * num_bytes, source, num_bytes)
