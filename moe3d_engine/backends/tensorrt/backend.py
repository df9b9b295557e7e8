"""NVIDIA GPUs: the compiled plans of `moe3d build`, with everything in between kept on the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
import logging
from pathlib import Path
from typing import Any

from moe3d_engine.assets import WeightsCard
from moe3d_engine.assets.cache import cache_folder
from moe3d_engine.assets.card import CAMERAS
from moe3d_engine.backend import CAMERA_INPUTS
from moe3d_engine.backend import camera_inputs
from moe3d_engine.backend import check_images
from moe3d_engine.backend import check_sweeps
from moe3d_engine.backend import check_window
from moe3d_engine.backend import compared
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.backend import raw_outputs
from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda
from moe3d_engine.backends.tensorrt.cuda_buffers import import_cuda
from moe3d_engine.backends.tensorrt.device_features import DeviceFeatures
from moe3d_engine.backends.tensorrt.device_features import FeaturePool
from moe3d_engine.backends.tensorrt.plan import TensorRtPlan
from moe3d_engine.backends.tensorrt.runtime import TensorRtRuntime
from moe3d_engine.backends.tensorrt.scratch import Scratch
from moe3d_engine.backends.tensorrt.tensors import check_tensors
from moe3d_engine.backends.tensorrt.usable_plans import usable_plans
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import resampling_matrices
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.plans.compiler import import_runtime
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import plans_of
from moe3d_engine.plans.manifest import verified_plans
from moe3d_engine.plans.self_check import check_backend
from moe3d_engine.plans.self_check import read_reference
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.types import WindowCameras
import numpy as np
from numpy.typing import NDArray

CHECKED_SOURCE_HW = (480, 640)  # an ordinary camera's image
_LOGGER = logging.getLogger(__name__)
ON_HOST = {
    'preprocess': ('source', 'rows', 'columns', 'fitted'),
    'image_encoder': ('images',),
    CAMERAS: ('pose_encoding',),
    'reconstruct': ('publish', *CAMERA_INPUTS, *RawOutputs._fields),
}


class TensorRtBackend:
    """
    The plans of a set of weights on one stream; features are memory on the GPU.

    Only images go to the GPU and only results come back. The plan `preprocess` writes where
    `image_encoder` reads.

    Parameters
    ----------
    spec : of the weights, with the views that the plans allow.
    cuda : stream and memory.
    plans : by name, as in ON_HOST; `cameras` if the network sweeps.
    """

    name = 'tensorrt'

    def __init__(self, spec: NetworkSpec, cuda: Cuda, plans: dict[str, TensorRtPlan]) -> None:
        self.spec = spec
        self._cuda = cuda
        self._plans = plans
        self._source_hw: tuple[int, int] | None = None
        self._fits_on_cpu = False
        encoder = plans['image_encoder']
        for name, plan in plans.items():
            if name != 'preprocess':
                plan.allocate({n: t.largest for n, t in plan.tensors.items() if t.is_input})
        outputs = {n: t for n, t in encoder.tensors.items() if not t.is_input}
        sizes = {n: int(np.prod(t.largest[1:])) * t.dtype.itemsize for n, t in outputs.items()}
        self._encoded = {name: encoder.address(name) for name in outputs}
        self._pool = FeaturePool(cuda, sizes, spec.max_views + 1)

    def encode(self, images: Float32Array) -> list[object]:
        """Return one piece of memory on the GPU per view; see `Backend.encode`."""
        encoder = self._plan('image_encoder')
        check_images(images, self.spec)
        self._check_count(len(images))
        encoder.set_shapes({'images': images.shape})
        encoder.upload('images', images)
        features = self._encode_uploaded(len(images))
        self._cuda.synchronize()
        return features

    def encode_sources(self, sources: UInt8Array) -> tuple[UInt8Array, list[object]]:
        """Fit and encode V camera images of one size; see `SourceEncoder.encode_sources`."""
        plan = self._plan('preprocess')
        if sources.ndim != 4 or sources.shape[3] != 3 or sources.dtype != np.uint8:
            raise ShapeError(
                f'{self.spec.name} takes camera images of shape (V, H, W, 3) and type uint8; got '
                f'shape {sources.shape} and type {sources.dtype}.'
            )
        self._check_count(len(sources))
        if not self._makes_room(plan, (sources.shape[1], sources.shape[2])):
            fitted = np.stack([fit_view(View(s), self.spec.input_hw).image for s in sources])
            return fitted, self.encode(to_network(fitted))
        plan.set_shapes(plan.input_shapes | {'source': sources.shape})
        plan.upload('source', sources)
        plan.enqueue()
        fitted = plan.download('fitted')
        self._plan('image_encoder').set_shapes({'images': plan.shape('images')})
        features = self._encode_uploaded(len(sources))
        self._cuda.synchronize()
        return fitted.copy(), features

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Return depth of the published views and all poses; see `Backend.reconstruct`."""
        decoder = self._plan('reconstruct')
        check_window(len(features), publish, self.spec)
        told = camera_inputs(self.spec, len(features), len(publish), cameras)
        given = {'publish': np.array(publish, np.int64)} | told
        self._bring(decoder, compared(features, self.spec), given)
        decoder.enqueue()
        found = {n: decoder.download(n) for n, t in decoder.tensors.items() if not t.is_input}
        self._cuda.synchronize()
        outputs = {name: values.copy() for name, values in found.items()}
        return raw_outputs(outputs, self.spec, cameras, lambda: self.estimate_cameras(features))

    def estimate_cameras(self, features: Sequence[object]) -> Float32Array:
        """Return the poses of a window; see `Backend.estimate_cameras`."""
        check_sweeps(self.spec)
        plan = self._plan(CAMERAS)
        check_window(len(features), [0], self.spec)
        self._bring(plan, features, {})
        plan.enqueue()
        poses = plan.download('pose_encoding')
        self._cuda.synchronize()
        return poses.copy()

    def check_sources(self) -> None:
        """
        Fit a synthetic camera image and compare it with what the CPU makes of it.

        Raises
        ------
        EngineError
            If they differ by more than rounding.
        """
        planes = textured_images(1, CHECKED_SOURCE_HW)
        source = (255 * planes[0]).astype(np.uint8).transpose(1, 2, 0)
        fitted, _ = self.encode_sources(source[None])
        images = self._plan('image_encoder').download('images')
        self._cuda.synchronize()
        expected = fit_view(View(source), self.spec.input_hw).image
        grey_levels = np.abs(fitted[0].astype(int) - expected).max()
        error = np.abs(images - to_network(fitted)).max()
        if not (grey_levels <= 1 and error <= 1e-5):
            raise EngineError(
                f'The plan preprocess fits camera images to {self.spec.name} wrongly: it is off '
                f'by {grey_levels} grey levels (at most 1) and {error:.2g} (at most 1e-5). It '
                'must not be used. Try another version of the runtime.'
            )

    def close(self) -> None:
        """Free everything on the GPU; a second call does nothing."""
        if not self._plans:
            return
        self._cuda.wait()
        for plan in self._plans.values():
            plan.close()
        self._plans = {}
        self._cuda.close()

    def _plan(self, name: str) -> TensorRtPlan:
        """Return a plan, or raise if the backend is closed."""
        if not self._plans:
            raise BackendError(
                f'The tensorrt backend of {self.spec.name} is closed; open another one.'
            )
        return self._plans[name]

    def _check_count(self, num_views: int) -> None:
        """Raise unless so many images can be encoded at once."""
        if not 1 <= num_views <= self.spec.max_views:
            raise ShapeError(
                f'{self.spec.name} encodes 1 to {self.spec.max_views} images at once; got '
                f'{num_views}. `moe3d build --views` builds plans for more.'
            )

    def _makes_room(self, plan: TensorRtPlan, source_hw: tuple[int, int]) -> bool:
        """Make room for camera images of a new size; return whether the plan takes them."""
        if source_hw == self._source_hw:
            return True
        height, width = self.spec.input_hw
        shapes = {
            'source': (self.spec.max_views, *source_hw, 3),
            'rows': (height, source_hw[0]),
            'columns': (width, source_hw[1]),
        }
        if not plan.takes(shapes):
            if not self._fits_on_cpu:
                _LOGGER.warning(
                    'Camera images of %d x %d pixels are beyond what the plans of %s take; the '
                    'CPU makes them smaller.', source_hw[1], source_hw[0], self.spec.name,
                )  # fmt: skip
            self._fits_on_cpu = True
            return False
        self._source_hw = None  # until all of this is done
        images = self._plan('image_encoder').address('images')
        plan.allocate(shapes, {'images': images})
        rows, columns = resampling_matrices(source_hw, self.spec.input_hw)
        plan.upload('rows', rows)
        plan.upload('columns', columns)
        self._source_hw = source_hw
        return True

    def _encode_uploaded(self, num_views: int) -> list[object]:
        """Encode the images that are on the GPU, or will be by then, and keep their features."""
        self._plan('image_encoder').enqueue()
        return [self._pool.keep(self._encoded, view) for view in range(num_views)]

    def _bring(
        self, plan: TensorRtPlan, features: Sequence[object], given: Mapping[str, NDArray[Any]]
    ) -> None:
        """Give a plan a window: features, which are on the GPU, and other inputs."""
        window = [self._own(feature) for feature in features]
        inputs = {n: t for n, t in plan.tensors.items() if t.is_input and n not in given}
        shapes = {name: (len(window), *tensor.largest[1:]) for name, tensor in inputs.items()}
        plan.set_shapes(shapes | {name: values.shape for name, values in given.items()})
        addresses = {name: plan.address(name) for name in inputs}
        for view, feature in enumerate(window):
            self._pool.copy_to(feature, addresses, view)
        for name, values in given.items():
            plan.upload(name, values)

    def _own(self, feature: object) -> DeviceFeatures:
        """Return features if they are of this backend."""
        if not isinstance(feature, DeviceFeatures) or feature.pool is not self._pool:
            raise BackendError(
                f'These features ({type(feature).__name__}) are not of this tensorrt backend of '
                f'{self.spec.name}; encode the images with the backend that reconstructs them.'
            )
        return feature


def open_tensorrt(card: WeightsCard, *, threads: int | None = None) -> TensorRtBackend:
    """
    Open the newest plans in the cache that this machine can run, and check what they compute.

    Parameters
    ----------
    card : the weights.
    threads : has no meaning here; the GPU does the work.

    Raises
    ------
    BackendError
        If there is no GPU, cuda-python is not installed, or memory runs out.
    EngineError
        If there is no plan that fits, or it is damaged or wrong; says which command mends that.
    """
    folder, manifest = usable_plans(card, cache_folder())
    backend = open_plans(card, folder, manifest)
    with ExitStack() as on_error:
        on_error.callback(backend.close)
        figures = check_backend(backend, read_reference(folder), manifest.precision)
        on_error.pop_all()
    _LOGGER.info(
        '%s %s runs the %s plans in %s; their depth differs by %.2g from that of a CPU.',
        manifest.runtime, manifest.runtime_version, manifest.precision, folder, figures.abs_rel,
    )  # fmt: skip
    return backend


def open_plans(card: WeightsCard, folder: Path, manifest: PlanManifest) -> TensorRtBackend:
    """
    Open the plans in a folder; the depth that they compute is not checked yet.

    Raises
    ------
    BackendError
        If cuda-python is not installed or memory runs out.
    EngineError
        If the runtime is not installed, a plan is damaged or not one of these weights, or camera
        images are fitted wrongly.
    """
    paths = verified_plans(folder, manifest)
    trt = import_runtime(manifest.runtime)
    with ExitStack() as on_error:
        cuda = Cuda(import_cuda())  # before the runtime, which may break where CUDA does not start
        on_error.callback(cuda.close)
        runtime, scratch = TensorRtRuntime(trt), Scratch(cuda)
        plans = {}
        for name in plans_of(card):
            plans[name] = TensorRtPlan(runtime, paths[name], cuda, scratch, ON_HOST[name])
            on_error.callback(plans[name].close)
        spec = replace(card.spec, max_views=manifest.views[2])
        check_tensors(plans, spec)
        backend = TensorRtBackend(spec, cuda, plans)
        backend.check_sources()
        on_error.pop_all()
    return backend
