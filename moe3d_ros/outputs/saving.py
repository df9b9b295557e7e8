"""The service that writes the last cloud into a file."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.assets.whole import written_whole
from moe3d_engine.clouds import CLOUD_WRITERS
from moe3d_engine.geometry.output_view import at_resolution
from moe3d_engine.types import ViewResult
from moe3d_ros.outputs.depth import DepthOutputs
from moe3d_ros.outputs.messages import cloud_values
from moe3d_ros.outputs.messages import colors_of
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.topics import SAVE_CLOUD_SERVICE
import numpy as np
from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import Trigger


class CloudService:
    """
    Writes the cloud of the last published image of each camera when it is asked to.

    Parameters
    ----------
    node : owns the service.
    outputs : have published the images; their settings say where files go and in which form.
    """

    def __init__(self, node: LifecycleNode, outputs: DepthOutputs) -> None:
        self._node, self._outputs = node, outputs
        self._service = node.create_service(Trigger, SAVE_CLOUD_SERVICE, self._save)

    def destroy(self) -> None:
        """End the service."""
        self._node.destroy_service(self._service)

    def _save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Write the files, and answer with their names and numbers of points."""
        results = self._outputs.last_results()
        if not results:
            response.message = (
                'There is no cloud yet: no depth in metres has been published since the node was '
                'configured. Subscribe to an output, and see ~/drops where images come.'
            )
            return response
        try:
            written = [save_cloud(result, self._outputs.config) for result in results]
        except OSError as error:
            response.message = f'The cloud is not saved: {error}. Set save.folder.'
            return response
        response.success = True
        response.message = '; '.join(f'{path}: {count} points' for path, count in written)
        return response


def save_cloud(result: ViewResult, config: NodeConfig) -> tuple[Path, int]:
    """
    Write the cloud of a view, in its camera's optical frame and as it is published.

    Parameters
    ----------
    result : of one view, in metres.
    config : folder, format and form; a missing folder is made.

    Returns
    -------
    path : of the file, named by camera and stamp in nanoseconds.
    count : of its points.

    Raises
    ------
    OSError
        If the folder cannot be written, or holds this file already.
    """
    values = cloud_values(at_resolution(result, config.resolution), config.cloud)
    values = values[np.isfinite(values[..., 2])]
    name = f'{result.view.camera.replace("/", "_")}_{result.view.stamp_ns}.{config.save_format}'
    path = config.save_folder.expanduser().absolute() / name
    if path.exists():
        raise FileExistsError(f'{path} exists already')
    with written_whole(path) as beside:
        CLOUD_WRITERS[config.save_format](beside, values[:, :3], colors_of(values))
    return path, len(values)
