"""What backends share that run graphs on numpy arrays: a window in, its outputs by name out."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from moe3d_engine.assets.card import CAMERAS
from moe3d_engine.backend import check_sweeps
from moe3d_engine.backend import check_window
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.backend import raw_outputs
from moe3d_engine.backend import stacked
from moe3d_engine.backend import window_inputs
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras


class ArrayBackend(ABC):
    """
    Runs windows through graphs; a runtime says how one graph is run.

    Features are those of `views_of`: arrays by name, one mapping per view.
    """

    spec: NetworkSpec

    @abstractmethod
    def _infer(self, graph: str, inputs: dict[str, Any]) -> dict[str, Float32Array]:
        """Run a graph, named by its role, on those of the inputs that it takes."""

    def reconstruct(
        self,
        features: Sequence[Any],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Return depth of the published views and all poses; see `Backend.reconstruct`."""
        check_window(len(features), publish, self.spec)
        outputs = self._infer('reconstruct', window_inputs(features, publish, self.spec, cameras))
        return raw_outputs(outputs, self.spec, cameras, lambda: self.estimate_cameras(features))

    def estimate_cameras(self, features: Sequence[Any]) -> Float32Array:
        """Return the poses of a window; see `Backend.estimate_cameras`."""
        check_sweeps(self.spec)
        check_window(len(features), [0], self.spec)
        return self._infer(CAMERAS, stacked(features))['pose_encoding']
