"""Which NVIDIA GPU is here, asked of the driver itself, so that no CUDA package is needed."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

_DRIVER = 'libcuda.so.1'
_NAME_BYTES = 256
_SUCCESS = 0
_MAJOR, _MINOR, _PROCESSORS = 75, 76, 16  # CU_DEVICE_ATTRIBUTE_*


class Gpu(NamedTuple):
    """
    Name and compute capability, such as `Orin, 16 SMs` and `8.7`.

    The number of multiprocessors is part of the name, since all modules of a family may share one
    name, and a plan is for one of them.
    """

    name: str
    compute_capability: str


def current_gpu() -> Gpu | None:
    """Return the first GPU that CUDA shows to this process, None where there is none."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    device, major, minor, processors = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(_NAME_BYTES)
    known = (
        driver.cuInit(0) == _SUCCESS
        and driver.cuDeviceGet(ctypes.byref(device), 0) == _SUCCESS
        and driver.cuDeviceGetName(name, _NAME_BYTES, device) == _SUCCESS
        and driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device) == _SUCCESS
        and driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device) == _SUCCESS
        and driver.cuDeviceGetAttribute(ctypes.byref(processors), _PROCESSORS, device) == _SUCCESS
    )
    if not known:
        return None
    full_name = f'{name.value.decode()}, {processors.value} SMs'
    return Gpu(full_name, f'{major.value}.{minor.value}')
