"""Memory on the GPU for what lies between the layers of plans."""

from __future__ import annotations

from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda


class Scratch:
    """
    One piece of memory for all plans, which run one after another on the same stream.

    It is as large as the largest shapes need that were set so far, not as the profiles allow:
    `preprocess` would ask for several images of 1920x1200 pixels.

    Parameters
    ----------
    cuda : allocates it, and frees it when it is closed.
    """

    def __init__(self, cuda: Cuda) -> None:
        self.address = 0
        self.num_bytes = 0
        self._cuda = cuda

    def grow(self, num_bytes: int) -> None:
        """
        Make room for so much; where there is too little, what runs is waited for.

        Raises
        ------
        BackendError
            If there is not enough memory; then there is none, and a later call may find some.
        """
        if num_bytes <= self.num_bytes:
            return
        if self.num_bytes:
            self._cuda.synchronize()
            self._cuda.free(self.address)
            self.address, self.num_bytes = 0, 0
        self.address = self._cuda.allocate(num_bytes)
        self.num_bytes = num_bytes
