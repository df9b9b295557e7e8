"""From views to reconstructions: start reading here. The one loop of node, bags and demo."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import logging

from moe3d_engine.errors import InputError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.geometry.cameras import cam_from_world_from_pose_encoding
from moe3d_engine.geometry.cameras import intrinsics_of
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.fit import FittedView
from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DroppedFrameError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.network import Engine
from moe3d_engine.network import FeatureCache
from moe3d_engine.network import timed
from moe3d_engine.policy import publish_depth
from moe3d_engine.policy import Thresholds
from moe3d_engine.scale import ScaleConfig
from moe3d_engine.scale import UnitTracker
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
from moe3d_engine.window import KeyframeWindow
from moe3d_engine.window import WindowConfig
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

TIME_JUMP_NS = 1_000_000_000  # stamps that go back by more begin a new stream


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What may be set of a session; the window is fixed once it is open."""

    window: WindowConfig = field(default_factory=WindowConfig)
    thresholds: Thresholds = field(default_factory=Thresholds)
    scale: ScaleConfig = field(default_factory=ScaleConfig)


def log_restart(restart: Restart) -> None:
    """Say that a window begins anew, where that is news."""
    if restart.text:
        logger.info('%s', restart.text)


class Session:
    """
    Reconstructs the views of one stream and owns its state: window, features, unit of depth.

    `push_frame` takes the messages of a camera, `push` the views of one moment; `reconstruct`
    takes a whole window at once. One thread uses a session; the engine may serve another session
    after it.

    Parameters
    ----------
    engine : runs the network; it stays open when the session ends.
    config : window, thresholds and the source of metres.
    on_restart : called when the window begins anew.
    """

    def __init__(
        self,
        engine: Engine,
        config: SessionConfig | None = None,
        on_restart: Callable[[Restart], object] = log_restart,
    ) -> None:
        self.engine = engine
        self._config = config or SessionConfig()
        self._on_restart = on_restart
        self._window = KeyframeWindow(self._config.window)
        self._features = FeatureCache()
        self._unit = UnitTracker(engine.spec.metric)
        self._newest: View | None = None  # of the stream; None = the window is empty

    @property
    def config(self) -> SessionConfig:
        """The settings that the next window will use."""
        return self._config

    def configure(self, thresholds: Thresholds) -> None:
        """Replace the thresholds, from the next window on; any thread may call it."""
        self._config = SessionConfig(self._config.window, thresholds, self._config.scale)

    def push_frame(
        self, camera: CameraIntake, image: Message, info: Message
    ) -> Reconstruction | Drop:
        """Decode and rectify an image, and reconstruct the window that it completes."""
        stamp = stamp_ns(image)
        stale = self._check_order(stamp)
        if stale:
            return Drop(DropReason.STALE_STAMP, stamp, stale, camera.camera)
        timings_ms: dict[str, float] = {}
        try:
            with timed(timings_ms, 'rectify'):
                view = camera.view_of(image, info)
        except DroppedFrameError as error:
            return Drop(error.reason, stamp, str(error), camera.camera)
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
            for view in views:
                fit_geometry(view.image.shape[:2], self.engine.spec.input_hw)
        except InputError as error:
            return Drop(DropReason.BAD_IMAGE, first.stamp_ns, str(error), first.camera)
        self._newest = first
        window = self._window.push(views)
        try:
            return self.reconstruct(window.views, window.newest)
        except Moe3dError as error:
            self.restart(RestartReason.BAD_OUTPUT)
            return Drop(DropReason.BAD_OUTPUT, first.stamp_ns, str(error), first.camera)

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
        raw = self.engine.run(views, decoded, self._features, timings_ms)
        with timed(timings_ms, 'postprocess'):
            unit = self._unit.unit(views, decoded, raw.depth)
            scale = config.scale.scale(metric_weights=self.engine.spec.metric, unit=unit)
            raw = _of_published(raw, len(published))
            depth_raw = raw.depth * np.float32(scale.factor)
            fitted = [self._features.fitted(views[index]) for index in published]
            depth, confidence = publish_depth(
                depth_raw, raw, config.thresholds, metric=scale.metric, seen=_seen(fitted)
            )
            known = [view.intrinsics for view in fitted]
            encodings = raw.pose_encoding[list(published)]
            intrinsics = intrinsics_of(known, encodings, self.engine.spec.input_hw)
            cam_from_world = cam_from_world_from_pose_encoding(raw.pose_encoding)
            cam_from_world[:, :3, 3] *= scale.factor
            image = np.stack([view.image for view in fitted])
        return Reconstruction(
            views, published, image, intrinsics, depth_raw, depth, confidence, cam_from_world,
            scale, raw, timings_ms,
        )  # fmt: skip

    def restart(self, reason: RestartReason, text: str = '') -> None:
        """Forget all views, so that the next one begins a new window."""
        if self._newest is not None:
            self.reset()
            self._on_restart(Restart(reason, text))

    def reset(self) -> None:
        """Forget everything, without a word."""
        self._newest = None
        self._window.clear()
        self._features.clear()
        self._unit.reset()

    def _check_order(self, stamp: int) -> str:
        """Say what is wrong with a stamp that is not newer; restart where time has jumped back."""
        if self._newest is None or stamp > self._newest.stamp_ns:
            return ''
        back_ns = self._newest.stamp_ns - stamp
        if stamp == 0 == back_ns:
            return (
                'its stamp is 0 like the last one: the driver does not stamp its images. Let it '
                'set header.stamp to the time of acquisition.'
            )
        if back_ns <= TIME_JUMP_NS:
            return (
                f'its stamp is {back_ns / 1e6:.1f} ms before the last one. Stamps of a camera '
                f'must increase; is there a second publisher on the topic?'
            )
        text = f'Stamps went back by {back_ns / 1e9:.1f} s: the window begins anew.'
        self.restart(RestartReason.TIME_JUMPED, text)
        return ''


def _of_published(raw: RawOutputs, count: int) -> RawOutputs:
    """Return the outputs of the first `count` decoded views; poses are of all views."""
    return RawOutputs(
        raw.depth[:count],
        raw.boundary_confidence[:count],
        raw.agreement[:count],
        raw.pose_encoding,
        raw.depth_confidence[:count],
    )


def _seen(fitted: Sequence[FittedView]) -> NDArray[np.bool_] | None:
    """Return the pixels that the cameras have seen; None where that is all of them."""
    if all(view.seen is None for view in fitted):
        return None
    shape = fitted[0].image.shape[:2]
    return np.stack([np.ones(shape, np.bool_) if v.seen is None else v.seen for v in fitted])
