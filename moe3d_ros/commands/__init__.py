"""The commands of `moe3d` that need ROS; their modules import it only when they run."""

from __future__ import annotations

from moe3d_ros.commands import demo as demo
from moe3d_ros.commands import doctor as doctor
from moe3d_ros.commands import evaluate as evaluate
from moe3d_ros.commands import replay as replay
from moe3d_ros.commands import run as run

ROS_COMMANDS = (demo, run, replay, doctor, evaluate)
