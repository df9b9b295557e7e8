"""What of a bag can be played: its camera, topics whose types are installed, rounds of a loop."""

from __future__ import annotations

from collections.abc import Collection
import logging
from typing import NamedTuple

from moe3d_engine.bags.bag import Bag
from moe3d_engine.bags.bag import BagTopic
from moe3d_engine.bags.reader import choose_camera_info
from moe3d_engine.bags.reader import choose_image
from moe3d_engine.bags.reader import serialized_stamp_ns
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.order import TIME_JUMP_NS
from moe3d_ros.tools.bags.message_class import message_class

logger = logging.getLogger(__name__)


class PlayableCamera(NamedTuple):
    """The topics that listeners are awaited on; None where the bag has none."""

    image: str | None
    camera_info: str | None


def playable_camera(
    bag: Bag, image: str | None, camera_info: str | None, *, needed: bool
) -> PlayableCamera:
    """
    Return the camera of a bag: asked topics where given, the likeliest otherwise.

    Parameters
    ----------
    bag : without images, it can be played too, unless they are asked for or `needed`.

    Raises
    ------
    InputError
        If the bag lacks an asked topic, or the choice is not clear.
    """
    has_images = any(topic.type in (IMAGE, COMPRESSED_IMAGE) for topic in bag.topics.values())
    if not has_images and image is None and not needed:
        return PlayableCamera(None, None)
    image = choose_image(bag, image)
    return PlayableCamera(image, choose_camera_info(bag, image, camera_info))


def playable_topics(
    bag: Bag, asked: Collection[str] | None
) -> tuple[dict[str, BagTopic], list[str]]:
    """
    Return the topics to play (None = all), and the names of those that cannot be.

    Raises
    ------
    InputError
        If the bag lacks an asked topic, or holds none that can be played.
    """
    topics = dict(bag.topics)
    if asked is not None:
        missing = sorted(set(asked) - set(topics))
        if missing:
            raise InputError(
                f'{bag.path} has no {", ".join(missing)}. It has: {", ".join(sorted(topics))}.'
            )
        topics = {name: topics[name] for name in asked}
    skipped = []
    for name, topic in list(topics.items()):
        try:
            _check_name(name)
            message_class(topic.type)
        except InputError as error:
            logger.warning('%s is not played. %s', name, error)
            skipped.append(name)
            del topics[name]
    if not topics:
        raise InputError(f'{bag.path} holds no topic that can be played.')
    return topics, skipped


def check_loop(bag: Bag, image: str) -> None:
    """
    Look whether the node can tell a new round of a bag from late images.

    Raises
    ------
    InputError
        If the stamps on the image topic span too little for that.
    """
    stamps = [serialized_stamp_ns(message.data) for message in bag.messages([image])]
    length_ns = max(stamps, default=0) - min(stamps, default=0)
    if length_ns <= TIME_JUMP_NS:
        raise InputError(
            f'The images of {image} span {length_ns * 1e-9:g} s. A step back by so little '
            f'looks like late images, which the node drops, so each round after the first would '
            f'give nothing. Loop a bag of more than {TIME_JUMP_NS * 1e-9:g} s.'
        )


def _check_name(name: str) -> None:
    """Raise InputError if a name is none that a topic can have."""
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_topic_name import validate_topic_name

    try:
        validate_topic_name(name)
    except InvalidTopicNameException as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'No topic can have this name: {reason}') from error
