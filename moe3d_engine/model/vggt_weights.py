"""VGGT's own weights as a file of the user's: what is in it, and the network it makes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from moe3d_engine.assets.card import sha256_of
from moe3d_engine.errors import CheckpointError
from moe3d_engine.model.checkpoint import read_vggt
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.network import Moe3dNet
from moe3d_engine.model.state import IGNORED_PREFIXES
import torch


class VggtContents(NamedTuple):
    """
    What a file of VGGT's weights holds.

    Parameters
    ----------
    sha256 : of the file, hexadecimal.
    tensors, ignored : how many there are, and how many belong to heads that we do not have.
    parameters : numbers in the tensors that are used.
    dtype : types of these numbers, such as `float32`.
    """

    sha256: str
    tensors: int
    ignored: int
    parameters: int
    dtype: str


def load_vggt(
    path: Path, config: ModelConfig, sha256: str | None = None
) -> tuple[Moe3dNet, VggtContents]:
    """
    Read VGGT's weights into a network; nothing in the file is run.

    Parameters
    ----------
    path : `.safetensors`, or a `.pt` of plain tensors by name.
    config : of the network; names and shapes of all its tensors must be in the file.
    sha256 : what the file must hash to; None = any.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, has another hash, or lacks tensors, has unexpected ones
        or some of another shape; the message names them.
    """
    if not path.is_file():
        raise CheckpointError(
            f'There is no file {path}. Download the weights yourself, or give --url and --sha256.'
        )
    found = sha256_of(path)
    if sha256 is not None and found != sha256.lower():
        raise CheckpointError(f'{path} has the sha256 {found}; expected was {sha256.lower()}.')
    state = read_vggt(path)
    with torch.device('meta'):
        network = Moe3dNet(config)
    network.load_vggt_state_dict(state)
    used = [value for name, value in state.items() if not name.startswith(IGNORED_PREFIXES)]
    contents = VggtContents(
        sha256=found,
        tensors=len(state),
        ignored=len(state) - len(used),
        parameters=sum(value.numel() for value in used),
        dtype=', '.join(sorted({str(value.dtype).removeprefix('torch.') for value in used})),
    )
    return network, contents
