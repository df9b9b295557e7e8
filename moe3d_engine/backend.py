"""The protocol that every backend fulfils, and the card that describes its weights."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol
from typing import runtime_checkable
from typing import TypeVar

from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.cameras import pose_encoding_from_cameras
from moe3d_engine.geometry.point_hint import HINT_STRIDE
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import WindowCameras
import numpy as np
from numpy.typing import NDArray

Feature = TypeVar('Feature')
LEAST_COMPARED = 2  # views that the graph `reconstruct` of a sweeping network takes
_CAMERA_SHAPES = {'intrinsics': (3, 3), 'cam_from_world': (4, 4), 'trust': ()}
CAMERA_INPUTS = (*_CAMERA_SHAPES, 'hint')  # of the graph `reconstruct` of a sweeping network


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
    sweeps : whether it compares views along the rays of given cameras. Else it estimates the
        cameras, and its depth follows from all views together.
    """

    name: str
    input_hw: tuple[int, int]
    max_views: int
    metric: bool
    confidence_tau: float
    sweeps: bool = False


class Backend(Protocol):
    """
    Runs the graphs of the network. One thread owns a backend; it is not thread-safe.

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

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """
        Reconstruct a window from its views' features, oldest first.

        Parameters
        ----------
        features : V objects from `encode`.
        publish : indices of the views whose depth is wanted.
        cameras : for a network that sweeps; the pose encoding of the outputs is then theirs.
            None: nothing is known of them, each depth is that of a view alone, and the pose
            encoding is that of `estimate_cameras`.

        Raises
        ------
        ShapeError
            If the window or the published views are none, the cameras are not those of the
            window, or the network does not sweep.
        """
        ...

    def estimate_cameras(self, features: Sequence[object]) -> Float32Array:
        """
        Return the pose encoding (V, 9) of a window, see RawOutputs.

        Raises
        ------
        BackendError
            If the network does not sweep: `reconstruct` estimates the cameras then.
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
    features: Sequence[Mapping[str, NDArray[Any]]],
    publish: Sequence[int],
    spec: NetworkSpec,
    cameras: WindowCameras | None = None,
) -> dict[str, NDArray[Any]]:
    """
    Return the inputs of the graph `reconstruct`; a graph may need only some of the features.

    Parameters
    ----------
    features : of `views_of`.
    publish, cameras : see `Backend.reconstruct`.
    """
    views = compared(features, spec)
    inputs = stacked(views) | {'publish': np.array(publish, np.int64)}
    return inputs | camera_inputs(spec, len(features), len(publish), cameras)


def stacked(features: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the features of a window by name, (V, ...) each."""
    return {name: np.stack([view[name] for view in features]) for name in features[0]}


def compared(features: Sequence[Feature], spec: NetworkSpec) -> list[Feature]:
    """Return the views of a window; a sweeping network gets a single one twice."""
    views = list(features)
    return views * LEAST_COMPARED if spec.sweeps and len(views) < LEAST_COMPARED else views


def camera_inputs(
    spec: NetworkSpec, num_views: int, num_published: int, cameras: WindowCameras | None
) -> dict[str, Float32Array]:
    """
    Return what the graph `reconstruct` of a sweeping network is told of `compared` views.

    Views without a camera stand where the world is, and are not trusted.

    Raises
    ------
    ShapeError
        If the cameras are not those of the window, or the network does not sweep.
    """
    if not spec.sweeps:
        if cameras is not None:
            raise ShapeError(f'{spec.name} does not compare views by cameras; give it none.')
        return {}
    height, width = spec.input_hw
    most = max(num_views, LEAST_COMPARED)
    lens = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float32)
    inputs = {
        'intrinsics': np.tile(lens, (most, 1, 1)),
        'cam_from_world': np.tile(np.eye(4, dtype=np.float32), (most, 1, 1)),
        'trust': np.zeros(most, np.float32),
    }
    hint_shape = (num_published, 2, height // HINT_STRIDE, width // HINT_STRIDE)
    hint = np.zeros(hint_shape, np.float32)
    if cameras is not None:
        for name, rest in _CAMERA_SHAPES.items():
            _check_shape(name, getattr(cameras, name), (num_views, *rest), spec)
            inputs[name][:num_views] = getattr(cameras, name)
        if cameras.hint is not None:
            _check_shape('hint', cameras.hint, hint_shape, spec)
            hint[:] = cameras.hint
    return inputs | {'hint': hint}


def _check_shape(
    name: str, values: NDArray[Any], shape: tuple[int, ...], spec: NetworkSpec
) -> None:
    """Raise ShapeError unless a part of cameras has the shape of the window."""
    if values.shape != shape:
        raise ShapeError(
            f'{name} of the cameras has the shape {values.shape}; {spec.name} expects {shape} for '
            'this window.'
        )


def raw_outputs(
    outputs: Mapping[str, Float32Array],
    spec: NetworkSpec,
    cameras: WindowCameras | None,
    estimate: Callable[[], Float32Array],
) -> RawOutputs:
    """
    Return the outputs of the graph `reconstruct` with the poses that belong to them.

    Parameters
    ----------
    outputs : by name, copies that the caller may have.
    cameras : see `Backend.reconstruct`.
    estimate : `Backend.estimate_cameras` of the window, called where nobody else knows.
    """
    if not spec.sweeps:
        poses = outputs['pose_encoding']
    else:
        poses = estimate() if cameras is None else encode_cameras(cameras, spec.input_hw)
    return RawOutputs(
        **{name: outputs[name] for name in RawOutputs._fields if name != 'pose_encoding'},
        pose_encoding=poses,
    )


def encode_cameras(cameras: WindowCameras, input_hw: tuple[int, int]) -> Float32Array:
    """Return the pose encoding (V, 9) of cameras; the world is the first of them."""
    cam_from_world = np.asarray(cameras.cam_from_world, np.float64)
    cam_from_first = cam_from_world @ invert_rigid(cam_from_world[0])
    intrinsics = np.asarray(cameras.intrinsics, np.float64)
    return pose_encoding_from_cameras(cam_from_first, intrinsics, input_hw).astype(np.float32)


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


def check_sweeps(spec: NetworkSpec) -> None:
    """
    Raise BackendError unless `Backend.estimate_cameras` is a call of its own.

    Raises
    ------
    BackendError
        If the network does not sweep.
    """
    if not spec.sweeps:
        raise BackendError(
            f'{spec.name} estimates cameras together with depth; read the pose encoding of '
            '`reconstruct`.'
        )
