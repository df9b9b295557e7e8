"""Poses, odometry, sparse points and the scale as messages."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from geometry_msgs.msg import Point
from geometry_msgs.msg import Pose
from geometry_msgs.msg import PoseWithCovariance
from geometry_msgs.msg import PoseWithCovarianceStamped
from geometry_msgs.msg import Quaternion
from geometry_msgs.msg import Transform
from geometry_msgs.msg import TransformStamped
from geometry_msgs.msg import Twist
from geometry_msgs.msg import TwistWithCovariance
from geometry_msgs.msg import Vector3
from moe3d_engine.geometry.cameras import quaternion_from_rotation
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
from moe3d_ros.outputs.messages import fill_data
from moe3d_ros.outputs.odom_frame import Motion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header


def to_pose(a_from_b: Float64Array) -> Pose:
    """Return the pose of frame b in frame a; its quaternion has length 1."""
    return Pose(position=_vector(Point, a_from_b[:3, 3]), orientation=_rotation(a_from_b))


def to_transform(header: Header, child_frame: str, a_from_b: Float64Array) -> TransformStamped:
    """Return the transform of tf2 from the child's coordinates to those of the header's frame."""
    transform = Transform(
        translation=_vector(Vector3, a_from_b[:3, 3]), rotation=_rotation(a_from_b)
    )
    return TransformStamped(header=header, child_frame_id=child_frame, transform=transform)


def to_pose_with_covariance(header: Header, motion: Motion) -> PoseWithCovarianceStamped:
    """Return where a motion's child is, in the header's frame."""
    return PoseWithCovarianceStamped(header=header, pose=_with_covariance(motion))


def to_odometry(header: Header, child_frame: str, motion: Motion) -> Odometry:
    """Return a motion: its pose in the header's frame, its twist in the child's."""
    message = Odometry(header=header, child_frame_id=child_frame, pose=_with_covariance(motion))
    message.twist = TwistWithCovariance(
        twist=Twist(
            linear=_vector(Vector3, motion.velocity[:3]),
            angular=_vector(Vector3, motion.velocity[3:]),
        ),
        covariance=motion.velocity_covariance.ravel(),
    )
    return message


def to_xyz_cloud(header: Header, points: Float32Array | Float64Array) -> PointCloud2:
    """Return (N, 3) points, all of them finite, in the header's frame."""
    message = PointCloud2(header=header, height=1, width=len(points), is_dense=True)
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate('xyz')
    ]
    message.is_bigendian = False
    message.point_step = 12
    message.row_step = 12 * len(points)
    fill_data(message, points.astype('<f4'))
    return message


def to_scale_report(header: Header, scale: Scale, name: str) -> DiagnosticArray:
    """
    Return what turns the network's or the map's unit into the published one, and how surely.

    Parameters
    ----------
    header : its stamp is that of the image from which on the scale holds.
    scale : as it is used.
    name : of the camera.

    Returns
    -------
    DiagnosticArray of one status with the values `factor`, `std` (of the factor's logarithm),
    `source`, `state` and `unit`; a warning while the scale is not locked.
    """
    status = DiagnosticStatus(
        level=DiagnosticStatus.OK if scale.state == 'locked' else DiagnosticStatus.WARN,
        name=f'{name}: scale',
        message=f'{scale.state} by {scale.source}',
        values=[KeyValue(key=key, value=value) for key, value in scale_texts(scale).items()],
    )
    return DiagnosticArray(header=header, status=[status])


def scale_texts(scale: Scale) -> dict[str, str]:
    """Return what is told of a scale."""
    return {
        'factor': f'{scale.factor:.6g}',
        'std': f'{scale.std:.4g}',
        'source': scale.source,
        'state': scale.state,
        'unit': scale.unit,
    }


def _with_covariance(motion: Motion) -> PoseWithCovariance:
    """Return a motion's pose and covariance."""
    return PoseWithCovariance(
        pose=to_pose(motion.odom_from_child), covariance=motion.covariance.ravel()
    )


def _rotation(a_from_b: Float64Array) -> Quaternion:
    """Return the rotation of a transform."""
    x, y, z, w = quaternion_from_rotation(a_from_b[:3, :3]).tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def _vector(kind: type[Point | Vector3], values: Float64Array) -> Point | Vector3:
    """Return three numbers as a message."""
    x, y, z = values.tolist()
    return kind(x=x, y=y, z=z)
