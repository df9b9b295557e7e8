"""The pipeline: a window of views in, a reconstruction out. Start reading here."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import logging
import math
import time
from typing import NamedTuple

from moe3d_engine.backend import Backend
from moe3d_engine.backend import check_window
from moe3d_engine.backend import SourceEncoder
from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.boundary import snap_to_surfaces
from moe3d_engine.geometry.cameras import cam_from_world_from_pose_encoding
from moe3d_engine.geometry.fit import check_same_size
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import fitted_view
from moe3d_engine.geometry.fit import FittedView
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.geometry.scale import align_to_previous
from moe3d_engine.postprocess import check_outputs
from moe3d_engine.postprocess import intrinsics_of
from moe3d_engine.postprocess import limit_range
from moe3d_engine.postprocess import on_one_surface
from moe3d_engine.types import DepthScale
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
import numpy as np

logger = logging.getLogger(__name__)

SCALE_SOURCES = ('auto', 'fixed', 'none')


@dataclass(frozen=True, slots=True)
class ReconstructorConfig:
    """
    What may be set of the pipeline.

    Parameters
    ----------
    depth_min_m, depth_max_m : limits of metric depth; NaN below, +Inf beyond. Relative depth has
        no limits.
    min_agreement, min_confidence : a pixel is rejected below either; see
        `postprocess.on_one_surface`. Depth that still lies between two surfaces is put on one of
        them (`geometry.boundary`), unless `min_agreement` is 0. 0 and 0 leave every pixel as
        the network gives it.
    scale_source : where metres come from. `fixed`: the network's unit times `scale_factor`;
        `auto`: like `fixed` for metric weights, like `none` for others; `none`: depth is relative.
    scale_factor : metres per unit of the network.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    depth_min_m: float = 0.0
    depth_max_m: float = math.inf
    min_agreement: float = 0.5
    min_confidence: float = 0.1
    scale_source: str = 'auto'
    scale_factor: float = 1.0

    def __post_init__(self) -> None:
        """Check the values once."""
        if not 0.0 <= self.depth_min_m < self.depth_max_m:
            raise ConfigError(
                f'Depth limits must satisfy 0 <= depth_min_m < depth_max_m; got '
                f'{self.depth_min_m} and {self.depth_max_m}.'
            )
        for name in ('min_agreement', 'min_confidence'):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f'{name} lies in [0, 1]; got {getattr(self, name)}.')
        if self.scale_source not in SCALE_SOURCES:
            raise ConfigError(
                f'scale_source is one of {", ".join(SCALE_SOURCES)}; got {self.scale_source!r}.'
            )
        if not 0.0 < self.scale_factor < math.inf:
            raise ConfigError(f'scale_factor is a number above 0; got {self.scale_factor}.')

    def depth_scale(self, metric_weights: bool) -> DepthScale:
        """Return whether depth will be in metres with such weights."""
        metric = self.scale_source == 'fixed' or (self.scale_source == 'auto' and metric_weights)
        return DepthScale.METRIC if metric else DepthScale.RELATIVE


class _SeenView(NamedTuple):
    """What is kept of a view of the last window."""

    fitted: FittedView
    feature: object


class Reconstructor:
    """
    Runs a backend on windows of views; it owns the backend and the features of the last window.

    One thread uses a Reconstructor. Features of a view that was in the window before are not
    computed again: a view is recognised by being the same object.

    Weights that are not metric choose a new unit in every window. The newest view that two
    windows share ties them together (median log ratio of its depths), so that depth keeps its
    unit from the first window on, until `reset`.

    Parameters
    ----------
    backend : an open backend, closed by `close`.
    config : thresholds and the source of metres.
    """

    def __init__(self, backend: Backend, config: ReconstructorConfig | None = None) -> None:
        self.backend = backend
        self._config = config or ReconstructorConfig()
        self._seen: dict[View, _SeenView] = {}
        self._depth_in_first_unit: dict[View, Float32Array] = {}

    @property
    def config(self) -> ReconstructorConfig:
        """The settings that the next window will use."""
        return self._config

    def configure(self, config: ReconstructorConfig) -> None:
        """Replace the settings, from the next window on; any thread may call it."""
        self._config = config

    def reset(self) -> None:
        """Forget the last window; to be called when the stream of views starts anew."""
        self._seen.clear()
        self._depth_in_first_unit.clear()

    def close(self) -> None:
        """Release the backend; a second call does nothing."""
        self.reset()
        self.backend.close()

    def reconstruct(
        self, views: Sequence[View], publish: Sequence[int] | None = None
    ) -> Reconstruction:
        """
        Reconstruct a window.

        Parameters
        ----------
        views : 1 to `backend.spec.max_views` views of one size, oldest first. A view without
            intrinsics gets the network's own.
        publish : indices of the views whose depth is wanted; None = all.

        Raises
        ------
        ShapeError
            If the window is empty or too long, sizes differ, or an index is out of range.
        BackendError
            If the backend fails or returns values that are not finite.
        """
        views, config = tuple(views), self._config
        published = tuple(range(len(views)) if publish is None else publish)
        check_window(len(views), published, self.backend.spec)
        check_same_size(views)
        timings_ms: dict[str, float] = {}
        self._encode(views, timings_ms)

        with _timed(timings_ms, 'reconstruct'):
            shared = self._shared_view(views)
            extra = () if shared is None or shared in published else (shared,)
            decoded = (*published, *extra)
            raw = self.backend.reconstruct([self._seen[view].feature for view in views], decoded)

        with _timed(timings_ms, 'postprocess'):
            check_outputs(raw)
            unit = 1.0 if self.backend.spec.metric else self._align(views, decoded, shared, raw)
            depth_scale = config.depth_scale(self.backend.spec.metric)
            if depth_scale is DepthScale.METRIC:
                unit *= config.scale_factor
            depth_raw = raw.depth[: len(published)] * np.float32(unit)
            depth, confidence = _reject(raw, depth_raw, config, depth_scale)
            fitted = [self._seen[views[index]].fitted for index in published]
            intrinsics = intrinsics_of(
                [view.intrinsics for view in fitted],
                raw.pose_encoding[list(published)],
                self.backend.spec.input_hw,
            )
            cam_from_world = cam_from_world_from_pose_encoding(raw.pose_encoding)
            cam_from_world[:, :3, 3] *= unit
            image = np.stack([view.image for view in fitted])

        return Reconstruction(
            views, published, image, intrinsics, depth_raw, depth, confidence, cam_from_world,
            depth_scale, timings_ms,
        )  # fmt: skip

    def _encode(self, views: tuple[View, ...], timings_ms: dict[str, float]) -> None:
        """Keep fitted images and features of exactly these views, computing those not seen yet."""
        new = [view for view in dict.fromkeys(views) if view not in self._seen]
        timings_ms |= {'preprocess': 0.0, 'encode': 0.0}
        if new and isinstance(self.backend, SourceEncoder):
            with _timed(timings_ms, 'encode'):
                images, features = self.backend.encode_sources(np.stack([v.image for v in new]))
                fitted = [fitted_view(*pair) for pair in zip(new, images, strict=True)]
        elif new:
            with _timed(timings_ms, 'preprocess'):
                fitted = [fit_view(view, self.backend.spec.input_hw) for view in new]
                network_input = to_network(np.stack([view.image for view in fitted]))
            with _timed(timings_ms, 'encode'):
                features = self.backend.encode(network_input)
        if new:
            self._seen.update(zip(new, map(_SeenView, fitted, features), strict=True))
        self._seen = {view: self._seen[view] for view in views}

    def _shared_view(self, views: tuple[View, ...]) -> int | None:
        """Return the newest view whose depth is known in the unit of the windows before."""
        known = [i for i, view in enumerate(views) if view in self._depth_in_first_unit]
        if not known and self._depth_in_first_unit:
            logger.info('No view is shared with the window before: relative depth starts anew.')
        return known[-1] if known else None

    def _align(
        self,
        views: tuple[View, ...],
        decoded: tuple[int, ...],
        shared: int | None,
        raw: RawOutputs,
    ) -> float:
        """Return this window's unit in the first window's, and keep depths for the next one."""
        unit = 1.0
        if shared is not None:
            before = self._depth_in_first_unit[views[shared]]
            unit = align_to_previous(before, raw.depth[decoded.index(shared)])
        depths = {
            views[index]: depth * np.float32(unit)
            for index, depth in zip(decoded, raw.depth, strict=True)
        }
        known = {v: d for v, d in self._depth_in_first_unit.items() if v in views}
        self._depth_in_first_unit = {**depths, **known}
        return unit


def _reject(
    raw: RawOutputs,
    depth_raw: Float32Array,
    config: ReconstructorConfig,
    depth_scale: DepthScale,
) -> tuple[Float32Array, Float32Array]:
    """Return published depth and confidence: rejected pixels NaN and 0, range limits applied."""
    num_published = len(depth_raw)
    confidence = raw.boundary_confidence[:num_published]
    kept = on_one_surface(
        raw.agreement[:num_published], confidence, config.min_agreement, config.min_confidence
    )
    depth = snap_to_surfaces(depth_raw) if config.min_agreement > 0 else depth_raw
    depth = np.where(kept, depth, np.float32(np.nan))
    if depth_scale is DepthScale.METRIC:
        depth = limit_range(depth, config.depth_min_m, config.depth_max_m)
    return depth, np.where(np.isnan(depth), np.float32(0.0), confidence)


@contextmanager
def _timed(timings_ms: dict[str, float], stage: str) -> Iterator[None]:
    """Write the duration of a block to `timings_ms`."""
    start = time.perf_counter()
    yield
    timings_ms[stage] = 1e3 * (time.perf_counter() - start)
