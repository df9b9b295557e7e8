"""What a network computes for a small window: stored with its weights, to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile
import zlib

from moe3d_engine.errors import EngineError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np

REFERENCE_ROLE = 'reference'
REFERENCE_VIEWS = 2
_CAMERA_ARRAYS = ('intrinsics', 'cam_from_world', 'trust')
_BROKEN_FILE = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)


class Reference(NamedTuple):
    """
    One window: images (V, 3, H, W), and the network's outputs for them in float32.

    Parameters
    ----------
    cameras : that a network which sweeps was given; None for others.
    outputs : of `parity.run_window`.
    """

    images: Float32Array
    cameras: WindowCameras | None
    outputs: RawOutputs


def save_reference(path: Path, reference: Reference) -> None:
    """Write a reference; the same one gives the same bytes."""
    arrays = {'images': reference.images, **reference.outputs._asdict()}
    if reference.cameras is not None:
        arrays |= {name: getattr(reference.cameras, name) for name in _CAMERA_ARRAYS}
    with path.open('wb') as file:
        np.savez_compressed(file, **arrays)


def load_reference(path: Path) -> Reference:
    """
    Read a reference.

    Raises
    ------
    EngineError
        If it is missing or corrupt.
    """
    try:
        with path.open('rb') as file, np.load(file, allow_pickle=False) as arrays:
            outputs = RawOutputs(*(arrays[name] for name in RawOutputs._fields))
            cameras = None
            if _CAMERA_ARRAYS[0] in arrays:
                cameras = WindowCameras(*(arrays[name] for name in _CAMERA_ARRAYS))
            return Reference(arrays['images'], cameras, outputs)
    except _BROKEN_FILE as error:
        raise EngineError(
            f'The reference {path} of the self-check is missing or corrupt ({error}).'
        ) from error
