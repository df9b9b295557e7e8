"""Who is there: topics with their ends, and what each node subscribes to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from typing import TYPE_CHECKING

from moe3d_ros.tools.live.endpoints import Endpoint

if TYPE_CHECKING:
    from rclpy.node import Node

Ends = tuple[list[Endpoint], list[Endpoint]]  # publishers, subscriptions


def topic_types(node: Node) -> dict[str, str]:
    """Return the type of each topic; where there are several, the first."""
    return {name: types[0] for name, types in node.get_topic_names_and_types() if types}


def ends_of(node: Node, topic: str) -> Ends:
    """Return the publishers and subscriptions of a topic, but for those of `node` itself."""
    own = node.get_fully_qualified_name()
    publishers, subscriptions = (
        [end for end in map(_endpoint, infos) if end.node != own]
        for infos in (
            node.get_publishers_info_by_topic(topic),
            node.get_subscriptions_info_by_topic(topic),
        )
    )
    return publishers, subscriptions


def published_topics(node: Node, topics: Collection[str]) -> frozenset[str]:
    """Return those of the topics that have a publisher."""
    return frozenset(topic for topic in topics if node.count_publishers(topic))


def inputs_of(node: Node, name: str) -> dict[str, str]:
    """Return the type by topic of what a node subscribes to; nothing if it has gone."""
    from rclpy.node import NodeNameNonExistentError

    namespace, _, base = name.rpartition('/')
    try:
        found = node.get_subscriber_names_and_types_by_node(base, namespace or '/')
    except NodeNameNonExistentError:
        return {}
    return {topic: types[0] for topic, types in found if types}


def _endpoint(info: Any) -> Endpoint:  # noqa: ANN401
    """Return an end as the graph tells it."""
    profile = info.qos_profile
    return Endpoint(
        node=f'{info.node_namespace.rstrip("/")}/{info.node_name}',
        type=info.topic_type,
        reliability=profile.reliability.name.lower(),
        durability=profile.durability.name.lower(),
        liveliness=profile.liveliness.name.lower(),
        deadline_ns=_finite_ns(profile.deadline),
        lease_ns=_finite_ns(profile.liveliness_lease_duration),
    )


def _finite_ns(duration: Any) -> int:  # noqa: ANN401
    """Return a duration in ns; 0 where it is infinite or not set."""
    nanoseconds = int(duration.nanoseconds)
    return nanoseconds if nanoseconds < 2**62 else 0
