"""Which NVIDIA GPU is here, asked of the driver itself, so that no CUDA package is needed."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

_DRIVER = 'libcuda.so.1'
_NAME_BYTES = 256
_SUCCESS = 0
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class Gpu(NamedTuple):
    """Name and compute capability, such as `Orin` and `8.7`."""

    name: str
    compute_capability: str


def current_gpu() -> Gpu | None:
    """Return the first GPU that CUDA shows to this process, None where there is none."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    known = (
        driver.cuInit(0) == _SUCCESS
        and driver.cuDeviceGet(ctypes.byref(device), 0) == _SUCCESS
        and driver.cuDeviceGetName(name, _NAME_BYTES, device) == _SUCCESS
        and driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device) == _SUCCESS
        and driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device) == _SUCCESS
    )
    if not known:
        return None
    return Gpu(name.value.decode(), f'{major.value}.{minor.value}')
