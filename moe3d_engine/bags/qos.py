"""The QoS that a recorded topic was offered with, however its text was edited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

# Names and numbers of the policies: rmw/types.h.
_BEST_EFFORT = ('best_effort', '2')
_TRANSIENT_LOCAL = ('transient_local', '1')
_MAX_DEPTH = 10_000  # more is no number that anybody chose: an overflow, or "all"


@dataclass(frozen=True, slots=True)
class OfferedQos:
    """What a publisher offers, as far as it decides who gets its messages."""

    reliable: bool = True
    transient_local: bool = False
    depth: int = 10


def read_yaml(text: str) -> Any:  # noqa: ANN401
    """
    Return what a YAML text holds.

    Raises
    ------
    ValueError
        If it is no YAML.
    """
    try:
        return YAML(typ='safe', pure=True).load(text)
    except Exception as error:  # the parser raises errors of Python's own too
        raise ValueError(' '.join(str(error).split())) from error


def read_qos(profiles: object) -> OfferedQos | None:
    """
    Return what all publishers of a topic offered together; None if that cannot be read.

    Parameters
    ----------
    profiles : list of profiles, or its YAML text, as metadata and storage files hold it. Policies
        may be names or numbers; what a profile lacks has ROS's default. An empty list or text is
        the default.
    """
    if isinstance(profiles, str):
        try:
            profiles = read_yaml(profiles)
        except ValueError:
            return None
    if not profiles:
        return OfferedQos()
    if not isinstance(profiles, list) or not all(isinstance(p, dict) for p in profiles):
        return None
    return OfferedQos(
        reliable=not any(_policy(p, 'reliability') in _BEST_EFFORT for p in profiles),
        transient_local=all(_policy(p, 'durability') in _TRANSIENT_LOCAL for p in profiles),
        depth=max(_depth(p) for p in profiles) or OfferedQos().depth,
    )


def _policy(profile: dict[str, object], name: str) -> str:
    """Return a policy as a word or a number in lower case."""
    return str(profile.get(name, '')).strip().lower()


def _depth(profile: dict[str, object]) -> int:
    """Return the depth; 0 where it is none that a publisher could have."""
    depth = profile.get('depth')
    return depth if isinstance(depth, int) and 0 < depth <= _MAX_DEPTH else 0
