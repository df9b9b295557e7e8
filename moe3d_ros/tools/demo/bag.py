"""The demo's own bag: a camera that walks round a rendered table, with exact ground truth."""

from __future__ import annotations

import hashlib
from pathlib import Path
import shutil
from typing import TYPE_CHECKING

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.geometry.cameras import quaternion_from_rotation
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import POSE
from moe3d_ros.tools.bags.writer import BagWriter
import numpy as np

if TYPE_CHECKING:
    from moe3d_engine.lab.synthetic import SyntheticSet
    from moe3d_engine.types import Float64Array

SEED_OFFSET = 900_000  # within the held-out seeds: a cluttered table with space around it
IMAGE_HW = (240, 320)
PERIOD_NS = 100_000_000
FIRST_STAMP_NS = 1_800_000_000_000_000_000  # any date; the same each time
CAMERA_FRAME = 'camera_optical_frame'
WORLD_FRAME = 'world'

IMAGE_TOPIC = '/camera/image_raw'
CAMERA_INFO_TOPIC = '/camera/camera_info'
DEPTH_TOPIC = '/camera/depth/image_raw'
POSE_TOPIC = '/camera/pose'
# Name, type and delay of the log time behind the stamp, in the order in which a camera sends.
TOPICS = (
    (POSE_TOPIC, POSE, 2_000_000),
    (CAMERA_INFO_TOPIC, CAMERA_INFO, 4_000_000),
    (IMAGE_TOPIC, IMAGE, 5_000_000),
    (DEPTH_TOPIC, IMAGE, 6_000_000),
)


def demo_bag_path(folder: Path, num_frames: int) -> Path:
    """Return where the demo's bag lies; the name changes whenever its content would."""
    import moe3d_engine.lab.synthetic as generator

    sources = [*sorted(Path(generator.__file__).parent.rglob('*.py')), Path(__file__)]
    digest = hashlib.sha256(b''.join(source.read_bytes() for source in sources)).hexdigest()
    return folder / f'scene-{SEED_OFFSET}-{num_frames}-{digest[:12]}'


def render_demo_bag(path: Path, num_frames: int) -> None:
    """Render the demo's scene and write its bag; an interrupted run leaves no bag behind."""
    from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
    from moe3d_engine.lab.synthetic import render_trajectory

    scene = render_trajectory(HELD_OUT_SEED_START + SEED_OFFSET, num_frames, IMAGE_HW)
    unfinished = path.with_name(f'{path.name}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    write_scene_bag(unfinished, scene)
    unfinished.rename(path)


def write_scene_bag(path: Path, scene: SyntheticSet) -> None:
    """
    Write rendered views as a bag: rgb8 images, camera_info, 32FC1 depth and pose.

    Parameters
    ----------
    path : folder of the new bag.
    scene : its views are `PERIOD_NS` apart.
    """
    writer = BagWriter(path)
    try:
        for name, type_name, _ in TOPICS:
            writer.add_topic(name, type_name, OfferedQos())
        make = _MessageMaker(writer)
        for index in range(len(scene.rgb)):
            stamp_ns = FIRST_STAMP_NS + index * PERIOD_NS
            messages = {
                POSE_TOPIC: make.pose(stamp_ns, scene.world_from_cam[index]),
                CAMERA_INFO_TOPIC: make.camera_info(
                    stamp_ns, scene.intrinsics[index], scene.rgb.shape[1:3]
                ),
                IMAGE_TOPIC: make.image(stamp_ns, scene.rgb[index], 'rgb8'),
                DEPTH_TOPIC: make.image(stamp_ns, scene.depth[index], '32FC1'),
            }
            for name, type_name, delay_ns in TOPICS:
                data = writer.serialize(messages[name], type_name)
                writer.write(name, stamp_ns + delay_ns, data)
    finally:
        writer.close()


class _MessageMaker:
    """Builds rosbags' message objects."""

    def __init__(self, writer: BagWriter) -> None:
        self._types = writer.types

    def image(self, stamp_ns: int, pixels: np.ndarray, encoding: str) -> Message:
        """Return an image of (H, W, ...) pixels."""
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
        return self._types[IMAGE](
            header=self._header(stamp_ns, CAMERA_FRAME),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=data.shape[1],
            data=data.ravel(),
        )

    def camera_info(
        self, stamp_ns: int, intrinsics: Float64Array, image_hw: tuple[int, ...]
    ) -> Message:
        """Return the camera_info of a rectified camera."""
        projection = np.hstack([intrinsics, np.zeros((3, 1))])
        roi = self._types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
        return self._types[CAMERA_INFO](
            header=self._header(stamp_ns, CAMERA_FRAME),
            height=image_hw[0],
            width=image_hw[1],
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=intrinsics.ravel(),
            r=np.eye(3).ravel(),
            p=projection.ravel(),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    def pose(self, stamp_ns: int, world_from_cam: Float64Array) -> Message:
        """Return the camera's pose in the world."""
        point = self._types['geometry_msgs/msg/Point'](*world_from_cam[:3, 3].tolist())
        x, y, z, w = quaternion_from_rotation(world_from_cam[:3, :3]).tolist()
        rotation = self._types['geometry_msgs/msg/Quaternion'](x=x, y=y, z=z, w=w)
        pose = self._types['geometry_msgs/msg/Pose'](position=point, orientation=rotation)
        return self._types[POSE](header=self._header(stamp_ns, WORLD_FRAME), pose=pose)

    def _header(self, stamp_ns: int, frame_id: str) -> Message:
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        time = self._types['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec)
        return self._types['std_msgs/msg/Header'](stamp=time, frame_id=frame_id)
