"""The protocol that every backend fulfils, and the card that describes its weights."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol
from typing import runtime_checkable

from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """
    What a caller must know of the network behind a backend.

    Parameters
    ----------
    name : name of the weights, such as `moe3d-small`.
    input_hw : (H, W) of the network's input and of its depth, in pixels.
    max_views : most views that one call may hold.
    metric : whether depth and translations are in metres.
    confidence_tau : relative tolerance that `boundary_confidence` speaks of.
    """

    name: str
    input_hw: tuple[int, int]
    max_views: int
    metric: bool
    confidence_tau: float


class Backend(Protocol):
    """
    Runs the two graphs of the network. One thread owns a backend; it is not thread-safe.

    `encode` computes what depends on one image alone, so that a sliding window computes it once
    per view. Its result is opaque (a device buffer, a tensor, an array) and belongs to the
    backend that made it. `reconstruct` looks at all views together and decodes depth for those
    that are to be published. The arrays of `RawOutputs` are the caller's.
    """

    name: str
    spec: NetworkSpec

    def encode(self, images: Float32Array) -> list[object]:
        """
        Compute the features of V images, one opaque object per view.

        Parameters
        ----------
        images : (V, 3, H, W) float32, RGB in [0, 1], at `spec.input_hw`.
        """
        ...

    def reconstruct(self, features: Sequence[object], publish: Sequence[int]) -> RawOutputs:
        """
        Reconstruct a window from its views' features, oldest first.

        Parameters
        ----------
        features : V objects from `encode`.
        publish : indices of the views whose depth is wanted.
        """
        ...

    def close(self) -> None:
        """Release the backend; a second call does nothing."""
        ...


@runtime_checkable
class SourceEncoder(Protocol):
    """A backend that also fits camera images to the network by itself, as a GPU can."""

    def encode_sources(self, sources: UInt8Array) -> tuple[UInt8Array, list[object]]:
        """
        Fit V camera images of one size to the network and compute their features.

        Parameters
        ----------
        sources : (V, source_h, source_w, 3) uint8, RGB.

        Returns
        -------
        fitted : (V, H, W, 3) uint8 at `spec.input_hw`, up to one grey level what
            `preprocess.fit_view` makes of them; the caller's.
        features : one opaque object per view, as of `Backend.encode`.
        """
        ...


def views_of(outputs: Mapping[str, NDArray[Any]], num_views: int) -> list[object]:
    """Return the outputs of the graph `image_encoder`, (V, ...) each, as one mapping per view."""
    return [{name: x[view] for name, x in outputs.items()} for view in range(num_views)]


def window_inputs(
    features: Sequence[Mapping[str, NDArray[Any]]], publish: Sequence[int]
) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph `reconstruct` from `views_of` and the published indices."""
    inputs = {name: np.stack([view[name] for view in features]) for name in features[0]}
    return inputs | {'publish': np.array(publish, np.int64)}


def check_images(images: Float32Array, spec: NetworkSpec) -> None:
    """
    Raise ShapeError unless `images` is what `Backend.encode` takes.

    Raises
    ------
    ShapeError
        If rank, channels, size or type differ; the message names both.
    """
    height, width = spec.input_hw
    if images.ndim != 4 or images.shape[1:] != (3, height, width) or images.dtype != np.float32:
        raise ShapeError(
            f'{spec.name} takes images of shape (V, 3, {height}, {width}) and type float32; got '
            f'shape {images.shape} and type {images.dtype}. Use moe3d_engine.geometry.fit.'
        )


def check_window(num_views: int, publish: Sequence[int], spec: NetworkSpec) -> None:
    """
    Raise ShapeError unless a window has 1 to `max_views` views and valid published indices.

    Raises
    ------
    ShapeError
        If the window is empty or too long, or an index is out of range.
    """
    if not 1 <= num_views <= spec.max_views:
        raise ShapeError(
            f'{spec.name} reconstructs 1 to {spec.max_views} views at once; got {num_views}.'
        )
    if not publish or min(publish) < 0 or max(publish) >= num_views:
        raise ShapeError(
            f'Published views must be indices from 0 to {num_views - 1}; got {list(publish)}.'
        )
