"""Poses from images: follow corners, place the camera by the map, make keyframes. Start here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.tracking.flow import Corners
from moe3d_engine.tracking.flow import follow
from moe3d_engine.tracking.flow import PreparedImage
from moe3d_engine.tracking.flow import median_parallax_px
from moe3d_engine.tracking.flow import new_corners
from moe3d_engine.tracking.flow import NO_CORNERS
from moe3d_engine.tracking.flow import rematch
from moe3d_engine.tracking.flow import RESCUE_BELOW
from moe3d_engine.tracking.pose import estimate_pose
from moe3d_engine.tracking.pose import PoseEstimate
from moe3d_engine.tracking.sparse_map import Keyframe
from moe3d_engine.tracking.sparse_map import nearest_to_rays
from moe3d_engine.tracking.sparse_map import Points
from moe3d_engine.tracking.sparse_map import PointState
from moe3d_engine.tracking.sparse_map import rays_in_map
from moe3d_engine.tracking.sparse_map import SparseMap
from moe3d_engine.tracking.start import relative_pose
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np

KEYFRAME_PARALLAX_PX = 16.0
KEYFRAME_KEPT = 0.6
MIN_TRIANGULATED = 50
GUESS_STD = 0.6
MIN_CONFIDENCE = 0.1


class Sighting(NamedTuple):
    stamp_ns: int
    corners: Corners
    cam_from_map: Float64Array
    intrinsics: Float64Array


class Tracker:
    def __init__(self) -> None:
        self.map = SparseMap()
        self._before: PreparedImage | None = None
        self._corners = NO_CORNERS
        self._pose = np.eye(4)
        self._recent: deque[Sighting] = deque(maxlen=60)
        self._started = False
        self.log = {}
        self.ratios = []

    def track(self, view: View):
        now = PreparedImage(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY))
        K = view.intrinsics
        if self._before is None:
            self._before = now
            self._make_keyframe(view, now)
            return self._pose
        found = follow(self._before, now, self._corners)
        if len(found.pixels) < RESCUE_BELOW or len(found.pixels) < 0.3 * len(self._corners.pixels):
            r = rematch(self._before, now, self._corners)
            self.log.setdefault('rescue', []).append((view.stamp_ns, len(found.pixels), len(r.pixels)))
            if len(r.pixels) > len(found.pixels):
                found = r
        self._corners = found
        self._before = now
        est = self._locate(K)
        if est is None:
            self.log.setdefault('lost', []).append(view.stamp_ns)
        else:
            self._pose = est.cam_from_map
        self._recent.append(Sighting(view.stamp_ns, self._corners, self._pose, K))
        if self._is_keyframe(K):
            self._make_keyframe(view, now)
        return self._pose

    def _locate(self, K) -> PoseEstimate | None:
        pts = self.map.points(self._corners.identities)
        tri = pts.states == PointState.TRIANGULATED
        use = tri | (pts.states == PointState.GUESSED)
        est = estimate_pose(pts.places[use], self._corners.pixels[use].astype(float), K, self._pose, pts.doubt[use])
        if est is not None:
            bad = np.zeros(len(tri), bool)
            bad[np.flatnonzero(use)[~est.inliers]] = True
            bad &= tri
            self._corners = self._corners.where(~bad)
        return est

    def _is_keyframe(self, K):
        last = self.map.keyframes[-1]
        common, a, b = np.intersect1d(last.identities, self._corners.identities, return_indices=True)
        if len(common) < KEYFRAME_KEPT * len(last.identities):
            return True
        rot = self._pose[:3, :3] @ last.cam_from_map[:3, :3].T
        par = median_parallax_px(last.pixels[a], self._corners.pixels[b].astype(float), rot, K)
        return par > KEYFRAME_PARALLAX_PX

    def _make_keyframe(self, view, now):
        new = new_corners(now, self._corners.pixels)
        ids = self.map.new_identities(len(new))
        self._corners = Corners(np.concatenate([self._corners.identities, ids]), np.concatenate([self._corners.pixels, new]))
        kf = Keyframe(view.stamp_ns, self._pose, self._corners.identities, self._corners.pixels.astype(float), view.intrinsics)
        self.map.add_keyframe(kf)
        if not self._recent or self._recent[-1].stamp_ns != view.stamp_ns:
            self._recent.append(Sighting(view.stamp_ns, self._corners, self._pose, view.intrinsics))
        else:
            self._recent[-1] = Sighting(view.stamp_ns, self._corners, self._pose, view.intrinsics)
        if len(self.map.keyframes) == 2 and not self._started:
            self._begin()
        r = self.map.snapshot()
        r.refine()
        self.map.adopt(r)
        self._pose = self.map.keyframes[-1].cam_from_map

    def _begin(self):
        a, b = self.map.keyframes[:2]
        common, i, j = np.intersect1d(a.identities, b.identities, return_indices=True)
        T = relative_pose(a.pixels[i], b.pixels[j], a.intrinsics)
        if T is None:
            self.log['begin'] = 'failed'
            return
        poses = np.stack([np.eye(4), T])
        n = len(common)
        c, r = rays_in_map(poses, np.stack([a.intrinsics, b.intrinsics]), np.repeat([0, 1], n), np.concatenate([a.pixels[i], b.pixels[j]]))
        X, ang, _ = nearest_to_rays(c, r, np.tile(np.arange(n), 2), n)
        guess = self.map.points(common)
        ok = (guess.states == PointState.GUESSED) & (ang > np.radians(1)) & (X[:, 2] > 0)
        inA = guess.places @ a.cam_from_map[:3, :3].T + a.cam_from_map[:3, 3]
        s = np.exp(np.median(np.log(inA[ok, 2] / X[ok, 2])))
        T[:3, 3] *= s
        self.log['begin'] = (ok.sum(), s)
        b.cam_from_map = T @ a.cam_from_map
        self._started = True

    def add_depth(self, stamp_ns, depth, conf, Kn, gt=None):
        s = next((x for x in self._recent if x.stamp_ns == stamp_ns), None)
        if s is None:
            return
        pn = (np.c_[s.corners.pixels, np.ones(len(s.corners.pixels))] @ np.linalg.inv(s.intrinsics).T) @ Kn.T
        u = np.rint(pn[:, :2]).astype(int)
        h, w = depth.shape
        ok = (u >= 0).all(1) & (u[:, 0] < w) & (u[:, 1] < h)
        u = np.clip(u, 0, [w - 1, h - 1])
        d = depth[u[:, 1], u[:, 0]]
        c = conf[u[:, 1], u[:, 0]]
        ids = s.corners.identities
        live = ids >= self.map._first
        ok &= live & (c > MIN_CONFIDENCE) & np.isfinite(d) & (d > 0)
        ids, d, px = ids[ok], d[ok], s.corners.pixels[ok].astype(float)
        pts = self.map.points(ids)
        z = (pts.places @ s.cam_from_map[:3, :3].T + s.cam_from_map[:3, 3])[:, 2]
        tri = pts.states == PointState.TRIANGULATED
        f = 1.0
        if tri.sum() >= 20:
            lr = np.log(d[tri] / z[tri])
            f = np.exp(np.median(lr))
            self.ratios.append(f)
        new = pts.states == PointState.UNKNOWN
        if new.any():
            inv = invert_rigid(s.cam_from_map)
            rays = np.c_[px[new], np.ones(new.sum())] @ np.linalg.inv(s.intrinsics).T
            X = (rays * (d[new] / f)[:, None]) @ inv[:3, :3].T + inv[:3, 3]
            self.map.set_points(ids[new], Points(X, np.full(len(X), PointState.GUESSED, np.uint8), GUESS_STD * (X - inv[:3, 3])))
