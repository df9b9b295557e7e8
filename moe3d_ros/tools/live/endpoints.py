"""Who publishes and who subscribes, and why the two do not find each other."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

from moe3d_ros.tools.consumers.facts import Trouble

# As DDS orders them (RxO): what is offered must be at least what is requested.
RELIABILITIES = ('best_effort', 'reliable')
DURABILITIES = ('volatile', 'transient_local')
LIVELINESS = ('automatic', 'manual_by_topic')


class Endpoint(NamedTuple):
    """
    A publisher or a subscription.

    Parameters
    ----------
    node : full name of its node.
    type : of its messages.
    reliability, durability, liveliness : as `reliable`, `transient_local`, `automatic`.
    deadline_ns, lease_ns : 0 = none.
    """

    node: str
    type: str
    reliability: str = 'reliable'
    durability: str = 'volatile'
    liveliness: str = 'automatic'
    deadline_ns: int = 0
    lease_ns: int = 0


def conflicts(offered: Endpoint, requested: Endpoint) -> Iterator[tuple[str, str, str]]:
    """
    Yield the policies for which a publisher and a subscription do not match.

    Parameters
    ----------
    offered : the publisher.
    requested : the subscription.

    Yields
    ------
    Policy, what is offered, what is requested. A policy that the graph does not tell matches.
    """
    for policy, order in (
        ('reliability', RELIABILITIES),
        ('durability', DURABILITIES),
        ('liveliness', LIVELINESS),
    ):
        offer, request = getattr(offered, policy), getattr(requested, policy)
        if offer in order and request in order and order.index(offer) < order.index(request):
            yield policy, offer, request
    for policy in ('deadline_ns', 'lease_ns'):
        offer_ns, request_ns = getattr(offered, policy), getattr(requested, policy)
        if request_ns and (not offer_ns or offer_ns > request_ns):
            offer = f'{offer_ns} ns' if offer_ns else 'none'
            yield policy.removesuffix('_ns'), offer, f'{request_ns} ns'


def mismatches(
    topic: str, publishers: Iterable[Endpoint], subscriptions: Iterable[Endpoint]
) -> Iterator[Trouble]:
    """Yield each pair of ends of a topic that do not connect, with what keeps them apart."""
    subscribed = list(subscriptions)
    for publisher in publishers:
        for subscription in subscribed:
            pair = f'from {publisher.node} to {subscription.node}'
            if publisher.type != subscription.type:
                yield Trouble(
                    topic,
                    pair,
                    f'{publisher.type} is published, {subscription.type} is expected: nothing '
                    f'arrives.',
                    'Remap one of the two, or tell the subscriber the right type.',
                )
                continue
            for policy, offer, request in conflicts(publisher, subscription):
                yield Trouble(
                    topic,
                    pair,
                    f'the {policy} that is offered is {offer}, {request} is asked for: nothing '
                    f'arrives.',
                    f'Let {subscription.node} ask for {offer}, or {publisher.node} offer '
                    f'{request}.',
                )
