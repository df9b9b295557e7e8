"""How many files a reader opens who follows an image from its callback to the cloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import sys
from types import FrameType
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from sensor_msgs.msg import PointCloud2

# What the fixtures of conftest.py make.
Rig = Any
MakeMessage = Callable[..., Any]

ROOT = Path(__file__).resolve().parents[2]
# Two of them are threads: every image is tracked before the newest one is reconstructed.
MAX_STATIONS = 16
BACKEND = 'moe3d_engine/backends/openvino_backend.py'  # in place of the test's own
# Arithmetic, and the way of the pose, which leaves that of the image where it is tracked.
ASIDE = (
    *(f'moe3d_engine/{name}/' for name in ('geometry', 'mapping', 'scale', 'tracking')),
    *(f'moe3d_ros/outputs/{name}.py' for name in ('motion', 'odom_frame', 'pose_messages')),
    'moe3d_ros/side_inputs.py',
    'moe3d_engine/window_cameras.py',
)
# What a station uses without handing the image on: types, arithmetic, words of ROS, counters.
VOCABULARY = {
    'moe3d_engine/types.py',
    'moe3d_engine/backend.py',
    'moe3d_engine/intake/calibration.py',
    'moe3d_engine/intake/encodings.py',
    'moe3d_engine/intake/improbable.py',
    'moe3d_engine/intake/messages.py',
    'moe3d_engine/scale/config.py',
    'moe3d_ros/outputs/diagnostics.py',
}


def test_image_passes_sixteen_files_on_its_way_to_the_cloud(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    clouds = live_rig.listen(PointCloud2, '/moe3d/camera/points')
    active, waiting, seen = live_rig.node._active, [], {BACKEND: None}
    active._depth.submit = waiting.append
    active._poses.submit = waiting.append
    image, info = image_message(), info_message()
    image.header.stamp = info.header.stamp = live_rig.next_stamp()

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == 'call' and path.is_relative_to(ROOT):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(('moe3d_engine/', 'moe3d_ros/')):
                seen.setdefault(name)

    sys.setprofile(note)
    try:
        active._inputs['camera']._take_image(image)
        active._take_info('camera', info)
        active._poses._process(waiting.pop())
        active._depth._process(waiting.pop())
    finally:
        sys.setprofile(None)

    live_rig.wait_until(lambda: clouds)
    stations = [p for p in seen if p not in VOCABULARY and not p.startswith(ASIDE)]
    assert len(stations) <= MAX_STATIONS, ' '.join(stations)
    assert 'moe3d_ros/outputs/messages.py' in stations
