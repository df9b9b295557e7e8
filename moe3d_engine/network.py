"""The network: windows of views in, its raw outputs out; features of views are kept for reuse."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
import time

from moe3d_engine.backend import Backend
from moe3d_engine.backend import check_window
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.backend import SourceEncoder
from moe3d_engine.errors import BackendError
from moe3d_engine.geometry.fit import check_same_size
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import fitted_view
from moe3d_engine.geometry.fit import FittedView
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import View
from moe3d_engine.types import WindowCameras
import numpy as np


class FeatureCache:
    """
    What a session keeps of the views of its last window: fitted images and features.

    A view is recognised by being the same object; features belong to the engine that made them.
    """

    def __init__(self) -> None:
        self._kept: dict[View, tuple[FittedView, object]] = {}

    def fitted(self, view: View) -> FittedView:
        """Return a view of the last window at the network's resolution."""
        return self._kept[view][0]

    def feature(self, view: View) -> object:
        """Return the features of a view of the last window."""
        return self._kept[view][1]

    def missing(self, views: Sequence[View]) -> list[View]:
        """Return the views that are not kept, each once."""
        return [view for view in dict.fromkeys(views) if view not in self._kept]

    def add(
        self, views: Sequence[View], fitted: Sequence[FittedView], features: Sequence[object]
    ) -> None:
        """Keep what was made of some views."""
        self._kept.update(zip(views, zip(fitted, features, strict=True), strict=True))

    def keep_only(self, views: Sequence[View]) -> None:
        """Forget all other views."""
        self._kept = {view: self._kept[view] for view in views}

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


class Engine:
    """
    Owns a backend and runs it on windows; sessions keep the features between their windows.

    One thread uses an engine.

    Parameters
    ----------
    backend : an open backend, closed by `close`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """Name of the backend."""
        return self._backend.name

    @property
    def spec(self) -> NetworkSpec:
        """What a caller must know of the network."""
        return self._backend.spec

    def close(self) -> None:
        """Release the backend; a second call does nothing."""
        self._backend.close()

    def run(
        self,
        views: Sequence[View],
        decode: Sequence[int],
        cache: FeatureCache,
        timings_ms: dict[str, float],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """
        Run the network on a window.

        Parameters
        ----------
        views : 1 to `spec.max_views` views of one size, oldest first.
        decode : indices of the views whose depth is wanted.
        cache : features of views that were in the window before are taken from it; it holds
            those of exactly these views afterwards.
        cameras : of the views, for a network that compares them; None = not known.
        timings_ms : gets the duration of the stages `preprocess`, `encode` and `reconstruct`.

        Returns
        -------
        RawOutputs of the decoded views, in the order of `decode`; all finite.

        Raises
        ------
        ShapeError
            If the window is empty or too long, sizes differ, or an index is out of range.
        BackendError
            If the backend fails or returns values that are not finite.
        """
        check_window(len(views), decode, self.spec)
        check_same_size(views)
        self._encode(cache.missing(views), cache, timings_ms)
        cache.keep_only(views)
        with timed(timings_ms, 'reconstruct'):
            features = [cache.feature(view) for view in views]
            raw = self._backend.reconstruct(features, decode, cameras)
        check_finite(raw)
        return raw

    def _encode(
        self, new: Sequence[View], cache: FeatureCache, timings_ms: dict[str, float]
    ) -> None:
        """Fit views to the network and compute their features."""
        timings_ms |= {'preprocess': 0.0, 'encode': 0.0}
        if not new:
            return
        if isinstance(self._backend, SourceEncoder):
            with timed(timings_ms, 'encode'):
                images, features = self._backend.encode_sources(np.stack([v.image for v in new]))
                fitted = [fitted_view(*pair) for pair in zip(new, images, strict=True)]
        else:
            with timed(timings_ms, 'preprocess'):
                fitted = [fit_view(view, self.spec.input_hw) for view in new]
                network_input = to_network(np.stack([view.image for view in fitted]))
            with timed(timings_ms, 'encode'):
                features = self._backend.encode(network_input)
        cache.add(new, fitted, features)


def check_finite(raw: RawOutputs) -> None:
    """
    Raise BackendError unless all outputs are finite.

    Raises
    ------
    BackendError
        If a map or the pose encoding holds NaN or Inf; the message names it.
    """
    for name, values in raw._asdict().items():
        bad = values.size - np.count_nonzero(np.isfinite(values))
        if bad:
            raise BackendError(
                f'The backend returned {bad} of {values.size} values of {name} that are not '
                f'finite. Run `moe3d doctor`; try another precision or backend.'
            )


@contextmanager
def timed(timings_ms: dict[str, float], stage: str) -> Iterator[None]:
    """Write the duration of a block to `timings_ms`."""
    start = time.perf_counter()
    yield
    timings_ms[stage] = 1e3 * (time.perf_counter() - start)
