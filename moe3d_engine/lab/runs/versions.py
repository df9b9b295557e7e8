"""The versions of what computes the figures, as every record holds them."""

from __future__ import annotations

from importlib import metadata
import platform

PACKAGES = ('moe3d_ros', 'numpy', 'opencv-python-headless', 'openvino', 'tensorrt', 'torch')


def versions() -> dict[str, str]:
    """Return versions by package; what is not installed is left out."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
