"""A bag's depth and poses into maps of others, one per way to publish, and the truth beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

from moe3d_engine.clearing import free_depth
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import fitted_view
from moe3d_engine.intake.drops import Drop
from moe3d_engine.lab.mappers.open import Mapper
from moe3d_engine.lab.mappers.open import MAPPERS
from moe3d_engine.lab.mappers.open import open_mapper
from moe3d_engine.lab.mappers.scans import Scan
from moe3d_engine.lab.metrics.voxels.judge import TOLERANCE_M
from moe3d_engine.lab.metrics.voxels.judge import up_axis
from moe3d_engine.lab.metrics.voxels.judge import VoxelJudge
from moe3d_engine.lab.runs.bag_run import FrameOutcome
from moe3d_engine.policy import limit_range
from moe3d_engine.policy import Thresholds
from moe3d_engine.tracking.stream import TRACKED
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
import numpy as np

MapFigures = dict[str, dict[str, float]]
POSES = ('published', 'true')
TRUTH = 'truth'


@dataclass(frozen=True, slots=True)
class MapOptions:
    """
    Which maps are made.

    Parameters
    ----------
    mappers : names, see `open_mapper`.
    poses : where scans are put: `published` = as tracked, the first one at its true place;
        `true` = at their true places, so that depth alone is judged.
    baseline : name of another network's depth in the figures; None = none.
    tolerance_m : how far from its true place a surface may be.

    Raises
    ------
    ConfigError
        If nobody knows the poses, or the tolerance is no length.
    """

    mappers: tuple[str, ...]
    poses: str = 'published'
    baseline: str | None = None
    tolerance_m: float = TOLERANCE_M

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.poses not in POSES:
            raise ConfigError(f'--map-poses is one of {", ".join(POSES)}; got {self.poses!r}.')
        if not 0 <= self.tolerance_m < math.inf:
            raise ConfigError(f'--map-tolerance is a length in metres; got {self.tolerance_m}.')


class BagMaps:
    """
    Gives each frame of a run to a map per mapper and per way to publish, and to one of the truth.

    Only pixels whose true depth is known go in, the same of each way: what nobody knows judges
    nothing.

    Parameters
    ----------
    options : which maps.
    thresholds : those that depth is published with.
    baseline : gives the depth (H, W) of a window's newest view by another network, where
        `options` name one.

    Raises
    ------
    ConfigError
        If a mapper is not known or not installed.
    """

    def __init__(
        self,
        options: MapOptions,
        thresholds: Thresholds,
        baseline: Callable[[Reconstruction], Float32Array] | None = None,
    ) -> None:
        self.options = options
        self._thresholds = thresholds
        self._baseline = baseline
        self._makers = {name: open_mapper(name) for name in options.mappers}
        self._maps: dict[str, dict[str, Mapper]] = {name: {} for name in options.mappers}
        self._true_poses: list[Float64Array] = []
        self._world_from_odom: Float64Array | None = None

    def add(self, outcome: FrameOutcome) -> None:
        """
        Add a frame; one without truth, true pose or, where poses are published, pose adds nothing.

        Raises
        ------
        InputError
            If its depth is not in metres.
        """
        result = outcome.result
        if isinstance(result, Drop) or outcome.truth is None or outcome.true_pose is None:
            return
        if not result.scale.metric:
            raise InputError(
                'Maps are judged in metres, but depth has none. Give the bag a source of metres: '
                '--reference-depth or --scale-factor.'
            )
        world_from_cam = self._place(result, outcome.true_pose)
        if world_from_cam is None:
            return
        self._true_poses.append(outcome.true_pose)
        known = np.isfinite(outcome.truth) & (outcome.truth > 0)
        scans = self._scans(result, world_from_cam)
        scans[TRUTH] = Scan(outcome.truth, result.intrinsics[0], outcome.true_pose)
        for way, scan in scans.items():
            for name, maps in self._maps.items():
                if scan.free_m is not None and not MAPPERS[name].takes_free_rays:
                    continue
                maps.setdefault(way, self._makers[name]()).insert(scan.only(known))

    def figures(self) -> dict[str, MapFigures]:
        """
        Return the figures by mapper and way: of the maps as they are and at one coverage.

        Returns
        -------
        For each way `map_coverage`, `map_phantoms`, `map_obstacles_m2` and `map_cleared` of the
        map as its mapper gives it. Names that end in `_at` are of voxels sure enough that all
        maps of a mapper cover as much of the true surfaces as the one that covers least.

        Raises
        ------
        InputError
            If no frame had what a map needs.
        """
        if not self._true_poses:
            raise InputError(
                'No frame of the bag has depth, a true pose and a pose that is published, so '
                'there is no map to judge. Name --depth-topic and --pose-topic, or use '
                '--map-poses true.'
            )
        up = up_axis(self._true_poses)
        tolerance_m = self.options.tolerance_m
        return {name: _judge(maps, up, tolerance_m) for name, maps in self._maps.items()}

    def _place(self, result: Reconstruction, true_pose: Float64Array) -> Float64Array | None:
        """Return world_from_cam where the newest view is put; None = its pose is not known."""
        if self.options.poses == 'true':
            return true_pose
        prior = result.views[result.published[0]].pose
        if prior is None or prior.source != TRACKED:
            return None
        odom_from_cam = invert_rigid(prior.cam_from_world)
        if self._world_from_odom is None:
            self._world_from_odom = true_pose @ prior.cam_from_world
        placed: Float64Array = self._world_from_odom @ odom_from_cam
        return placed

    def _scans(self, result: Reconstruction, world_from_cam: Float64Array) -> dict[str, Scan]:
        """Return the newest view's depth by way to publish."""
        newest, limits = result.results[0], self._thresholds
        raw = limit_range(newest.depth_raw, limits.depth_min_m, limits.depth_max_m)
        seen = fitted_view(newest.view, newest.image).seen
        free = free_depth(newest.depth_raw, newest.depth, limits, seen=seen)
        place = (newest.intrinsics, world_from_cam)
        scans = {
            'published': Scan(newest.depth, *place),
            'published, clearing': Scan(newest.depth, *place, free),
            'before rejection': Scan(raw, *place),
        }
        if self._baseline is not None and self.options.baseline is not None:
            scans[self.options.baseline] = Scan(self._baseline(result), *place)
        return scans


def _judge(maps: dict[str, Mapper], up: Float64Array, tolerance_m: float) -> MapFigures:
    """Return the figures of each way's map of one mapper."""
    voxels = {way: made.voxels() for way, made in maps.items()}
    judge = VoxelJudge(voxels.pop(TRUTH), up, tolerance_m)
    coverage = min(map(judge.coverage, voxels.values()), default=math.nan)
    figures: MapFigures = {}
    for way, tested in voxels.items():
        equal = judge.figures(tested, coverage)
        figures[way] = judge.figures(tested) | {f'{name}_at': x for name, x in equal.items()}
    return figures
