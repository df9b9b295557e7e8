"""What the node, and whatever imitates it, does unless somebody chooses otherwise."""

from __future__ import annotations

MAX_VIEWS = 4  # in a window, the newest included
KEYFRAME_INTERVAL_S = 0.3  # between the earlier views of a window, at least
DEPTH_MAX_M = 40.0  # farther is +Inf
