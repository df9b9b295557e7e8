"""The commands of `moe3d` that need ROS; their modules import it only when they run."""

from __future__ import annotations

from moe3d_ros.commands import demo
from moe3d_ros.commands import doctor
from moe3d_ros.commands import replay
from moe3d_ros.commands import run

ROS_COMMANDS = (demo, run, replay, doctor)
