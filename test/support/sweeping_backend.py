"""A backend that is told of cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras


class SweepingBackend:
    """Remembers what it is told of the cameras; depth is 2 where it is told of any."""

    name = 'sweeping'

    def __init__(self, plain: object) -> None:
        self._plain = plain
        self.spec = replace(plain.spec, sweeps=True)
        self.told: list[WindowCameras | None] = []

    def encode(self, images: Float32Array) -> list[object]:
        return self._plain.encode(images)

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        self.told.append(cameras)
        raw = self._plain.reconstruct(features, publish)
        if cameras is not None:
            raw.depth[:] = 2.0
        return raw

    def close(self) -> None:
        self._plain.close()
