"""The consumers whose settings are known, and how a node is recognised as one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from moe3d_ros.tools.consumers import nav2
from moe3d_ros.tools.consumers import nvblox
from moe3d_ros.tools.consumers import octomap
from moe3d_ros.tools.consumers import robot_localization
from moe3d_ros.tools.consumers import rtabmap
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Trouble


class Rules(Protocol):
    """What is known of a kind of consumer; each is a module."""

    NAME: str

    def recognises(self, consumer: Consumer, /) -> bool:
        """Return whether a node has its parameters."""

    def frames(self, consumer: Consumer, /) -> list[tuple[str, str]]:
        """Return parameters that name a frame into which its input is transformed."""

    def troubles(self, consumer: Consumer, outputs: Outputs, /) -> Iterable[Trouble]:
        """Return the settings and streams that drop or spoil data."""


RULES: tuple[Rules, ...] = (nav2, nvblox, octomap, robot_localization, rtabmap)


def rules_for(consumer: Consumer) -> Rules | None:
    """Return the rules for a node; None where its parameters are those of no known consumer."""
    return next((rules for rules in RULES if rules.recognises(consumer)), None)
