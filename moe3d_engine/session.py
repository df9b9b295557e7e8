"""From views to reconstructions: start reading here. The one loop of node, bags and demo."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import logging

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.geometry.cameras import cam_from_world_from_pose_encoding
from moe3d_engine.geometry.cameras import intrinsics_of
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.fit import FittedView
from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.intake.order import why_stale
from moe3d_engine.network import Engine
from moe3d_engine.network import FeatureCache
from moe3d_engine.network import timed
from moe3d_engine.policy import publish_depth
from moe3d_engine.policy import Thresholds
from moe3d_engine.rig.metres import rig_scale
from moe3d_engine.rig.poses import check_one_size
from moe3d_engine.scale import ScaleConfig
from moe3d_engine.scale import ScaleEstimator
from moe3d_engine.scale import UnitTracker
from moe3d_engine.tracking.point_unit import PointUnit
from moe3d_engine.tracking.stream import POSE_SOURCES
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import RIG
from moe3d_engine.types import Scale
from moe3d_engine.types import View
from moe3d_engine.window import KeyframeWindow
from moe3d_engine.window import nobody_knows
from moe3d_engine.window import WindowConfig
from moe3d_engine.window_cameras import KnownCameras
from moe3d_engine.window_cameras import tracked_poses
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """
    What may be set of a session; only thresholds and a fixed factor may change later.

    Parameters
    ----------
    window, thresholds, scale : see there.
    poses : where poses come from: `tracking` of the images, `odometry`, which vision then checks,
        or the `network`.

    Raises
    ------
    ConfigError
        If nobody knows the source.
    """

    window: WindowConfig = field(default_factory=WindowConfig)
    thresholds: Thresholds = field(default_factory=Thresholds)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    poses: str = 'tracking'

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.poses not in (*POSE_SOURCES, 'network'):
            raise ConfigError(
                f'poses.source is one of {", ".join((*POSE_SOURCES, "network"))}; got '
                f'{self.poses!r}.'
            )


def log_restart(restart: Restart) -> None:
    """Say that a window begins anew, where that is news."""
    if restart.text:
        logger.info('%s', restart.text)


class Session:
    """
    Reconstructs the views of one stream and owns its state: window, features, unit, tracking.

    `push_frame` takes the messages of a camera from the beginning to the end. Where poses go out
    at the rate of the images, one thread gives each of them to `tracking`, and another one calls
    `push` with the views that the network has time for. `reconstruct` takes a whole window at
    once. The engine may serve another session after it.

    Parameters
    ----------
    engine : runs the network; it stays open when the session ends.
    config : window, thresholds, and the sources of metres and poses.
    on_restart : called when the window begins anew.
    threaded : whether the tracker refines its map in a thread of its own; off, results repeat.
    """

    def __init__(
        self,
        engine: Engine,
        config: SessionConfig | None = None,
        on_restart: Callable[[Restart], object] = log_restart,
        *,
        threaded: bool = False,
    ) -> None:
        self.engine = engine
        self._config = config or SessionConfig()
        self._on_restart = on_restart
        self._features = FeatureCache()
        self._unit = UnitTracker(engine.spec.metric)
        self._point_unit = PointUnit()
        self._newest: View | None = None  # of the stream; None = the window is empty
        self.tracking: StreamTracker | None = None  # None: poses are the network's
        if self._config.poses != 'network':
            estimator = ScaleEstimator(self._config.scale, metric_weights=engine.spec.metric)
            self.tracking = StreamTracker(estimator, self._config.poses, threaded=threaded)
        self._cameras: KnownCameras | None = None  # a network that does not compare needs none
        by_pose = nobody_knows
        if engine.spec.sweeps:
            self._cameras = KnownCameras(engine.spec.input_hw, self.tracking)
            by_pose = self._cameras.has_moved
        self._window = KeyframeWindow(self._config.window, by_pose)

    @property
    def config(self) -> SessionConfig:
        """The settings that the next window will use."""
        return self._config

    def close(self) -> None:
        """End tracking; the engine stays open."""
        if self.tracking is not None:
            self.tracking.close()

    def configure(self, thresholds: Thresholds) -> None:
        """Replace the thresholds, from the next window on; any thread may call it."""
        self._config = replace(self._config, thresholds=thresholds)

    def set_scale_factor(self, factor: float) -> None:
        """
        Replace the factor of a fixed scale, from the next image on; any thread may call it.

        Raises
        ------
        ConfigError
            If `scale.source` is not fixed, or the factor is no number above 0.
        """
        scale = self._config.scale.with_factor(factor)
        if self.tracking is not None:
            self.tracking.set_scale_factor(factor)
        self._config = replace(self._config, scale=scale)
        self._point_unit.reset()  # what it keeps is a ratio of before

    def push_frame(
        self, camera: CameraIntake, image: Message, info: Message
    ) -> Reconstruction | Drop:
        """Decode and rectify an image, and reconstruct the window that it completes."""
        stamp = stamp_ns(image)
        stale = self._check_order(stamp)
        if stale:
            return Drop(DropReason.STALE_STAMP, stamp, stale, camera.camera)
        timings_ms: dict[str, float] = {}
        with timed(timings_ms, 'rectify'):
            view = camera.view_or_drop(image, info)
        if isinstance(view, Drop):
            return view
        if self.tracking is not None:
            tracked = self.tracking.track(view)
            if isinstance(tracked, Drop):
                return tracked
            view = tracked.view
            timings_ms.update(tracked.timings_ms)
        result = self.push((view,))
        if isinstance(result, Reconstruction):
            result.timings_ms.update(timings_ms)
        return result

    def push(self, views: Sequence[View]) -> Reconstruction | Drop:
        """
        Reconstruct the window that the views of one moment complete; only they are published.

        Parameters
        ----------
        views : of one stamp, one per camera.

        Returns
        -------
        Reconstruction, or the Drop that says why there is none.
        """
        first = views[0]
        stale = self._check_order(first.stamp_ns)
        if stale:
            return Drop(DropReason.STALE_STAMP, first.stamp_ns, stale, first.camera)
        if self._newest is not None and self._newest.image.shape != first.image.shape:
            before, now = (f'{v.image.shape[1]}x{v.image.shape[0]}' for v in (self._newest, first))
            text = f'The images have changed from {before} to {now}: the window begins anew.'
            self.restart(RestartReason.SIZE_CHANGED, text)
        try:
            if len(views) > 1:
                check_one_size(views)
            for view in views:
                fit_geometry(view.image.shape[:2], self.engine.spec.input_hw)
        except InputError as error:
            return Drop(DropReason.BAD_IMAGE, first.stamp_ns, str(error), first.camera)
        self._newest = first
        if first.stands_on_rig:
            self._window.clear()  # nobody knows how the rig has moved since
            self._unit.reset()
        window = self._window.push(views)
        try:
            result = self.reconstruct(window.views, window.newest)
        except Moe3dError as error:
            self.restart(RestartReason.BAD_OUTPUT)
            return Drop(DropReason.BAD_OUTPUT, first.stamp_ns, str(error), first.camera)
        for view_result in result.results:
            if self._cameras is not None:
                self._cameras.remember(view_result)
            if self.tracking is not None:
                self.tracking.add_depth(view_result)
        return result

    def reconstruct(
        self, views: Sequence[View], publish: Sequence[int] | None = None
    ) -> Reconstruction:
        """
        Reconstruct a window.

        Parameters
        ----------
        views : 1 to `engine.spec.max_views` views of one size, oldest first. A view without
            intrinsics gets the network's own.
        publish : indices of the views whose depth is wanted; None = all.

        Raises
        ------
        ShapeError
            If the window is empty or too long, sizes differ, or an index is out of range.
        BackendError
            If the backend fails or returns values that are not finite.
        """
        views, config = tuple(views), self._config
        published = tuple(range(len(views)) if publish is None else publish)
        timings_ms: dict[str, float] = {}
        shared = self._unit.shared_view(views)
        extra = () if shared is None or shared in published else (shared,)
        decoded = (*published, *extra)
        cameras = None if self._cameras is None else self._cameras.of_window(views, decoded)
        raw = self.engine.run(views, decoded, self._features, timings_ms, cameras)
        with timed(timings_ms, 'postprocess'):
            unit = self._unit.unit(views, decoded, raw.depth)
            raw = raw.of(slice(len(published)))
            fitted = [self._features.fitted(views[index]) for index in published]
            known = [view.intrinsics for view in fitted]
            encodings = raw.pose_encoding[list(published)]
            intrinsics = intrinsics_of(known, encodings, self.engine.spec.input_hw)
            scale = self._scale_of(views, published, fitted, raw.depth, intrinsics, unit)
            depth_raw = raw.depth * np.float32(scale.factor)
            depth, confidence = publish_depth(
                depth_raw, raw, config.thresholds, metric=scale.metric, seen=_seen(fitted)
            )
            cam_from_world = cam_from_world_from_pose_encoding(raw.pose_encoding)
            cam_from_world[:, :3, 3] *= scale.factor
            cam_from_world = tracked_poses(views, cam_from_world)
            image = np.stack([view.image for view in fitted])
        return Reconstruction(
            views, published, image, intrinsics, depth_raw, depth, confidence, cam_from_world,
            scale, raw, timings_ms,
        )  # fmt: skip

    def _scale_of(
        self,
        window: Sequence[View],
        published: Sequence[int],
        fitted: Sequence[FittedView],
        depth: Float32Array,
        intrinsics: Float64Array,
        unit: float,
    ) -> Scale:
        """
        Return the published unit per unit of the network.

        By the rig, where it stands and its cameras were compared, or by tracked points.
        """
        tracking = self.tracking
        views = [window[index] for index in published]
        measured = self._config.scale.measured_sources(metric_weights=self.engine.spec.metric)
        by_rig = None
        if self._cameras is not None and RIG in measured:
            by_rig = rig_scale(views, depth, intrinsics)
        if by_rig is not None:
            return by_rig
        is_tracked = tracking is not None and any(tracking.follows(view) for view in window)
        if tracking is None or not is_tracked or views[0].pose is None:
            metric = self.engine.spec.metric
            return self._config.scale.scale(metric_weights=metric, unit=unit)
        # Of a rig one camera is tracked; its points give the unit of all views of the window.
        slot = next((n for n, view in enumerate(views) if tracking.follows(view)), None)
        points = None if slot is None else tracking.sparse_points(views[slot].stamp_ns)
        slot = slot or 0
        factor = self._point_unit.unit(depth[slot], fitted[slot].fitted_from_source, points)
        scale = tracking.scale
        return replace(scale, factor=scale.factor * unit if factor is None else factor)

    def restart(self, reason: RestartReason, text: str = '') -> None:
        """Forget all views, so that the next one begins a new window."""
        if self._newest is not None:
            self.reset()
            self._on_restart(Restart(reason, text))

    def reset(self) -> None:
        """Forget everything, without a word."""
        self._newest = None
        self._window.clear()
        if self._cameras is not None:
            self._cameras.reset()
        self._features.clear()
        self._unit.reset()
        self._point_unit.reset()

    def _check_order(self, stamp: int) -> str:
        """Say what is wrong with a stamp that is not newer; restart where time has jumped back."""
        if self._newest is None:
            return ''
        stale = why_stale(stamp, self._newest.stamp_ns)
        if stale is None:
            back_s = (self._newest.stamp_ns - stamp) / 1e9
            text = f'Stamps went back by {back_s:.1f} s: the window begins anew.'
            self.restart(RestartReason.TIME_JUMPED, text)
        return stale or ''


def _seen(fitted: Sequence[FittedView]) -> NDArray[np.bool_] | None:
    """Return the pixels that the cameras have seen; None where that is all of them."""
    if all(view.seen is None for view in fitted):
        return None
    shape = fitted[0].image.shape[:2]
    return np.stack([np.ones(shape, np.bool_) if v.seen is None else v.seen for v in fitted])
