"""Camera poses from matches: which point of the first view each cell sees, and what follows."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.model.aggregator import NUM_SPECIAL
from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.mobile_stem import SKIP_CHANNELS
import torch
from torch import nn
from torch import Tensor
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


class Matches(NamedTuple):
    """
    Where each cell of each view lies in the first view; N cells, row by row.

    Parameters
    ----------
    log_probability : (B, V, N, N), of each cell of the first view (last axis).
    cell_xy : (B, V, N, 2), expected column and row, in cells.
    log_weight : (B, V, N), what the match counts.
    log_inverse_depth : (B, V, N), of the cell in its own view.
    """

    log_probability: Tensor
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
        log_probability = (self.log_sharpness.exp() * similarity).log_softmax(-1)
        probability = log_probability.exp()
        cells = cell_centres((rows, columns), tokens)
        # Sums, not products of matrices, which an engine may compute in 16 bits.
        cell_xy = torch.stack([(probability * axis).sum(-1) for axis in cells.unbind(-1)], dim=-1)
        spread = [(probability * axis.square()).sum(-1) for axis in cells.unbind(-1)]
        variance = torch.stack(spread, dim=-1) - cell_xy.square()
        certainty = torch.stack(
            (probability.amax(-1), (1 + variance.sum(-1).clamp(min=0)).log()), dim=-1
        )
        token = self.token(self.norm(tokens[:, :, NUM_SPECIAL:]))
        token = self._spread(token, (rows, columns)).flatten(3).transpose(2, 3)
        local = x.flatten(2).transpose(1, 2).unflatten(0, windows)
        judged = self.judge(torch.cat((local, token, certainty), dim=-1))
        return Matches(log_probability, cell_xy, logsigmoid(judged[..., 0]), judged[..., 1])

    @staticmethod
    def _spread(tokens: Tensor, hw: tuple[int, int]) -> Tensor:
        """Repeat patch tokens (B, V, h * w, C) of 16 pixels over their cells: (B, V, C, *hw)."""
        batch, views, _, dim = tokens.shape
        rows, columns = hw[0] // 2, hw[1] // 2
        grid = tokens.transpose(2, 3).reshape(batch, views, dim, rows, 1, columns, 1)
        return grid.expand(-1, -1, -1, -1, 2, -1, 2).reshape(batch, views, dim, *hw)


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
    A point at inverse depth r on the ray x of a view lies at R x + t r in the first camera, times
    1 / r; so far points, whose r is 0, tell the rotation alone. Its projection minus the match is
    the residual. Weights of outliers fall as Cauchy's.
    """
    ray = pad(image_plane(cell_centres(hw, fov), hw, fov), (0, 1), value=1.0)
    wanted = image_plane(matches.cell_xy, hw, fov[:, :1])
    inverse_depth = matches.log_inverse_depth.clamp(-8, 4).exp()[..., None]
    weight = matches.log_weight.exp()
    # first_from_cam, as quaternion xyzw and translation
    translation = torch.zeros(*fov.shape[:2], 3, device=fov.device)
    quaternion = pad(translation, (0, 1), value=1.0)
    for _ in range(NUM_UPDATES):
        turned = rotate(quaternion[:, :, None], ray)
        x, y, z = (turned + translation[:, :, None] * inverse_depth).unbind(-1)
        z = z.clamp(min=LEAST_DEPTH)
        u, v, r = x / z, y / z, inverse_depth[..., 0] / z
        du, dv = wanted[..., 0] - u, wanted[..., 1] - v
        a, b, c = (turned / z[..., None]).unbind(-1)
        none = torch.zeros_like(u)
        # derivatives of u and v by a small rotation before `turned` and by the translation
        by_u = torch.stack((-u * b, c + u * a, -b, r, none, -u * r), dim=-1)
        by_v = torch.stack((-c - v * b, v * a, a, none, r, -v * r), dim=-1)
        trust = weight / (1 + (du.square() + dv.square()) / OUTLIER_SCALE**2)
        step = least_squares(by_u, by_v, du, dv, trust)
        half_turn = pad(step[..., :3] / 2, (0, 1), value=1.0)
        quaternion = normalize(multiply(half_turn, quaternion), dim=-1)
        translation = translation + step[..., 3:]
    inverse = torch.cat((-quaternion[..., :3], quaternion[..., 3:]), dim=-1)
    return torch.cat((-rotate(inverse, translation), inverse, fov), dim=-1)


def least_squares(by_u: Tensor, by_v: Tensor, du: Tensor, dv: Tensor, weight: Tensor) -> Tensor:
    """
    Return the small motion (B, V, 6) that explains residuals (B, V, N) best.

    Parameters
    ----------
    by_u, by_v : (B, V, N, 6), derivatives of the two residuals.
    du, dv, weight : (B, V, N).
    """
    share = (weight / weight.shape[-1])[..., None]
    left = torch.cat((by_u, by_v), dim=2)  # (B, V, 2 N, 6)
    right = torch.cat((by_u * share, by_v * share), dim=2)
    residual = torch.cat((du, dv), dim=2)[..., None]
    # Sums, not products of matrices, which an engine may compute in 16 bits.
    normal = (right[..., None] * torch.cat((left, residual), dim=-1)[..., None, :]).sum(2)
    unit = torch.eye(6, 7, device=weight.device)
    matrix = normal + unit * torch.tensor(PRIOR, device=weight.device)[:, None]  # (B, V, 6, 7)
    # Gauss-Jordan elimination; the matrix is positive definite, so no pivot is looked for.
    for row in range(6):
        pivot = matrix[..., row : row + 1, :] / matrix[..., row : row + 1, row : row + 1]
        matrix = matrix - (matrix[..., row : row + 1] - unit[:, row : row + 1]) * pivot
    return matrix[..., 6]


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


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of quaternions xyzw (..., 4): first `b`, then `a`."""
    ax, ay, az, aw = a.unbind(-1)
    bx, by, bz, bw = b.unbind(-1)
    return torch.stack(
        (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ),
        dim=-1,
    )


def rotate(quaternion: Tensor, x: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by unit quaternions xyzw (..., 4)."""
    axis, w = quaternion[..., :3].expand(x.shape), quaternion[..., 3:]
    twice: Tensor = 2 * torch.linalg.cross(axis, x)
    turned: Tensor = x + w * twice + torch.linalg.cross(axis, twice)
    return turned
