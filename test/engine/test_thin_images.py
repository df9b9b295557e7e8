"""Long, thin images cost no more memory than others, in a window of them, too."""

from __future__ import annotations

import tracemalloc

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.messages import Message
from moe3d_engine.lab.fuzz.backend import ColourBackend
from moe3d_engine.lab.fuzz.messages import good_image
from moe3d_engine.lab.fuzz.messages import good_info
from moe3d_engine.network import Engine
from moe3d_engine.session import Session
from moe3d_engine.types import Reconstruction
import numpy as np
import pytest

NUM_FRAMES = 6
PERIOD_NS = 1_000_000_000
MAX_BYTES = 4_000_000


def push_thin(width: int) -> tuple[list[Reconstruction | Drop], int]:
    """Push images of one row into a session; return what comes out, and the most memory in use."""
    session, camera = Session(Engine(ColourBackend())), CameraIntake(compressed=False)
    frames = [thin(width, number * PERIOD_NS) for number in range(1, NUM_FRAMES + 1)]
    tracemalloc.start()
    results = [session.push_frame(camera, *frame) for frame in frames]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return results, peak


def thin(width: int, stamp_ns: int) -> tuple[Message, Message]:
    """Return a grey image of one row, with its camera_info."""
    image, info = good_image(stamp_ns), good_info(stamp_ns)
    image.height, image.width, image.step, image.encoding = 1, width, width, 'mono8'
    image.data = np.full(width, 200, np.uint8)
    info.height, info.width = 1, width
    info.k, info.p = np.array([width, 0, width / 2, 0, 1, 0.5, 0, 0, 1]), np.zeros(12)
    return image, info


@pytest.mark.parametrize('width', [10_000, 60_000])
def test_image_of_one_row_is_dropped_before_it_costs(width: int) -> None:
    results, peak = push_thin(width)

    reasons = {result.reason for result in results if isinstance(result, Drop)}
    assert reasons == {DropReason.BAD_IMAGE}
    assert peak < MAX_BYTES


def test_window_of_images_that_are_just_not_too_thin_stays_small() -> None:
    results, peak = push_thin(48)

    assert all(isinstance(result, Reconstruction) for result in results)
    assert peak < MAX_BYTES
