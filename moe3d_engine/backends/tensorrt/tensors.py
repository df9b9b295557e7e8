"""What the plans of a set of weights take and give, and what is expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from typing import Protocol

from moe3d_engine.assets.card import CAMERAS
from moe3d_engine.backend import LEAST_COMPARED
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.errors import EngineError
from moe3d_engine.geometry.point_hint import HINT_STRIDE
from moe3d_engine.types import RawOutputs
import numpy as np

FLOAT, INT64, UINT8 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint8)
TYPES: dict[str, np.dtype[Any]] = {'FLOAT': FLOAT, 'INT64': INT64, 'UINT8': UINT8}
REBUILD = 'Build the plans again with `moe3d build`.'

Shape = tuple[int, ...]


class Tensor(NamedTuple):
    """
    An input or output of a plan.

    Parameters
    ----------
    is_input : else it is an output.
    dtype : of its elements.
    largest : its shape when all inputs are as large as the plan takes them.
    """

    is_input: bool
    dtype: np.dtype[Any]
    largest: Shape


class HasTensors(Protocol):
    """A plan, as far as its tensors are concerned."""

    tensors: dict[str, Tensor]


def check_tensors(plans: Mapping[str, HasTensors], spec: NetworkSpec) -> None:
    """
    Check that the plans of a set of weights take and give what its backend expects.

    Parameters
    ----------
    plans : `preprocess`, `image_encoder`, `reconstruct`, and `cameras` if the network sweeps.
    spec : of the weights, with the views that the plans were built for.

    Raises
    ------
    EngineError
        If a tensor is missing, or has another shape or type; names it.
    """
    most, (height, width) = spec.max_views, spec.input_hw
    images = Tensor(True, FLOAT, (most, 3, height, width))
    given = {n: t for n, t in plans['image_encoder'].tensors.items() if not t.is_input}
    features = {n: Tensor(False, FLOAT, (most, *t.largest[1:])) for n, t in given.items()}
    windows = _sweeping_windows(plans, spec, given) if spec.sweeps else _windows(spec, given)
    source = plans['preprocess'].tensors.get('source', images).largest
    expected = {
        'preprocess': {
            'source': Tensor(True, UINT8, (most, *source[1:3], 3)),
            'rows': Tensor(True, FLOAT, (height, source[1])),
            'columns': Tensor(True, FLOAT, (width, source[2])),
            'fitted': Tensor(False, UINT8, (most, height, width, 3)),
            'images': images._replace(is_input=False),
        },
        'image_encoder': {'images': images, **features},
        **windows,
    }
    for plan, tensors in expected.items():
        found = plans[plan].tensors
        for name in sorted(tensors.keys() | found.keys()):
            if tensors.get(name) != found.get(name):
                raise EngineError(
                    f'The plan {plan} is not one of {spec.name}: its {name} is '
                    f'{_shown(found.get(name))}, expected is {_shown(tensors.get(name))}. '
                    f'{REBUILD}'
                )


def _windows(spec: NetworkSpec, given: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of the plan that looks at windows."""
    most = spec.max_views
    maps = Tensor(False, FLOAT, (most, *spec.input_hw))
    return {
        'reconstruct': {
            **_features(given, most),
            'publish': Tensor(True, INT64, (most,)),
            **dict.fromkeys(RawOutputs._fields, maps),
            'pose_encoding': Tensor(False, FLOAT, (most, 9)),
        }
    }


def _sweeping_windows(
    plans: Mapping[str, HasTensors], spec: NetworkSpec, given: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of the two plans that look at windows; each takes some features."""
    most, (height, width) = spec.max_views, spec.input_hw
    compared = max(most, LEAST_COMPARED)
    maps = Tensor(False, FLOAT, (compared, height, width))
    hint = (compared, 2, height // HINT_STRIDE, width // HINT_STRIDE)

    def needed(plan: str) -> dict[str, Tensor]:
        return {name: t for name, t in given.items() if name in plans[plan].tensors}

    return {
        CAMERAS: {
            **_features(needed(CAMERAS), most),
            'pose_encoding': Tensor(False, FLOAT, (most, 9)),
        },
        'reconstruct': {
            **_features(needed('reconstruct'), compared),
            'publish': Tensor(True, INT64, (compared,)),
            'intrinsics': Tensor(True, FLOAT, (compared, 3, 3)),
            'cam_from_world': Tensor(True, FLOAT, (compared, 4, 4)),
            'trust': Tensor(True, FLOAT, (compared,)),
            'hint': Tensor(True, FLOAT, hint),
            **{name: maps for name in RawOutputs._fields if name != 'pose_encoding'},
        },
    }


def _features(given: Mapping[str, Tensor], most: int) -> dict[str, Tensor]:
    """Return features as inputs of a plan for so many views."""
    return {name: Tensor(True, FLOAT, (most, *t.largest[1:])) for name, t in given.items()}


def _shown(tensor: Tensor | None) -> str:
    """Return a tensor for a sentence."""
    if tensor is None:
        return 'missing'
    return f'an {"input" if tensor.is_input else "output"} {tensor.largest} of {tensor.dtype}'
