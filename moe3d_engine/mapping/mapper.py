"""Makes and refines the map: keyframes, depth that comes later, the unit."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.depth_guess import depth_at
from moe3d_engine.mapping.depth_guess import guess_places
from moe3d_engine.mapping.depth_guess import unit_of
from moe3d_engine.mapping.flow import Corners
from moe3d_engine.mapping.flow import median_parallax_px
from moe3d_engine.mapping.flow import MIN_CORNERS
from moe3d_engine.mapping.motion_check import MotionCheck
from moe3d_engine.mapping.sightings import Sighting
from moe3d_engine.mapping.sparse_map import CONTRADICTION
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.mapping.sparse_map import PointState
from moe3d_engine.mapping.sparse_map import Refinement
from moe3d_engine.mapping.sparse_map import SparseMap
from moe3d_engine.mapping.start import start_pose
from moe3d_engine.scale.depth_ratio import depth_observation
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.scale.estimator import ScaleObservation
from moe3d_engine.scale.motion import MotionObserver
from moe3d_engine.types import Float64Array
from moe3d_engine.types import ViewResult
import numpy as np

KEYFRAME_PARALLAX = 0.03  # of the image's width
KEYFRAME_KEPT = 0.6  # of the last keyframe's corners
MIN_MEASURED = 50  # points that a depth camera knows, to do without triangulation at the start
POSITION_STD, ROTATION_STD_RAD = 0.006, 0.004  # of a keyframe; the first relative to depth


class Mapper:
    """
    Owns a map from its first keyframe on.

    It is `begun` when it has placed its first points, and its unit is known when odometry,
    measured depth or the network has said what a length is; the network's word may come late. One
    thread uses a mapper; refinement runs in a thread of its own where there is an executor for it.

    Parameters
    ----------
    first : the first keyframe, the origin of the map.
    sparse_map : empty but for the corners of `first`.
    scale : estimates metres per unit; odometry and measured depth are reported to it.
    executor : runs refinements; None = at once, in the caller's thread.
    """

    def __init__(
        self,
        first: Keyframe,
        sparse_map: SparseMap,
        scale: ScaleEstimator,
        executor: ThreadPoolExecutor | None,
    ) -> None:
        self.map = sparse_map
        self.map.add_keyframe(first)
        self.begun = False
        self.unit_known = False
        self.disagreement = ''  # between vision and odometry
        self.clean_ns = first.stamp_ns  # of the last keyframe that hardly anything contradicts
        self.num_clean = 0  # of such keyframes in succession
        self._contradictions = (0.0, 0.0)  # of the last two keyframes
        self._scale = scale
        self._motion = MotionObserver()
        self._check = MotionCheck()
        self._executor = executor
        self._pending: Future[Refinement] | None = None

    @property
    def newest(self) -> Keyframe:
        """The newest keyframe."""
        return self.map.keyframes[-1]

    @property
    def doubt(self) -> float:
        """
        How far the images contradict the poses, from 0 to 1 = they follow something that moves.

        Both of the last two keyframes must say so; a single one may be blurred.
        """
        least, most = CONTRADICTION
        return min(1.0, max(0.0, (min(self._contradictions) - least) / (most - least)))

    # Keyframes

    def is_due(self, cam_from_map: Float64Array, corners: Corners, width: int) -> bool:
        """Return whether a keyframe is due: by parallax, or because corners go out of sight."""
        if self._pending is not None:
            return False
        newest = self.newest
        _, one, two = np.intersect1d(
            newest.identities, corners.identities, assume_unique=True, return_indices=True
        )
        if len(one) < KEYFRAME_KEPT * len(newest.identities) or len(one) < MIN_CORNERS:
            return True
        rotation = cam_from_map[:3, :3] @ newest.cam_from_map[:3, :3].T
        pixels = newest.pixels[one], corners.pixels[two].astype(np.float64)
        return median_parallax_px(*pixels, rotation, newest.intrinsics) > KEYFRAME_PARALLAX * width

    def begin(self, keyframe: Keyframe, width: int) -> bool:
        """Try to begin the map with a second keyframe, which is added then."""
        first = self.newest
        start = start_pose(
            self.map, first, keyframe, KEYFRAME_PARALLAX * width,
            by_odometry=self._scale.measures('odometry'),
        )  # fmt: skip
        if start is None:
            return False
        keyframe.cam_from_map = start.second_from_first @ first.cam_from_map
        self.begun, self.unit_known = True, start.unit_known
        if start.log_std is not None:  # odometry's metre is the unit of the map
            observed = ScaleObservation(0.0, start.log_std, keyframe.stamp_ns, 'odometry')
            self._scale.observe(observed)
        self.add(keyframe)
        return True

    def add(self, keyframe: Keyframe) -> None:
        """Add a keyframe and refine the map with it."""
        self.map.add_keyframe(keyframe)
        unit_m = self._scale.scale.factor if self._scale.measures('odometry') else None
        snapshot = self.map.snapshot(unit_m)
        if self._executor is None:
            snapshot.refine()
            self._adopt(snapshot)
        else:
            self._pending = self._executor.submit(_refined, snapshot)

    def adopt(self) -> None:
        """Take over a refinement that has ended meanwhile."""
        if self._pending is not None and self._pending.done():
            done, self._pending = self._pending.result(), None
            self._adopt(done)

    def _adopt(self, refined: Refinement) -> None:
        """Take over a refinement, and compare its newest keyframe with odometry."""
        self.map.adopt(refined)
        newest = refined.keyframes[-1]
        self._contradictions = (self._contradictions[1], refined.contradiction)
        if refined.contradiction <= CONTRADICTION[0]:
            self.clean_ns = newest.stamp_ns
        self.num_clean = self.num_clean + 1 if refined.is_clean else 0
        if newest.prior is None:
            return
        position_std = POSITION_STD * refined.median_depth()
        map_from_cam = invert_rigid(newest.cam_from_map)
        observed = self._motion.observe(newest.stamp_ns, map_from_cam, position_std, newest.prior)
        if observed is not None:
            self._scale.observe(observed)
        disagreement = self._check.observe(
            newest.stamp_ns, map_from_cam, position_std, ROTATION_STD_RAD, newest.prior,
            self._scale.scale,
        )  # fmt: skip
        self.disagreement = '' if disagreement is None else str(disagreement)

    # Depth of images that were tracked before

    def take_depth(self, sighting: Sighting, result: ViewResult) -> float:
        """
        Guess the places of new points by the network's depth.

        Returns
        -------
        By how much all lengths have grown: 1, but for the depth that tells the unit.
        """
        depth = depth_at(result, sighting)
        unit = unit_of(self.map, sighting, depth)
        if self.begun and not self.unit_known:
            if unit is None or self._pending is not None:
                return 1.0
            self.unit_known = True
            self.map.rescale(unit)
            return unit
        guess_places(self.map, sighting, depth / (unit or 1.0), PointState.GUESSED)
        return 1.0

    def take_reference(self, sighting: Sighting, reference: ReferenceDepth) -> None:
        """
        Place points by measured depth, and tell the scale what it says of the others.

        Points that a rig's cameras see stand for their surroundings and place no others exactly.
        """
        if not self._scale.measures(reference.source) or (self.begun and not self.unit_known):
            return
        metres = reference.at(
            sighting.corners.pixels.astype(np.float64), sighting.intrinsics, sighting.image_hw
        )
        placed = np.where(sighting.placed, sighting.depth, np.nan)
        observed = depth_observation(
            metres, placed, reference.stamp_ns, reference.source, reference.common_log_std
        )
        if observed is not None:
            self._scale.observe(observed)
        if reference.source == 'rig':
            return
        units = metres / self._scale.scale.factor
        guess_places(self.map, sighting, units, PointState.MEASURED)
        keyframe = next((k for k in self.map.keyframes if k.stamp_ns == reference.stamp_ns), None)
        if keyframe is not None:
            index = np.searchsorted(sighting.corners.identities, keyframe.identities)
            keyframe.measured_depth = units[index]
        if not self.begun:
            self.begun = int(np.count_nonzero(np.isfinite(units))) >= MIN_MEASURED
            self.unit_known = self.begun


def _refined(snapshot: Refinement) -> Refinement:
    """Return a refinement after its work."""
    snapshot.refine()
    return snapshot
