"""The data that cross the engine's boundary: views in, reconstructions out."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
import math
from typing import Literal
from typing import NamedTuple
from typing import TypeAlias

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
import numpy as np
from numpy.typing import NDArray

Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
UInt8Array: TypeAlias = NDArray[np.uint8]
RIG = 'rig'  # source of poses in the rig's frame, of one moment: the rig itself may move
ScaleState: TypeAlias = Literal['estimating', 'locked']


@dataclass(frozen=True, slots=True)
class Scale:
    """
    What turns lengths into the unit that is published, and how sure that is.

    Parameters
    ----------
    factor : published unit per unit of the network in this window, or of the tracker's map.
    std : standard deviation of log(factor); inf = nobody has measured it.
    source : who said so: `odometry`, `rig` (known distances between cameras),
        `reference_depth` (a depth camera or a lidar), `fixed` (a
        factor that the user gave), `network` (metres that the weights have learnt), `none` (the
        unit of the session's first window).
    metric : whether the published unit is the metre.
    state : `locked` = the factor stays; `estimating` = it may still move.
    """

    factor: float
    std: float
    source: str
    metric: bool
    state: ScaleState

    @property
    def unit(self) -> str:
        """Return `metric` or `relative`, as files and diagnostics name it."""
        return 'metric' if self.metric else 'relative'

    @property
    def locked(self) -> bool:
        """Whether the factor stays as it is."""
        return self.state == 'locked'


@dataclass(frozen=True, slots=True)
class MotionErrors:
    """
    How wrong the motion from one pose to the next is; one standard deviation.

    Parameters
    ----------
    way_share : of the way along each axis, as a share of its length. The default is what wheels
        usually lose.
    turn_rad : of the turn about each axis.

    Raises
    ------
    ConfigError
        If a number is not positive and finite.
    """

    way_share: float = 0.02
    turn_rad: float = math.radians(0.3)

    def __post_init__(self) -> None:
        """Check the numbers once."""
        if not (0.0 < self.way_share < math.inf and 0.0 < self.turn_rad < math.inf):
            raise ConfigError(
                f'Motion is wrong by a share of its way and by an angle, both above 0; got '
                f'{self.way_share} and {self.turn_rad} rad.'
            )


@dataclass(frozen=True, slots=True, eq=False)
class PosePrior:
    """
    Where a camera stood, as somebody else than the network knows it.

    Parameters
    ----------
    cam_from_world : (4, 4) float64, metres; the world is the source's own.
    source : who said so, such as `odometry` or `rig`.
    errors : of the motion to it from the pose before.

    Raises
    ------
    ShapeError
        If the matrix has another shape.
    """

    cam_from_world: Float64Array
    source: str
    errors: MotionErrors = MotionErrors()

    def __post_init__(self) -> None:
        """Check the shape once."""
        if self.cam_from_world.shape != (4, 4):
            raise ShapeError(f'A pose is a 4x4 matrix; got shape {self.cam_from_world.shape}.')


@dataclass(frozen=True, slots=True, eq=False)
class SparsePoints:
    """
    What an image sees of points whose depth is known by more than this image.

    Parameters
    ----------
    pixels : (N, 2) float64, u and v on the image's own pixels.
    depth : (N,) float64 along optical z, in the unit of the pose's scale.
    points_odom : (N, 3) float64, the same in the world of the pose.
    """

    pixels: Float64Array
    depth: Float64Array
    points_odom: Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """
    One rectified camera image.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB.
    intrinsics : (3, 3) float64 in pixels of `image`, zero skew, pixel centres at integer
        coordinates; None where the camera is not calibrated.
    stamp_ns : acquisition time in nanoseconds.
    frame_id : name of the camera's optical frame (x right, y down, z forward; REP 103).
    camera : name of the camera in a rig.
    seen : (H, W) bool, False where a rectified image shows nothing that the camera has seen;
        None = it has seen every pixel.
    pose : where the camera stood, if somebody else than the network knows.
    points : that it sees, in the unit of `pose`; None = nobody knows any.

    Raises
    ------
    ShapeError
        If `image`, `intrinsics` or `seen` has another shape or type.
    """

    image: UInt8Array
    intrinsics: Float64Array | None = None
    stamp_ns: int = 0
    frame_id: str = ''
    camera: str = 'camera'
    seen: NDArray[np.bool_] | None = None
    pose: PosePrior | None = None
    points: SparsePoints | None = None

    def __post_init__(self) -> None:
        """Check the shapes once."""
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ShapeError(
                f'A view needs an RGB image of shape (H, W, 3) and type uint8; got shape '
                f'{self.image.shape} and type {self.image.dtype}. Convert it to RGB first.'
            )
        if self.intrinsics is not None and self.intrinsics.shape != (3, 3):
            raise ShapeError(f'Intrinsics are a 3x3 matrix; got shape {self.intrinsics.shape}.')
        if self.seen is not None and self.seen.shape != self.image.shape[:2]:
            raise ShapeError(
                f'The mask of seen pixels has the size of the image, {self.image.shape[:2]}; got '
                f'{self.seen.shape}.'
            )

    @property
    def stands_on_rig(self) -> bool:
        """Whether all that is known of the pose is where the camera sits on a rig."""
        return self.pose is not None and self.pose.source == RIG


class WindowCameras(NamedTuple):
    """
    The cameras of a window of `V` views, as a network compares them, in its pixels and its unit.

    Parameters
    ----------
    intrinsics : (V, 3, 3) in pixels of the network's input, pixel centres at integers.
    cam_from_world : (V, 4, 4), of any world.
    trust : (V,) in [0, 1], how far a pose is to be relied on: 1 / (1 + e^2), where e is the
        deviation in pixels that the pose's own covers at the scene's depth; 0 = there is no pose.
    hint : (P, 2, H / 4, W / 4) for the published views, log depth at tracked points and how sure
        it is, in [0, 1]; None = there is none.
    """

    intrinsics: Float32Array | Float64Array
    cam_from_world: Float32Array | Float64Array
    trust: Float32Array | Float64Array
    hint: Float32Array | None = None


class RawOutputs(NamedTuple):
    """
    What a backend returns: the network's outputs as numpy arrays that the caller owns.

    `P` published views of `V` views in the batch; `H`, `W` is the network's resolution.
    """

    depth: Float32Array  # (P, H, W), along optical z, in the unit of the weights
    boundary_confidence: Float32Array  # (P, H, W), probability in [0, 1]; see model/mixture.py
    agreement: Float32Array  # (P, H, W), gate weight that agrees with the depth, in [0, 1]
    pose_encoding: Float32Array  # (V, 9): translation, quaternion xyzw, fov_h, fov_w in rad
    depth_confidence: Float32Array  # (P, H, W), VGGT's, above 1 and no probability

    def of(self, published: slice) -> RawOutputs:
        """Return the outputs of some published views; poses are of all views."""
        return RawOutputs(
            self.depth[published],
            self.boundary_confidence[published],
            self.agreement[published],
            self.pose_encoding,
            self.depth_confidence[published],
        )


class ViewResult(NamedTuple):
    """What is published of one view; arrays are those of its Reconstruction."""

    view: View
    image: UInt8Array  # (H, W, 3), RGB
    intrinsics: Float64Array  # (3, 3), pixels of `depth`
    depth_raw: Float32Array  # (H, W)
    depth: Float32Array  # (H, W)
    boundary_confidence: Float32Array  # (H, W)
    cam_from_world: Float64Array  # (4, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """
    The result for one window of `V` views, of which `P` are published. It owns its arrays.

    Parameters
    ----------
    views : the V input views, oldest first; several cameras may share a stamp.
    published : indices into `views` of the P published ones.
    image : (P, H, W, 3) uint8, the pixels that belong to the depth pixels.
    intrinsics : (P, 3, 3) float64, pixels of `depth`.
    depth_raw : (P, H, W) float32 along optical z, before rejection and range limits; finite.
    depth : (P, H, W) float32; NaN = unknown or rejected, +Inf = beyond range (REP 117).
    boundary_confidence : (P, H, W) float32 in [0, 1]; finite, 0 where `depth` is NaN.
    cam_from_world : (V, 4, 4) float64; the world is the first view's camera frame.
    scale : unit of depth and translations.
    raw : the network's outputs for the published views, in its own unit.
    timings_ms : duration of each stage.
    """

    views: tuple[View, ...]
    published: tuple[int, ...]
    image: UInt8Array
    intrinsics: Float64Array
    depth_raw: Float32Array
    depth: Float32Array
    boundary_confidence: Float32Array
    cam_from_world: Float64Array
    scale: Scale
    raw: RawOutputs
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def results(self) -> tuple[ViewResult, ...]:
        """Return what is published of each published view, in the order of `published`."""
        return tuple(
            ViewResult(
                self.views[index],
                self.image[slot],
                self.intrinsics[slot],
                self.depth_raw[slot],
                self.depth[slot],
                self.boundary_confidence[slot],
                self.cam_from_world[index],
            )
            for slot, index in enumerate(self.published)
        )
