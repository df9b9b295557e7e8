"""Names of the node's topics, said once for the node, the launch file's users and the tools."""

from __future__ import annotations

from typing import NamedTuple

NODE_NAME = 'moe3d'
DIAGNOSTICS = '/diagnostics'
RESET_SERVICE = '~/reset'
MERGED_POINTS = '~/points'  # of all cameras of a rig, in its frame
SAVE_CLOUD_SERVICE = '~/save_cloud'


class OutputTopics(NamedTuple):
    """The outputs of one camera."""

    depth: str
    camera_info: str
    boundary_confidence: str
    color: str
    points: str  # of metric depth only, as the next one
    points_clearing: str


def output_topics(camera: str, *, metric: bool, node: str = '~') -> OutputTopics:
    """
    Return the names of a camera's outputs.

    Parameters
    ----------
    camera : its name.
    metric : whether depth is in metres; relative depth has topics of its own.
    node : the node's name in the graph; `~` = as the node itself says it.
    """
    depth = f'{node}/{camera}/{"depth" if metric else "relative_depth"}'
    return OutputTopics(
        f'{depth}/image_rect',
        f'{depth}/camera_info',
        f'{node}/{camera}/boundary_confidence',
        f'{node}/{camera}/color/image_rect',
        f'{node}/{camera}/points',
        f'{node}/{camera}/points_clearing',
    )


class MotionTopics(NamedTuple):
    """What is published of the poses of one camera."""

    pose: str  # of the camera
    odometry: str  # of the robot's base, where the camera's place on it is known
    path: str
    sparse_points: str
    scale: str  # latched


def motion_topics(camera: str, *, node: str = '~') -> MotionTopics:
    """Return the names of what is published of a camera's poses; `node` as in `output_topics`."""
    return MotionTopics(
        f'{node}/{camera}/pose',
        f'{node}/odometry',
        f'{node}/path',
        f'{node}/{camera}/sparse_points',
        f'{node}/scale',
    )


def drops_topic(node: str = '~') -> str:
    """Return the name of the topic of images that are not published."""
    return f'{node}/drops'
