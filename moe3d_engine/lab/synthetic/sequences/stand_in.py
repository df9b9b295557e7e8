"""Depth as a small network would give it, made from the truth: no weights, no network."""

from __future__ import annotations

import cv2
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.resample import resample_nearest
from moe3d_engine.lab.synthetic.sequences.render import Sequence
from moe3d_engine.types import Float32Array
from moe3d_engine.types import ViewResult
import numpy as np

NETWORK_HW = (144, 192)
_STEP = 1.05  # ratio of depths beyond which two neighbours lie on two surfaces
_EDGE_PX = 2
_SURE, _UNSURE = 0.9, 0.3
_FIELD_HW = (3, 4)  # knots of the error that varies over the image


class DepthStandIn:
    """
    True depth times a smooth random field, blurred across edges, where its confidence is low.

    Half of the error's variance is shared by the whole sequence, as a network's is by a place; a
    quarter is an image's own, a quarter varies over the image.

    Parameters
    ----------
    sequence : with true depth.
    seed : of the errors.
    log_error : standard deviation of log(depth / true depth) over images and sequences.
    network_hw : height and width of the depth.
    """

    def __init__(
        self,
        sequence: Sequence,
        seed: int = 0,
        log_error: float = 0.25,
        network_hw: tuple[int, int] = NETWORK_HW,
    ) -> None:
        self._sequence, self._seed, self._hw = sequence, seed, network_hw
        self._log_error = log_error
        self._shared = np.random.default_rng([seed, 0]).normal(0, log_error * np.sqrt(0.5))

    def result(self, index: int) -> ViewResult:
        """Return what the network says of a view, in its own metres."""
        view = self._sequence.views[index]
        fitted = fit_view(view, self._hw)
        assert view.intrinsics is not None
        assert fitted.intrinsics is not None
        true = resample_nearest(
            self._sequence.depth[index], view.intrinsics, fitted.intrinsics, self._hw
        )
        edges = _edges(true)
        blurred = cv2.GaussianBlur(true, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
        depth = np.where(edges, blurred, true) * np.exp(self._field(index))
        confidence = np.where(edges, np.float32(_UNSURE), np.float32(_SURE))
        return ViewResult(
            view, fitted.image, fitted.intrinsics, depth, depth.copy(), confidence, np.eye(4)
        )

    def _field(self, index: int) -> Float32Array:
        """Return the error's logarithm."""
        rng = np.random.default_rng([self._seed, 1, index])
        own = self._log_error * np.sqrt(0.25)
        knots = rng.normal(0, own, _FIELD_HW).astype(np.float32)
        field = cv2.resize(knots, self._hw[::-1], interpolation=cv2.INTER_CUBIC)
        shifted: Float32Array = field + np.float32(self._shared + rng.normal(0, own))
        return shifted


def _edges(depth: Float32Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which pixels lie within _EDGE_PX of a step in depth."""
    size = 2 * _EDGE_PX + 1
    kernel = np.ones((size, size), np.uint8)
    inverse = 1 / depth
    span = cv2.dilate(inverse, kernel) - cv2.erode(inverse, kernel)
    wider = np.ones((2 * size - 1, 2 * size - 1), np.uint8)
    outer = cv2.dilate(inverse, wider) - cv2.erode(inverse, wider)
    # A slanted plane spans twice as much in the wider window, a step hardly more.
    return (span > (_STEP - 1) * inverse) & (outer < 1.6 * span)
