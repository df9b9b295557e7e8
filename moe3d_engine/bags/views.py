"""Views from a bag, without a ROS graph: decoded and rectified by its camera_info."""

from __future__ import annotations

from collections import Counter
import logging
from pathlib import Path

from moe3d_engine.bags.bag import Bag
from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.frames import BagFrame
from moe3d_engine.bags.frames import FrameTopics
from moe3d_engine.bags.frames import read_frames
from moe3d_engine.bags.frames import read_images
from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.bags.reader import choose_camera_info
from moe3d_engine.bags.reader import choose_image
from moe3d_engine.errors import InputError
from moe3d_engine.intake.calibration import is_calibrated
from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import DroppedFrameError
from moe3d_engine.intake.images import ImageDecoder
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import is_rectified_topic
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View

logger = logging.getLogger(__name__)


def read_bag_views(
    path: Path,
    topic: str | None = None,
    intrinsics: Float64Array | None = None,
    every: int = 1,
) -> list[View]:
    """
    Read the colour images of a bag, rectified as the node rectifies them.

    Parameters
    ----------
    path : rosbag2 folder, or an .mcap or .db3 file.
    topic : image topic; None = the likeliest.
    intrinsics : (3, 3) of all images, which are taken as rectified; None = by the camera_info of
        the same stamp. Without a camera_info in the bag, or if it says that the camera is not
        calibrated, views have no intrinsics and images stay as they are.
    every : read each so manieth image only.

    Returns
    -------
    list of View, in the order of the bag. Images that cannot be used are left out, with the first
    reason and their number in the log.

    Raises
    ------
    InputError
        If the bag cannot be read, or no image of it can be used.
    """
    with open_bag(path) as bag:
        image = choose_image(bag, topic)
        info = None if intrinsics is not None else choose_camera_info(bag, image)
        if info is None:
            frames = read_images(bag, image)
        else:
            frames = read_frames(bag, FrameTopics(CameraTopics(image, info, None), None, None))
        if info is None and intrinsics is None:
            logger.info('%s has no camera_info: the network estimates the intrinsics.', path)
        intake = _Intake(bag, image, info is not None, intrinsics)
        views = [
            view
            for number, frame in enumerate(frames)
            if number % every == 0 and (view := intake.view(frame)) is not None
        ]
        intake.say_left_out(bool(views))
    return views


class _Intake:
    """Makes views of frames, and counts those of which it cannot."""

    def __init__(
        self, bag: Bag, topic: str, with_info: bool, intrinsics: Float64Array | None
    ) -> None:
        self._topic = topic
        is_compressed = bag.topics[topic].type == COMPRESSED_IMAGE
        is_rectified = is_rectified_topic(topic) or None
        self._camera = CameraIntake(compressed=is_compressed, rectified=is_rectified)
        self._decoder = ImageDecoder(compressed=is_compressed, warn=logger.warning)
        self._with_info = with_info
        self._intrinsics = intrinsics
        self._left_out: Counter[str] = Counter()

    def view(self, frame: BagFrame) -> View | None:
        """Return the view of a frame; None where it has none."""
        image, info = frame.image, frame.info
        try:
            if self._with_info and info is None:
                raise InputError('No camera_info has its stamp.')
            if self._with_info and is_calibrated(info):
                return self._camera.view_of(image, info)
            return View(
                self._decoder.decode(image),
                self._intrinsics,
                frame.stamp_ns,
                image.header.frame_id,
            )
        except (DroppedFrameError, InputError) as error:
            self._left_out[str(error)] += 1
            return None

    def say_left_out(self, some_are_left: bool) -> None:
        """Log what was left out; raise InputError if that is all."""
        why = next(iter(self._left_out), 'None can be read, see above.')
        if not some_are_left:
            raise InputError(f'No image of {self._topic} can be used. {why}')
        if self._left_out:
            count = self._left_out.total()
            logger.warning('%d images of %s are left out. %s', count, self._topic, why)
