"""The branch as a whole: features of a window and its cameras to the surfaces of a view."""

from __future__ import annotations

import math
from typing import NamedTuple

from moe3d_engine.model.sweep.alignment import alignment
from moe3d_engine.model.sweep.geometry import Cameras
from moe3d_engine.model.sweep.geometry import grid_pixels
from moe3d_engine.model.sweep.geometry import project
from moe3d_engine.model.sweep.geometry import relative_pose
from moe3d_engine.model.sweep.regularize import Hourglass
from moe3d_engine.model.sweep.regularize import semi_global
from moe3d_engine.model.sweep.surfaces import best_depth
from moe3d_engine.model.sweep.surfaces import doubled
from moe3d_engine.model.sweep.surfaces import enlarged
from moe3d_engine.model.sweep.surfaces import envelopes
from moe3d_engine.model.sweep.surfaces import repeated
from moe3d_engine.model.sweep.volume import coarse_similarity
from moe3d_engine.model.sweep.volume import COARSE_STRIDE
from moe3d_engine.model.sweep.volume import fine_similarity
from moe3d_engine.model.sweep.volume import FINE_STRIDE
from moe3d_engine.model.sweep.volume import parallax
from moe3d_engine.model.sweep.volume import SourceFusion
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.nn.functional import interpolate
from torch.nn.functional import softplus

NUM_PLANES = 32
BEYOND = 1  # planes on either side of the best that belong to it
NEAREST, FARTHEST = 0.25, 40.0  # depths of the first and the last plane, in the network's unit
FINE_PLANES = 8
FINE_BEYOND = 2
FINE_REACH = 0.1  # of the fine planes about the coarse depth, in log depth
PRIOR_REACH = 0.2  # in log depth, of what a view alone says
HINT_REACH = 0.1  # in log depth, of what tracked points say
LEAST_WEIGHT = 1e-6
NUM_CUES = 7


class Surfaces(NamedTuple):
    """
    What the sweep says of a view, at half the image's resolution unless said otherwise.

    Parameters
    ----------
    log_depth : (B, 1, h, w), the likeliest of each cell.
    near, far : (B, 1, h, w) log depth of the surfaces around it.
    shift : (B, 1, h, w), what to add to the view's own log depth.
    cues : (B, NUM_CUES, h, w): how much to trust them.
    coarse_logits : (B, D, h / 2, w / 2), for training.
    fine_logits, fine_planes : (B, FINE_PLANES, h, w), and their log depths.
    """

    log_depth: Tensor
    near: Tensor
    far: Tensor
    shift: Tensor
    cues: Tensor
    coarse_logits: Tensor
    fine_logits: Tensor
    fine_planes: Tensor


class PlaneSweep(nn.Module):
    """
    Depth of a view by comparison with its sources: a coarse sweep of all depths, then a fine one.

    Collins 1996 (plane sweep); the volume is regularised as in semi-global matching, with learnt
    penalties, and by a small 3-D network. A view alone (`prior`) and tracked points (`hint`) are
    cues, not answers.

    Parameters
    ----------
    channels : of the stem's maps at strides 2, 4 and 8.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        at2, at4, at8 = channels
        self.from4 = nn.Conv2d(at4, 24, 1)
        self.from8 = nn.Conv2d(at8, 24, 1)
        self.context = nn.Conv2d(24, 24, 3, padding=1)
        self.penalties = nn.Conv2d(24, 2, 1)
        self.to_volume = nn.Conv2d(24, 3, 1)
        self.coarse_fusion = SourceFusion()
        self.fine_fusion = SourceFusion()
        self.hourglass = Hourglass(9)
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.from2 = nn.Conv2d(at2, 16, 1)
        self.fine_in = nn.Conv2d(2 * FINE_PLANES + 18, 24, 3, padding=1)
        self.fine_mid = nn.Conv2d(24, 24, 3, padding=1)
        self.fine_out = nn.Conv2d(24, FINE_PLANES, 3, padding=1)

    def initialize(self) -> None:
        """Set what has a meaning: penalties of the paths, and additions that start at nothing."""
        nn.init.normal_(self.penalties.weight, std=0.02)
        with torch.no_grad():
            self.penalties.get_parameter('bias').copy_(torch.tensor([1.5, 5.0]).expm1().log())
        for layer in (self.hourglass.leave, self.fine_out):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(
        self,
        features: dict[str, Tensor],
        sources: dict[str, Tensor],
        cameras: Cameras,
        source_cameras: Cameras,
        prior: Tensor,
        hint: Tensor,
    ) -> Surfaces:
        """
        Return the surfaces of B views.

        Parameters
        ----------
        features : of the views: `skip2`, `skip4`, `skip8`, `match2`, `match4`, (B, ...) each.
        sources : `match2`, `match4` of S views each, (B, S, ...).
        cameras, source_cameras : (B, ...) and (B, S, ...).
        prior : (B, 1, H, W) log depth by the view alone.
        hint : (B, 2, H / 4, W / 4) log depth at tracked points, and how sure that is, in [0, 1].
        """
        motion = relative_pose(cameras.cam_from_world, source_cameras.cam_from_world)
        lenses = cameras.intrinsics, source_cameras.intrinsics
        trust = source_cameras.trust
        image_hw = (prior.shape[2], prior.shape[3])
        hw4 = (image_hw[0] // COARSE_STRIDE, image_hw[1] // COARSE_STRIDE)
        hw2 = (image_hw[0] // FINE_STRIDE, image_hw[1] // FINE_STRIDE)

        planes = plane_log_depths(prior)
        places = project(
            planes[None, :, None],
            grid_pixels(hw4, COARSE_STRIDE, prior),
            *lenses,
            motion,
            image_hw,
        )
        cosine = coarse_similarity(features['match4'], sources['match4'], places)
        score, evidence = (x.unflatten(2, hw4) for x in self.coarse_fusion(cosine, places, trust))
        known = parallax(places, trust).reshape(-1, NUM_PLANES, *hw4)
        logits, shift = self._regularize(features, score, evidence, known, prior, hint)
        coarse, mass = best_depth(logits, planes, BEYOND)

        centre = repeated(coarse, 2)
        offsets = torch.linspace(-FINE_REACH, FINE_REACH, FINE_PLANES, device=prior.device)
        fine_planes = centre + offsets[None, :, None, None]
        places = project(
            fine_planes.flatten(2), grid_pixels(hw2, FINE_STRIDE, prior), *lenses, motion, image_hw
        )
        cosine = fine_similarity(features['match2'], sources['match2'], places)
        fine_score, fine_evidence = (
            x.unflatten(2, hw2) for x in self.fine_fusion(cosine, places, trust)
        )
        certainty = interpolate(torch.cat((mass, _at(evidence, logits)), 1), scale_factor=2.0)
        image = self.from2(features['skip2']).relu()
        x = self.fine_in(torch.cat((fine_score, fine_evidence, certainty, image), 1)).relu()
        x = x + self.fine_mid(x).relu()
        fine_logits = fine_score + self.fine_out(x).float()
        fine, fine_mass = best_depth(fine_logits, fine_planes, FINE_BEYOND)
        near, far = envelopes(fine)
        peak = fine_score.amax(1, keepdim=True)
        seen = fine_evidence.mean(1, keepdim=True)
        known = interpolate(_at(known, logits), scale_factor=2.0)
        cues = torch.cat((certainty, fine_mass, seen, peak / 8, far - near, known), 1)
        shift = enlarged(shift, 2)
        return Surfaces(fine, near, far, shift, cues, logits, fine_logits, fine_planes)

    def _regularize(
        self,
        features: dict[str, Tensor],
        score: Tensor,
        evidence: Tensor,
        known: Tensor,
        prior: Tensor,
        hint: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of the planes, (B, D, h, w), and the shift of the prior."""
        x = self.from4(features['skip4']) + interpolate(
            self.from8(features['skip8']), scale_factor=2.0
        )
        x = x.relu()
        x = x + self.context(x).relu()
        penalties = softplus(self.penalties(x).float())
        paths = semi_global(score, penalties[:, :1], penalties[:, 1:]) * self.log_temperature.exp()
        planes = plane_log_depths(prior)[None, :, None, None]
        prior = avg_pool2d(prior, COARSE_STRIDE)
        matched, mass = best_depth(paths, plane_log_depths(prior), BEYOND)
        weight = mass * _at(evidence, paths) * _at(known, paths)
        at_points, sure = hint[:, :1], hint[:, 1:]
        difference = weight * (matched - prior) + sure * (at_points - prior)
        shift = alignment(difference / (weight + sure + LEAST_WEIGHT), weight + sure)
        alone = (-(planes - prior - shift).abs() / PRIOR_REACH).exp()
        tracked = sure * (-(planes - at_points).abs() / HINT_REACH).exp()
        volume = [
            (paths - paths.amax(1, keepdim=True)) / 8,
            score / 8,
            evidence,
            alone,
            tracked,
            known,
        ]
        context = self.to_volume(x)[:, :, None].expand(-1, -1, NUM_PLANES, -1, -1)
        stacked = torch.cat((torch.stack(volume, dim=1), context.float()), dim=1)
        refined: Tensor = paths + 8 * self.hourglass(stacked).float().squeeze(1)
        return refined, shift


def plane_log_depths(like: Tensor) -> Tensor:
    """Return the log depths (D,) of the coarse sweep."""
    return torch.linspace(math.log(NEAREST), math.log(FARTHEST), NUM_PLANES, device=like.device)


def _at(values: Tensor, logits: Tensor) -> Tensor:
    """Return what is expected of values (B, D, h, w) of the planes, (B, 1, h, w)."""
    return (values * logits.softmax(1)).sum(1, keepdim=True)


def published_at_full(surfaces: Surfaces) -> Tensor:
    """Return near, far, shift and cues at the image's resolution, (B, 3 + NUM_CUES, H, W)."""
    found = surfaces.near, surfaces.far, surfaces.shift, surfaces.cues
    return doubled(torch.cat(found, dim=1))
