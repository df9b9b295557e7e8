"""A run as a recording for the viewer of Rerun: images, depth, clouds and both paths, by stamp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.tracking.stream import TRACKED
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
import numpy as np

TIMELINE = 'stamp'
ODOM, CAMERA = 'odom', 'odom/camera'
TRACKED_PATH, TRUE_PATH = 'odom/tracked', 'odom/true'
PATH_COLORS = {TRACKED_PATH: (33, 102, 172), TRUE_PATH: (120, 120, 128)}
SHOWN_DEPTH_M = (0.0, 10.0)


class RerunLog:
    """
    Writes an .rrd file; `close` ends it.

    The world is `odom`, in the axes of the first camera (x right, y down, z ahead). True poses are
    placed by the first tracked one. A camera that is lost has images, but no cloud.

    Parameters
    ----------
    path : of the file; what is there is replaced.

    Raises
    ------
    ConfigError
        If Rerun's SDK is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import rerun
        except ImportError as error:
            raise ConfigError(
                f'--rerun needs the package rerun-sdk ({error}). Install it: pip install rerun-sdk'
            ) from error
        self._rerun: Any = rerun
        self._stream = rerun.RecordingStream('moe3d')
        self._stream.save(path)
        self._odom_from_world: Float64Array | None = None
        self._ways: dict[str, list[Float64Array]] = {TRACKED_PATH: [], TRUE_PATH: []}
        self._stream.log(ODOM, rerun.ViewCoordinates.RDF, static=True)

    def add(self, result: Reconstruction, true_pose: Float64Array | None) -> None:
        """
        Add the newest view of a window.

        Parameters
        ----------
        result : its newest view is published.
        true_pose : world_from_cam (4, 4); None = not known.
        """
        newest, rerun = result.results[0], self._rerun
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(newest.view.stamp_ns, 'ns'))
        height, width = newest.depth.shape
        camera = rerun.Pinhole(
            image_from_camera=newest.intrinsics,
            resolution=(width, height),
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
        self._stream.log(CAMERA, camera)
        self._stream.log(f'{CAMERA}/color', rerun.Image(newest.image).compress())
        depth = np.where(np.isfinite(newest.depth), newest.depth, np.float32(0))  # 0 = unknown
        self._stream.log(
            f'{CAMERA}/depth', rerun.DepthImage(depth, meter=1.0, depth_range=SHOWN_DEPTH_M)
        )
        prior = newest.view.pose
        if prior is not None and prior.source == TRACKED:
            odom_from_cam = invert_rigid(prior.cam_from_world)
            self._place(odom_from_cam, true_pose)
            self._log_points(newest.depth, newest.intrinsics, newest.image)

    def close(self) -> None:
        """Log both ways as lines and end the file."""
        for name, places in self._ways.items():
            if places:
                line = self._rerun.LineStrips3D([np.stack(places)], colors=[PATH_COLORS[name]])
                self._stream.log(f'{name}/way', line, static=True)
        self._stream.flush()
        self._stream.disconnect()

    def _place(self, odom_from_cam: Float64Array, true_pose: Float64Array | None) -> None:
        """Log where the camera is said to be, and where it is."""
        transform = self._rerun.Transform3D(
            translation=odom_from_cam[:3, 3], mat3x3=odom_from_cam[:3, :3]
        )
        self._stream.log(CAMERA, transform)
        self._log_position(TRACKED_PATH, odom_from_cam)
        if true_pose is None:
            return
        if self._odom_from_world is None:
            self._odom_from_world = odom_from_cam @ invert_rigid(true_pose)
        self._log_position(TRUE_PATH, self._odom_from_world @ true_pose)

    def _log_position(self, name: str, odom_from_cam: Float64Array) -> None:
        """Log a place of a way."""
        place = odom_from_cam[:3, 3]
        self._ways[name].append(place)
        self._stream.log(name, self._rerun.Points3D([place], colors=[PATH_COLORS[name]]))

    def _log_points(
        self, depth: Float32Array, intrinsics: Float64Array, image: np.ndarray[Any, Any]
    ) -> None:
        """Log the cloud in the camera's frame."""
        points = unproject_depth(depth[None], intrinsics[None])[0]
        known = np.isfinite(depth)
        cloud = self._rerun.Points3D(points[known], colors=image[known])
        self._stream.log(f'{CAMERA}/points', cloud)
