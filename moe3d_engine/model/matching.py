"""Camera poses from matches: which point of the first view each cell sees, and what follows."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.model.aggregator import NUM_SPECIAL
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.mobile_stem import SKIP_CHANNELS
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.functional import logsigmoid
from torch.nn.functional import normalize
from torch.nn.functional import pad

CELL_PX = 8  # matches are found between cells of the stem's map at stride 8
CELL_MAP = 'skip8'
NUM_UPDATES = 4
LEAST_DEPTH = 0.1  # of a matched point in the first view, as a share of its depth in its own
OUTLIER_SCALE = 0.03  # residual, in units of the focal length, at which a match counts half
# Weights of `no turn` (3) and `no move` (3): without matches the equations stay solvable.
PRIOR = (1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4)

# How a point (x, y, z, r) moves when it is turned about x, y, z or moved along x, y, z.
MOTIONS = (
    ((0.0, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0)),
    ((0.0, 0, 1, 0), (0, 0, 0, 0), (-1, 0, 0, 0)),
    ((0.0, -1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0)),
    ((0.0, 0, 0, 1), (0, 0, 0, 0), (0, 0, 0, 0)),
    ((0.0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0)),
    ((0.0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 1)),
)


class Matches(NamedTuple):
    """
    Where each cell of each view lies in the first view; N cells, row by row.

    Parameters
    ----------
    logits : (B, V, N, N), of each cell of the first view (last axis).
    cell_xy : (B, V, N, 2), expected column and row, in cells.
    log_weight : (B, V, N), what the match counts.
    log_inverse_depth : (B, V, N), of the cell in its own view.
    """

    logits: Tensor
    cell_xy: Tensor
    log_weight: Tensor
    log_inverse_depth: Tensor


class PoseMatcher(nn.Module):
    """
    Matches every view with the first one and solves for its pose.

    Each cell of 8 x 8 pixels gets a descriptor; a softmax over the cells of the first view says
    where it is seen there. A match, the cell's depth and the fields of view give two equations
    for the six unknowns of the pose, which Gauss-Newton steps solve by weighted least squares, as
    in perspective-n-point. A camera head on its own has to learn this geometry from examples, and
    a small one does not.

    Parameters
    ----------
    config : of a network with the stem `mobile`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, hidden = config.embed_dim, config.embed_dim // 2
        self.fine = nn.Conv2d(SKIP_CHANNELS[3], hidden, 1)
        self.coarse = nn.Linear(dim, hidden)
        self.context = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.describe = nn.Conv2d(hidden, 64, 1)
        self.log_sharpness = nn.Parameter(torch.tensor(4.0))
        self.norm = nn.LayerNorm(2 * dim)
        self.token = nn.Linear(2 * dim, hidden)
        self.judge = nn.Sequential(
            nn.Linear(2 * hidden + 2, hidden), nn.GELU(), nn.Linear(hidden, 2)
        )

    def forward(
        self, features: dict[str, Tensor], tokens: Tensor, pose_encoding: Tensor
    ) -> tuple[Tensor, Matches]:
        """
        Replace the poses of a pose encoding by those that the matches tell; float32.

        Parameters
        ----------
        features : of the image encoder, (B, V, ...) each.
        tokens : (B, V, NUM_SPECIAL + h * w, 2 C), the aggregator's last output.
        pose_encoding : (B, V, 9), of the camera head; its fields of view are used and kept.

        Returns
        -------
        pose_encoding : (B, V, 9).
        matches : what it was solved from.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            matches = self.match({k: x.float() for k, x in features.items()}, tokens.float())
            hw = (features[CELL_MAP].shape[-2], features[CELL_MAP].shape[-1])
            return solve_poses(matches, pose_encoding[..., 7:], hw), matches

    def match(self, features: dict[str, Tensor], tokens: Tensor) -> Matches:
        """Return the matches of all views with the first."""
        fine = features[CELL_MAP]
        rows, columns = fine.shape[-2:]
        windows = fine.shape[:2]
        coarse = self._spread(self.coarse(features['tokens'].flatten(2, 3)), (rows, columns))
        x = (self.fine(fine.flatten(0, 1)) + coarse.flatten(0, 1)).relu()
        x = x + self.context(x).relu()
        descriptor = normalize(self.describe(x).flatten(2).transpose(1, 2), dim=-1)
        descriptor = descriptor.reshape(*windows, *descriptor.shape[1:])  # (B, V, N, 64)
        similarity = descriptor @ descriptor[:, :1].transpose(-1, -2)
        logits = self.log_sharpness.exp() * similarity
        probability = logits.softmax(-1)
        xy, variance = mean_and_variance(probability.reshape(*windows, -1, rows, columns))
        certainty = torch.stack((probability.amax(-1), (1 + variance).log()), dim=-1)
        token = self.token(self.norm(tokens[:, :, NUM_SPECIAL:]))
        token = self._spread(token, (rows, columns)).flatten(3).transpose(2, 3)
        local = x.flatten(2).transpose(1, 2).unflatten(0, windows)
        judged = self.judge(torch.cat((local, token, certainty), dim=-1))
        return Matches(logits, xy, logsigmoid(judged[..., 0]), judged[..., 1])

    @staticmethod
    def _spread(tokens: Tensor, hw: tuple[int, int]) -> Tensor:
        """Repeat patch tokens (B, V, h * w, C) of 16 pixels over their cells: (B, V, C, *hw)."""
        batch, views, _, dim = tokens.shape
        grid = tokens.transpose(2, 3).reshape(batch * views, dim, hw[0] // 2, hw[1] // 2)
        return interpolate(grid, scale_factor=2.0).reshape(batch, views, dim, *hw)


def mean_and_variance(probability: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return where on a grid something is expected, and how uncertain that is.

    Parameters
    ----------
    probability : (..., rows, columns), which sums to 1.

    Returns
    -------
    xy : (..., 2), expected column and row.
    variance : (...), of column and row together.

    Notes
    -----
    Sums, not products of matrices, which an engine may compute in 16 bits.
    """
    means, variances = [], []
    for of_axis in (probability.sum(-2), probability.sum(-1)):
        index = torch.arange(of_axis.shape[-1], dtype=torch.float32, device=of_axis.device)
        mean = (of_axis * index).sum(-1)
        means.append(mean)
        variances.append((of_axis * index.square()).sum(-1) - mean.square())
    return torch.stack(means, dim=-1), (variances[0] + variances[1]).clamp(min=0)


def cell_centres(hw: tuple[int, int], like: Tensor) -> Tensor:
    """Return column and row of each cell, row by row: (N, 2)."""
    row = torch.arange(hw[0], dtype=torch.float32, device=like.device)
    column = torch.arange(hw[1], dtype=torch.float32, device=like.device)
    y, x = torch.meshgrid(row, column, indexing='ij')
    return torch.stack((x.flatten(), y.flatten()), dim=-1)


def solve_poses(matches: Matches, fov: Tensor, hw: tuple[int, int]) -> Tensor:
    """
    Solve for the pose of every view from its matches.

    Parameters
    ----------
    matches : with the first view.
    fov : (B, V, 2), vertical and horizontal field of view in rad.
    hw : rows and columns of cells.

    Returns
    -------
    (B, V, 9) pose encodings; the first view has the identity up to rounding.

    Notes
    -----
    A point at inverse depth r on the ray (x, y, 1) of a view is (x, y, 1, r) in homogeneous
    coordinates; so far points, whose r is 0, tell the rotation alone. Its projection into the
    first view minus the match is the residual. Weights of outliers fall as Cauchy's.

    All is said in sums of products, not in products of matrices, which an engine may compute in
    16 bits, and in few operations on large arrays with the cells last, which compilers fuse well.
    """
    device = fov.device
    ray = pad(image_plane(cell_centres(hw, fov), hw, fov), (0, 1), value=1.0)
    inverse_depth = matches.log_inverse_depth.clamp(-8, 4).exp()[:, :, None]
    point = torch.cat((ray.transpose(2, 3), inverse_depth), dim=2)  # (B, V, 4, N)
    wanted = image_plane(matches.cell_xy, hw, fov[:, :1]).transpose(2, 3)  # (B, V, 2, N)
    weight = matches.log_weight.exp()[:, :, None] / point.shape[-1]
    motions = torch.tensor(MOTIONS, device=device)[..., None]
    first_from_cam = torch.eye(4, device=device).expand(*fov.shape[:2], 4, 4)
    for _ in range(NUM_UPDATES):
        there = (first_from_cam[..., None] * point[:, :, None]).sum(3)
        there = there / there[:, :, 2:3].clamp(min=LEAST_DEPTH)  # now at depth 1
        seen = there[:, :, :2]
        error = wanted - seen
        trust = weight / (1 + error.square().sum(2, keepdim=True) / OUTLIER_SCALE**2)
        moved = (motions * there[:, :, None, None]).sum(4)  # (B, V, 6, 3, N)
        moved = moved[:, :, :, :2] - seen[:, :, None] * moved[:, :, :, 2:]
        step = rigid_motion(least_squares(moved, error, trust))
        first_from_cam = product(step, first_from_cam)
    return torch.cat((inverse_encoding(first_from_cam), fov), dim=-1)


def least_squares(moved: Tensor, error: Tensor, weight: Tensor) -> Tensor:
    """
    Return the motion (B, V, 6) that explains the errors best: turns, then moves.

    Parameters
    ----------
    moved : (B, V, 6, 2, N), by how much each of the six moves each projection.
    error : (B, V, 2, N), by how much it should move.
    weight : (B, V, 1, N), at most 1 in all, which the prior is made for.
    """
    weighted = (moved * weight[:, :, None]).flatten(3)
    both = torch.cat((moved, error[:, :, None]), dim=2).flatten(3)
    normal = (weighted[:, :, :, None] * both[:, :, None]).sum(-1)  # (B, V, 6, 7)
    unit = torch.eye(6, 7, device=weight.device)
    system = normal + unit * torch.tensor(PRIOR, device=weight.device)[:, None]
    # Gauss-Jordan elimination; the matrix is positive definite, so no pivot is looked for.
    for row in range(6):
        pivot = system[..., row : row + 1, :] / system[..., row : row + 1, row : row + 1]
        system = system - (system[..., row : row + 1] - unit[:, row : row + 1]) * pivot
    return system[..., 6]


def product(left: Tensor, right: Tensor) -> Tensor:
    """
    Return the product of matrices, (..., n, n) each, as the sum of n outer products.

    Not as one sum over an axis: TensorRT-RTX 1.7 fuses such sums from update to update, and the
    plan grows from 26 MB to 2 GB.
    """
    total = left[..., :1] * right[..., :1, :]
    for k in range(1, left.shape[-1]):
        total = total + left[..., k : k + 1] * right[..., k : k + 1, :]
    return total


def rigid_motion(motion: Tensor) -> Tensor:
    """
    Return the 4 x 4 matrix (B, V, 4, 4) of a turn, then a move.

    Parameters
    ----------
    motion : (B, V, 6), a turn by twice the angle whose tangent is half its length (Cayley), and
        a translation.
    """
    half, move = motion[..., :3] / 2, motion[..., 3:, None]
    square = half.square().sum(-1)[..., None, None]
    outer = half[..., :, None] * half[..., None, :]
    unit = torch.eye(3, device=motion.device)
    turn = (unit * (1 - square) + 2 * (outer + cross_matrix(half))) / (1 + square)
    last = torch.eye(4, device=motion.device)[3:].expand(*motion.shape[:2], 1, 4)
    return torch.cat((torch.cat((turn, move), dim=-1), last), dim=-2)


def cross_matrix(vector: Tensor) -> Tensor:
    """Return the matrices (..., 3, 3) of the cross products with vectors (..., 3)."""
    turns = torch.tensor(MOTIONS, device=vector.device)[:3, :, :3]
    return (turns * vector[..., :, None, None]).sum(-3)


def inverse_encoding(pose: Tensor) -> Tensor:
    """Return translation and quaternion xyzw, (B, V, 7), of the inverses of poses (B, V, 4, 4)."""
    rotation, move = pose[..., :3, :3], pose[..., :3, 3:]
    translation = -(rotation * move).sum(-2)
    diagonal = rotation.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None]
    twice_w = (1 + diagonal).clamp(min=1e-2).sqrt()
    turns = torch.tensor(MOTIONS, device=pose.device)[:3, :, :3]
    skew = -(turns * rotation[..., None, :, :]).sum((-2, -1))
    return torch.cat((translation, skew / (2 * twice_w), twice_w / 2), dim=-1)


def image_plane(xy: Tensor, hw: tuple[int, int], fov: Tensor) -> Tensor:
    """
    Return positions on the plane at depth 1, (B, V, N, 2).

    Parameters
    ----------
    xy : (..., N, 2), column and row of positions on a grid; the centre of the first cell is 0.
    hw : rows and columns of the grid, which covers the image.
    fov : (B, V, 2), vertical and horizontal field of view in rad; limited to what a lens has.
    """
    half = torch.tensor([hw[1] / 2, hw[0] / 2], device=fov.device)
    plane: Tensor = (xy + 0.5 - half) / half * half_extent(fov)
    return plane


def half_extent(fov: Tensor) -> Tensor:
    """Return half the width and height of the image at depth 1, (B, V, 1, 2)."""
    return (fov.flip(-1) / 2).clamp(0.05, 1.5).tan()[:, :, None]
