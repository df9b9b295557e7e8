"""Where the other views see what lies at given depths before the pixels of a view."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_DEPTH = 0.05  # of a point before the other camera, relative to its depth before the first
LEAST_RATE = 0.01  # pixels; a smaller motion says nothing


class Cameras(NamedTuple):
    """
    The cameras of a window of V views.

    Parameters
    ----------
    intrinsics : (B, V, 3, 3) in pixels of the network's input, without skew, pixel centres at
        integers.
    cam_from_world : (B, V, 4, 4), in the unit of the network's depth.
    trust : (B, V) in [0, 1], how far a pose is to be relied on: 1 / (1 + e^2), where e is the
        deviation in pixels that the pose's own covers at the scene's depth; 0 = there is no pose.
    """

    intrinsics: Tensor
    cam_from_world: Tensor
    trust: Tensor


class Projections(NamedTuple):
    """
    Where S sources see the points at D depths before N pixels of a view.

    Parameters
    ----------
    x, y : (B, S, D, N), in pixels of the source.
    visible : (B, S, D, N), 1 where that lies before the source and within its image, else 0.
    log_rate : (B, S, D, N), log of the pixels by which it moves when the depth grows by a factor
        e: what the source knows about depth.
    """

    x: Tensor
    y: Tensor
    visible: Tensor
    log_rate: Tensor


def grid_pixels(hw: tuple[int, int], stride: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return x and y (N,) of the pixels at which the stem's map of a stride looks, row by row.

    Its convolutions pad after the last pixel, so cell j of stride s lies on pixel s j + s - 1.
    """
    row = stride * torch.arange(hw[0], dtype=torch.float32, device=like.device) + stride - 1
    column = stride * torch.arange(hw[1], dtype=torch.float32, device=like.device) + stride - 1
    y, x = torch.meshgrid(row, column, indexing='ij')
    return x.flatten(), y.flatten()


def relative_pose(cam_from_world: Tensor, other_from_world: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return rotation (B, S, 3, 3) and translation (B, S, 3) of other_from_cam.

    In sums of products, not in products of matrices, which an engine may compute in 16 bits.

    Parameters
    ----------
    cam_from_world : (B, 4, 4).
    other_from_world : (B, S, 4, 4).
    """
    turn = cam_from_world[:, None, None, :3, :3]  # (B, 1, 1, 3, 3): row k of the camera's turn
    other = other_from_world[:, :, :3, None, :3]  # (B, S, 3, 1, 3)
    rotation = (other * turn).sum(-1)  # R_other R_cam^T
    moved = (rotation * cam_from_world[:, None, None, :3, 3]).sum(-1)
    return rotation, other_from_world[:, :, :3, 3] - moved


def project(
    log_depth: Tensor,
    pixels: tuple[Tensor, Tensor],
    intrinsics: Tensor,
    source_intrinsics: Tensor,
    source_from_cam: tuple[Tensor, Tensor],
    image_hw: tuple[int, int],
) -> Projections:
    """
    Project the points at some depths before each pixel into the sources; float32 throughout.

    Parameters
    ----------
    log_depth : (B or 1, D, N or 1).
    pixels : x and y, (N,) each.
    intrinsics, source_intrinsics : (B, 3, 3) and (B, S, 3, 3).
    source_from_cam : rotation (B, S, 3, 3) and translation (B, S, 3).
    image_hw : height and width of all images.
    """
    rotation, translation = source_from_cam
    ray_x = (pixels[0] - intrinsics[:, 0, 2, None]) / intrinsics[:, 0, 0, None]  # (B, N)
    ray_y = (pixels[1] - intrinsics[:, 1, 2, None]) / intrinsics[:, 1, 1, None]
    ray = torch.stack((ray_x, ray_y, torch.ones_like(ray_x)), dim=1)  # (B, 3, N)
    far = (rotation[..., None] * ray[:, None, None]).sum(3)  # (B, S, 3, N), at infinity
    inverse = (-log_depth).exp()[:, None]  # (B or 1, 1, D, N or 1)

    def at_depths(axis: int) -> Tensor:
        return far[:, :, axis, None] + translation[:, :, axis, None, None] * inverse

    depth = at_depths(2)
    in_front = depth > LEAST_DEPTH
    depth = depth.clamp(min=LEAST_DEPTH)
    places, moved = [], []
    for axis in (0, 1):
        focal = source_intrinsics[:, :, axis, axis, None]
        centre = source_intrinsics[:, :, axis, 2, None, None]
        places.append(focal[..., None] * at_depths(axis) / depth + centre)
        forth = translation[:, :, axis, None] * far[:, :, 2]
        moved.append(focal * (forth - far[:, :, axis] * translation[:, :, 2, None]))
    x, y = places
    height, width = image_hw
    inside_x = (x - (width - 1) / 2).abs() < width / 2
    inside_y = (y - (height - 1) / 2).abs() < height / 2
    # The rate is inverse / depth^2 times what does not depend on depth.
    square = (moved[0].square() + moved[1].square())[:, :, None]
    rate = square * (inverse / depth.square()).square() + LEAST_RATE**2
    return Projections(x, y, (in_front & inside_x & inside_y).float(), rate.log() / 2)


def sampling_grid(x: Tensor, y: Tensor, stride: int, hw: tuple[int, int]) -> Tensor:
    """
    Return where pixels lie on the stem's map of a stride, (B, S, 2, D, N).

    Corners to corners, as `grid_sample` with `align_corners=True` wants it, but for the order of
    the axes; places far outside are brought near the map.

    Parameters
    ----------
    x, y : (B, S, D, N), pixels.
    stride : of the map.
    hw : rows and columns of the map.
    """
    places = []
    for pixel, count in ((x, hw[1]), (y, hw[0])):
        scale = 2 / (stride * (count - 1))  # pixel stride - 1 is at -1
        places.append((pixel * scale - ((stride - 1) * scale + 1)).clamp(-2.0, 2.0))
    return torch.stack(places, dim=2)
