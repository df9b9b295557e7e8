"""A backend with analytic outputs, and the random source of the engine's tests."""

from __future__ import annotations

from collections.abc import Sequence

from moe3d_engine.backends.base import check_images
from moe3d_engine.backends.base import NetworkSpec
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np
import pytest


class FakeBackend:
    """
    Reads its answers off the image, so that a test can tell which view an output belongs to.

    Red in [0, 1] becomes depth 1 + 4 * red, green the agreement, blue the boundary confidence.
    Camera i stands 0.1 * i to the right of the first. `units[n]` is the unit of call n.
    """

    name = 'fake'

    def __init__(self, metric: bool = True, units: Sequence[float] = (1.0,)) -> None:
        self.spec = NetworkSpec('fake', (28, 42), 4, metric, 0.05)
        self.units = units
        self.num_encoded = 0
        self.decoded: list[tuple[int, ...]] = []
        self.num_closed = 0

    def encode(self, images: Float32Array) -> list[object]:
        """Return the images themselves."""
        check_images(images, self.spec)
        self.num_encoded += len(images)
        return list(images)

    def reconstruct(self, features: Sequence[object], publish: Sequence[int]) -> RawOutputs:
        """Read depth, agreement and confidence off the published images."""
        unit = self.units[min(len(self.decoded), len(self.units) - 1)]
        self.decoded.append(tuple(publish))
        images = np.stack([np.asarray(features[index]) for index in publish])
        pose_encoding = np.zeros((len(features), 9), np.float32)
        pose_encoding[:, 0] = -0.1 * unit * np.arange(len(features))
        pose_encoding[:, 6] = 2.0  # a quaternion need not have unit length
        pose_encoding[:, 7:] = (0.8, 1.1)
        depth = unit * (1.0 + 4.0 * images[:, 0])
        agreement, confidence = images[:, 1].copy(), images[:, 2].copy()
        return RawOutputs(depth, confidence, agreement, pose_encoding, np.ones_like(depth))

    def close(self) -> None:
        """Count the calls."""
        self.num_closed += 1


@pytest.fixture
def fake_backend() -> type[FakeBackend]:
    """Return the class, so that a test chooses metric or relative weights."""
    return FakeBackend


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a seeded random source."""
    return np.random.default_rng(7)
