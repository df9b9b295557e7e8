"""Matching features, and how well the sources match at each depth."""

from __future__ import annotations

from moe3d_engine.model.sweep.geometry import Projections
from moe3d_engine.model.sweep.geometry import sampling_grid
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import grid_sample
from torch.nn.functional import interpolate
from torch.nn.functional import normalize

COARSE_STRIDE, FINE_STRIDE = 4, 2
COARSE_CHANNELS, FINE_CHANNELS = 32, 12
KNOWING_PX = 6.0  # of motion for a factor e of depth: then half is known


class MatchingFeatures(nn.Module):
    """
    The stem's maps of one view to unit descriptors at strides 4 and 2.

    Parameters
    ----------
    channels : of the stem's maps at strides 2, 4 and 8.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        at2, at4, at8 = channels
        self.from8 = nn.Conv2d(at8, 48, 1)
        self.from4 = nn.Conv2d(at4, 48, 1)
        self.coarse = nn.Conv2d(48, 48, 3, padding=1)
        self.describe = nn.Conv2d(48, COARSE_CHANNELS, 3, padding=1)
        self.to2 = nn.Conv2d(48, 24, 1)
        self.from2 = nn.Conv2d(at2, 24, 1)
        self.describe2 = nn.Conv2d(24, FINE_CHANNELS, 3, padding=1)

    def forward(self, skips: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `match4` (N, 32, H / 4, W / 4) and `match2` (N, 12, H / 2, W / 2)."""
        x = self.from4(skips['skip4']) + interpolate(self.from8(skips['skip8']), scale_factor=2.0)
        x = x.relu()
        x = x + self.coarse(x).relu()
        fine = self.from2(skips['skip2']) + interpolate(self.to2(x), scale_factor=2.0)
        return {
            'match4': normalize(self.describe(x).float(), dim=1),
            'match2': normalize(self.describe2(fine.relu()).float(), dim=1),
        }


def coarse_similarity(view: Tensor, sources: Tensor, places: Projections) -> Tensor:
    """
    Return the cosine (B, S, D, N) of descriptors of a view and of where sources see its cells.

    All pairs of cells are compared by one product; of that, places between cells are read. So
    one number is read for a depth, not a descriptor.

    Parameters
    ----------
    view : (B, C, h, w).
    sources : (B, S, C, h, w).
    places : of D depths before the N = h w cells.
    """
    batch, count, _, rows, columns = sources.shape
    every = view.flatten(2).transpose(1, 2)[:, None] @ sources.flatten(3)  # (B, S, N, h w)
    grid = sampling_grid(places.x, places.y, COARSE_STRIDE, (rows, columns))
    read = grid_sample(
        every.float().reshape(-1, 1, rows, columns),
        grid.permute(0, 1, 4, 3, 2).reshape(batch * count * rows * columns, 1, -1, 2),
        padding_mode='border',
        align_corners=True,
    )
    return read.reshape(batch, count, rows * columns, -1).transpose(2, 3)


def fine_similarity(view: Tensor, sources: Tensor, places: Projections) -> Tensor:
    """Return as `coarse_similarity`, by warped descriptors: cheaper for few depths."""
    batch, count, channels, rows, columns = sources.shape
    grid = sampling_grid(places.x, places.y, FINE_STRIDE, (rows, columns)).permute(0, 1, 3, 4, 2)
    warped = grid_sample(
        sources.flatten(0, 1), grid.flatten(0, 1), padding_mode='border', align_corners=True
    )  # (B S, C, D, N)
    warped = warped.reshape(batch, count, *warped.shape[1:])
    return (warped * view.reshape(batch, 1, channels, 1, rows * columns)).sum(2)


def parallax(places: Projections, trust: Tensor) -> Tensor:
    """
    Return how much the sources can know of each depth, (B, D, N) in [0, 1].

    Nothing where no trusted source sees it, or where it would look the same at any depth: while a
    camera stands still, or only turns.
    """
    rate = places.visible * places.log_rate.exp() * trust[:, :, None, None]
    best = rate.amax(1).square()
    return best / (best + KNOWING_PX**2)


class SourceFusion(nn.Module):
    """Weighs what each source says of each depth: by its match, its parallax and its pose."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        self.log_sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(
        self, similarity: Tensor, places: Projections, trust: Tensor
    ) -> tuple[Tensor, Tensor]:
        """
        Return score and evidence of each depth, (B, D, N) each.

        Parameters
        ----------
        similarity : (B, S, D, N).
        places : what they were compared at.
        trust : (B, S), see Cameras.
        """
        judged = self._judged(similarity, places.log_rate, trust)
        usable = places.visible * (trust > 0)[:, :, None, None]
        weight = judged[:, :, 0].sigmoid() * usable
        score = self.log_sharpness.exp() * similarity + judged[:, :, 1]
        evidence = weight.sum(1)
        return (weight * score).sum(1) / (evidence + 0.05), 1 - (-evidence).exp()

    def _judged(self, similarity: Tensor, log_rate: Tensor, trust: Tensor) -> Tensor:
        """
        Return the two numbers of `judge` for each depth, (B, S, 2, D, N).

        Written out with depths and cells last, where compilers want the long axes.
        """
        (enter, enter_bias), (leave, leave_bias) = (
            (layer.get_parameter('weight'), layer.get_parameter('bias'))
            for layer in (self.judge[0], self.judge[2])
        )
        both = torch.stack((similarity, log_rate), dim=2).flatten(3)  # (B, S, 2, D N)
        of_source = trust[:, :, None, None] * enter[:, 2:] + enter_bias[:, None]
        hidden = (enter[:, :2] @ both + of_source).relu()
        judged = (leave @ hidden + leave_bias[:, None]).float()
        return judged.reshape(*judged.shape[:3], *similarity.shape[2:])
