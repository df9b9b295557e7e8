"""The node's subscriptions: they take the reliability on offer, and say why nothing arrives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
import time
from typing import Any

from moe3d_engine.intake.messages import is_rectified_topic
from moe3d_ros.settings.parameters import NodeConfig
import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

# The callbacks only latch, so a queue never grows old; it holds what arrives while the executor
# is held up, so that a lost image is counted rather than overwritten unseen.
IMAGE_DEPTH = 10
INFO_DEPTH = 100
SILENCE_S = 5.0
SECOND_IMAGE_S = 20.0
REPEAT_S = 30.0
LEARNT_INTERVALS, MISSED_IMAGES = 5, 3  # a slow camera is silent when it misses so many


class FollowingSubscription:
    """
    A subscription that is reliable if every publisher of its topic is, else best effort.

    Without a publisher it is reliable: a reliable publisher that comes later then connects at
    once, and `follow` makes place for another one.

    Parameters
    ----------
    node : owns the subscription.
    message_type, topic, callback, depth : as in create_subscription.
    reliability : `auto` as described; `reliable` or `best_effort` = always so.
    latched : also take what was published before, from a publisher that keeps it.
    """

    def __init__(
        self,
        node: Node,
        message_type: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        depth: int,
        reliability: str,
        *,
        latched: bool = False,
    ) -> None:
        self._node = node
        self._arguments = (message_type, topic, callback)
        self._depth = depth
        self._durability = (
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        )
        self._fixed = None if reliability == 'auto' else ReliabilityPolicy[reliability.upper()]
        self.topic: str = node.resolve_topic_name(topic)
        self.reliability = self._wanted_reliability()
        self._subscription = self._subscribe()

    def follow(self) -> None:
        """Subscribe anew if the publishers offer something else than before."""
        wanted = self._wanted_reliability()
        if wanted != self.reliability:
            self._node.destroy_subscription(self._subscription)
            self.reliability = wanted
            self._subscription = self._subscribe()
            self._node.get_logger().info(
                f'{self.topic}: subscribed anew, {wanted.name.lower()} as the publishers offer.'
            )

    def describe(self) -> str:
        """Return topic, type, own reliability and every publisher's, for a log line."""
        publishers = ', '.join(
            f'{offer.node_namespace.rstrip("/")}/{offer.node_name} '
            f'({offer.topic_type}, {offer.qos_profile.reliability.name.lower()})'
            for offer in self._publishers()
        )
        message_type = self._arguments[0]
        type_name = f'{message_type.__module__.partition(".")[0]}/msg/{message_type.__name__}'
        return (
            f'{self.topic} ({type_name}, {self.reliability.name.lower()}): '
            f'{f"published by {publishers}" if publishers else "no publisher"}'
        )

    def has_publisher(self) -> bool:
        """Return whether anybody publishes the topic."""
        return bool(self._publishers())

    def waiting(self) -> Iterator[Any]:
        """Yield the messages that wait in the queue; an executor takes one at a time."""
        for _ in range(self._depth):
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self._arguments[0], False)
            if taken is None:
                return
            yield taken[0]

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _wanted_reliability(self) -> ReliabilityPolicy:
        """Return the best that all publishers offer, or what is fixed."""
        if self._fixed is not None:
            return self._fixed
        offers = [offer.qos_profile.reliability for offer in self._publishers()]
        reliable = all(offer == ReliabilityPolicy.RELIABLE for offer in offers)
        return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT

    def _publishers(self) -> list[TopicEndpointInfo]:
        """Return what is known of the topic's publishers."""
        publishers: list[TopicEndpointInfo] = self._node.get_publishers_info_by_topic(self.topic)
        return publishers

    def _subscribe(self) -> Subscription:
        """Return a subscription with the present reliability."""
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible)
        qos = QoSProfile(
            depth=self._depth, reliability=self.reliability, durability=self._durability
        )
        return self._node.create_subscription(*self._arguments, qos, event_callbacks=events)

    def _on_incompatible(self, event: object) -> None:
        """Tell the remedy, where following is switched off."""
        if self._fixed is not None:
            self._node.get_logger().warning(
                f'A publisher cannot connect: its QoS does not fit. {self.describe()}. Set '
                f'input.reliability to auto or best_effort, or change the publisher.'
            )


class CameraInputs:
    """
    Image and camera_info of one camera.

    Parameters
    ----------
    node : owns the subscriptions.
    config : transport and reliability.
    camera : its name.
    on_image, on_info : called with each message; they must return at once.
    """

    def __init__(
        self,
        node: Node,
        config: NodeConfig,
        camera: str,
        on_image: Callable[[Any], None],
        on_info: Callable[[Any], None],
    ) -> None:
        self._logger = node.get_logger()
        self._on_image, self._on_info = on_image, on_info
        self._declared = config.rectified
        self._last_image_s = time.monotonic()
        self._last_warning_s = -float('inf')
        self._has_image = False
        self._intervals_s: deque[float] = deque(maxlen=LEARNT_INTERVALS)
        is_latched = config.camera_info_latched
        image_type, suffix = {
            'raw': (Image, ''),
            'compressed': (CompressedImage, '/compressed'),
        }[config.transport]
        self._subscriptions = [
            FollowingSubscription(
                node,
                message_type,
                f'{camera}/{name}',
                callback,
                depth,
                config.reliability,
                latched=latched,
            )
            for message_type, name, callback, depth, latched in (
                (CameraInfo, 'camera_info', self._take_info, INFO_DEPTH, is_latched),
                (image_type, f'image_raw{suffix}', self._take_image, IMAGE_DEPTH, False),
            )
        ]

    def check(self) -> None:
        """Follow the publishers, and warn if no image has come for a while; once a second."""
        for subscription in self._subscriptions:
            subscription.follow()
        now_s = time.monotonic()
        if self.is_silent() and now_s - self._last_warning_s > REPEAT_S:
            self._last_warning_s = now_s
            remedy = (
                'Run `moe3d doctor`: large messages need config/fastdds.xml on both sides.'
                if self._subscriptions[-1].has_publisher()
                else 'Check names, remapping, input.transport and ROS_DOMAIN_ID.'
            )
            self._logger.warning(
                f'No image for {now_s - self._last_image_s:.0f} s. {self.describe()}. {remedy}'
            )

    def is_silent(self) -> bool:
        """Return whether images are missing, by the period that the camera has shown."""
        allowed_s = SILENCE_S
        if self._intervals_s:
            allowed_s = max(SILENCE_S, MISSED_IMAGES * float(np.median(self._intervals_s)))
        elif self._has_image:  # its period is not known yet
            allowed_s = SECOND_IMAGE_S
        return time.monotonic() - self._last_image_s > allowed_s

    def is_rectified(self) -> bool | None:
        """Return whether the images are rectified, as declared or named; None = not known."""
        if self._declared is not None:
            return self._declared
        return is_rectified_topic(self._subscriptions[-1].topic) or None

    def describe(self) -> str:
        """Return what is subscribed to, and who publishes it."""
        return '; '.join(subscription.describe() for subscription in self._subscriptions)

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            subscription.destroy()

    def _take_image(self, message: Image | CompressedImage) -> None:
        """Note the time and hand the image on."""
        now_s = time.monotonic()
        if self._has_image:
            self._intervals_s.append(now_s - self._last_image_s)
        self._has_image = True
        self._last_image_s = now_s
        self._last_warning_s = -float('inf')  # silence after this is worth a warning at once
        self._on_image(message)

    def _take_info(self, message: CameraInfo) -> None:
        """
        Hand a camera_info on, and all that wait behind it.

        An executor that is held up takes one message of each topic at a time, while the queues
        forget the oldest: images and camera_infos of the same stamps would hardly ever be taken.
        """
        self._on_info(message)
        for waiting in self._subscriptions[0].waiting():
            self._on_info(waiting)
