"""Whether a pixel looks like the near or like the far surface around it."""

from __future__ import annotations

from moe3d_engine.model.sweep.surfaces import doubled
from moe3d_engine.model.sweep.surfaces import leaning_means
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import avg_pool2d

NUM_SIDE_CUES = 4
TINTS = 3
LEAST_CONTRAST = 0.01  # squared; below it two surfaces look alike
LEAST_VARIANCE = 0.002
MOST_DEVIATIONS = 15.0  # squared
ROOT = 1e-4  # under the root, whose slope is finite then


class SideCues(nn.Module):
    """
    Compares the look of a pixel with that of the two surfaces that the sweep has found around it.

    A sweep at half the image's resolution does not say where exactly one surface ends; at full
    resolution the image does. What is compared is a few channels that the stem has made of the
    colours. As in joint bilateral upsampling (Kopf 2007) the image guides depth, but it chooses
    between two surfaces and never averages them.

    Parameters
    ----------
    channels : of the stem's map at full resolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tint = nn.Conv2d(channels, TINTS, 1)

    def forward(self, skip1: Tensor, log_depth: Tensor) -> Tensor:
        """
        Return the cues (B, NUM_SIDE_CUES, H, W): above 0 where a pixel looks like the far surface.

        The first is in shares of the contrast of both, the second in variances of each; then come
        the ratio of their variances and the contrast.

        Parameters
        ----------
        skip1 : (B, C, H, W), the stem's map at full resolution.
        log_depth : (B, 1, H / 2, W / 2), of the sweep.
        """
        look = self.tint(skip1).float()
        cells = avg_pool2d(look, 2)
        of_cells = torch.cat((cells, cells.square().sum(1, keepdim=True)), dim=1)
        near, far = (doubled(side) for side in leaning_means(log_depth, of_cells))
        near, near_square = near[:, :TINTS], near[:, TINTS:]
        far, far_square = far[:, :TINTS], far[:, TINTS:]
        off_near, off_far = _square(look - near), _square(look - far)
        contrast = _square(near - far)
        near_variance = (near_square - _square(near)).clamp(min=0) + LEAST_VARIANCE
        far_variance = (far_square - _square(far)).clamp(min=0) + LEAST_VARIANCE
        deviations = off_near / near_variance - off_far / far_variance
        return torch.cat(
            (
                (off_near - off_far) / (contrast + LEAST_CONTRAST),
                deviations.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS) / 5,
                (near_variance / far_variance).log() / 2,
                (contrast + ROOT).sqrt(),
            ),
            dim=1,
        )


def _square(x: Tensor) -> Tensor:
    """Return the sum of squares over the channels."""
    return x.square().sum(1, keepdim=True)
