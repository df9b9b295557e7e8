"""What the matches between views should be, from true depth and cameras, and the loss for it."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.model.matching import cell_centres
from moe3d_engine.model.matching import CELL_PX
from moe3d_engine.model.matching import half_extent
from moe3d_engine.model.matching import image_plane
from moe3d_engine.model.matching import Matches
import torch
from torch import Tensor
from torch.nn.functional import pad

OCCLUSION_TAU = 0.05  # a point deeper than what its pixel sees by this share is hidden
CENTRE_PX = CELL_PX // 2  # the pixel of a cell whose depth is taken for the cell's
DEPTH_WEIGHT = 1.0  # of the inverse depth, next to the cross entropy of the matches


class TrueMatches(NamedTuple):
    """
    Where each cell of each view lies in the first view.

    Parameters
    ----------
    cell_xy : (B, V, N, 2), column and row in cells; without meaning where it is not seen.
    seen : (B, V, N), 1 where the first view sees the cell's point, else 0.
    depth : (B, V, N), of the cell in its own view.
    known : (B, V, N), 1 where that depth is known.
    """

    cell_xy: Tensor
    seen: Tensor
    depth: Tensor
    known: Tensor


def true_matches(depth: Tensor, valid: Tensor, pose_encoding: Tensor) -> TrueMatches:
    """
    Project the centre of each cell into the first view.

    Parameters
    ----------
    depth : (B, V, H, W), true depth in the unit of the poses.
    valid : (B, V, H, W), 1 where it is known.
    pose_encoding : (B, V, 9), true cameras; the first view is the world.
    """
    hw = (depth.shape[2], depth.shape[3])
    fov = pose_encoding[..., 7:]
    take = (..., slice(CENTRE_PX, None, CELL_PX), slice(CENTRE_PX, None, CELL_PX))
    cell_depth, known = depth[take].flatten(2), valid[take].flatten(2)
    pixel = cell_centres((hw[0] // CELL_PX, hw[1] // CELL_PX), depth) * CELL_PX + CENTRE_PX
    ray = pad(image_plane(pixel, hw, fov), (0, 1), value=1.0)
    cam_from_first = pose_encoding[:, :, None, 3:7]
    first_from_cam = torch.cat((-cam_from_first[..., :3], cam_from_first[..., 3:]), dim=-1)
    point = ray * cell_depth[..., None] - pose_encoding[:, :, None, :3]
    x, y, z = rotate(first_from_cam, point).unbind(-1)
    projected = torch.stack((x, y), dim=-1) / z.clamp(min=1e-3)[..., None]
    size = torch.tensor([hw[1], hw[0]], device=depth.device)
    seen_px = (projected / half_extent(fov[:, :1]) + 1) * size / 2 - 0.5  # (B, V, N, 2)
    inside = ((seen_px >= 0) & (seen_px <= size - 1)).all(-1) & (z > 0)
    nearest = torch.minimum(seen_px.round().clamp(min=0), size - 1).long()
    index = (nearest[..., 1] * hw[1] + nearest[..., 0]).flatten(1)  # (B, V * N)
    there = depth[:, 0].flatten(1).gather(1, index).view_as(z)
    known_there = valid[:, 0].flatten(1).gather(1, index).view_as(z)
    same = (there - z).abs() < OCCLUSION_TAU * z
    # The same point of the cell on both sides, so that no motion is no shift.
    cell_xy = (seen_px - CENTRE_PX) / CELL_PX
    return TrueMatches(cell_xy, known * known_there * (inside & same), cell_depth, known)


def match_loss(matches: Matches, truth: TrueMatches, hw: tuple[int, int]) -> Tensor:
    """
    Return the cross entropy of the matches plus the log error of the cells' depth.

    Parameters
    ----------
    matches, truth : of the same windows.
    hw : rows and columns of cells.

    Notes
    -----
    The true place lies between four cells, which share it as in bilinear interpolation.
    """
    rows, columns = hw
    corner = truth.cell_xy.floor()
    share_x, share_y = (truth.cell_xy - corner).unbind(-1)
    log_probability = matches.logits.log_softmax(-1)
    nats = torch.zeros_like(share_x)
    for dx, by_x in ((0, 1 - share_x), (1, share_x)):
        for dy, by_y in ((0, 1 - share_y), (1, share_y)):
            column = (corner[..., 0] + dx).clamp(0, columns - 1).long()
            row = (corner[..., 1] + dy).clamp(0, rows - 1).long()
            chosen = log_probability.gather(-1, (row * columns + column)[..., None])
            nats = nats - by_x * by_y * chosen[..., 0]
    cross_entropy = (truth.seen * nats).sum() / truth.seen.sum().clamp(min=1.0)
    log_error = (matches.log_inverse_depth + truth.depth.log()).abs()
    depth_error = (truth.known * log_error).sum() / truth.known.sum().clamp(min=1.0)
    return cross_entropy + DEPTH_WEIGHT * depth_error


def rotate(quaternion: Tensor, x: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by unit quaternions xyzw (..., 4)."""
    axis, w = quaternion[..., :3].expand(x.shape), quaternion[..., 3:]
    twice: Tensor = 2 * torch.linalg.cross(axis, x)
    turned: Tensor = x + w * twice + torch.linalg.cross(axis, twice)
    return turned
