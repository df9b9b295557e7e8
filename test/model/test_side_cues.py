"""What a pixel looks like says on which of two surfaces it lies."""

from __future__ import annotations

from moe3d_engine.model.sweep.sides import SideCues
import pytest
import torch
from torch import Tensor

NEAR, FAR = 0.3, 0.9  # in log depth
HW = (24, 32)


@pytest.fixture
def cues() -> SideCues:
    """Return cues that look at the first three channels as they are."""
    cues = SideCues(16)
    with torch.no_grad():
        cues.tint.weight.zero_()
        cues.tint.weight[:, :3, 0, 0] = torch.eye(3)
        cues.tint.get_parameter('bias').zero_()
    return cues


def step(columns: int, width: int, low: float, high: float) -> Tensor:
    """Return a map (1, 1, H, width) that jumps at a column."""
    row = torch.where(torch.arange(width) < columns, low, high)
    return row.expand(1, 1, HW[0] * width // HW[1], width).clone()


def look(columns: int, low: float, high: float) -> Tensor:
    """Return the stem's map (1, 16, H, W) of an image whose colour jumps at a column."""
    skip1 = torch.zeros(1, 16, *HW)
    skip1[:, :3] = step(columns, HW[1], low, high)
    return skip1


@pytest.mark.parametrize('edge', [14, 15, 16, 17, 18])
def test_the_side_is_that_of_the_image_where_the_sweep_is_a_cell_off(
    cues: SideCues, edge: int
) -> None:
    log_depth = step(8, HW[1] // 2, NEAR, FAR)  # its step is at pixel 16
    with torch.no_grad():
        side, by_variance, _, contrast = cues(look(edge, 0.2, 0.8), log_depth)[0]
    beside = slice(11, 21)
    expected = (torch.arange(HW[1]) >= edge).expand(HW)
    assert torch.equal(side[2:-2, beside] > 0, expected[2:-2, beside])
    assert torch.equal(by_variance[2:-2, beside] > 0, expected[2:-2, beside])
    assert (contrast[2:-2, 15:17] > 0.3).all()


def test_surfaces_that_look_alike_say_nothing(cues: SideCues) -> None:
    with torch.no_grad():
        found = cues(look(16, 0.5, 0.5), step(8, HW[1] // 2, NEAR, FAR))[0]
    assert found[:3].abs().max() < 1e-3
    assert found[3].max() < 0.02


def test_one_surface_has_no_sides_however_colourful_it_is(cues: SideCues) -> None:
    with torch.no_grad():
        found = cues(look(16, 0.2, 0.8), step(0, HW[1] // 2, FAR, FAR))[0]
    assert found[:3].abs().max() < 1e-3


def test_cues_have_finite_slopes_where_nothing_is_to_be_seen(cues: SideCues) -> None:
    log_depth = step(0, HW[1] // 2, FAR, FAR).requires_grad_()
    cues(torch.zeros(1, 16, *HW), log_depth).sum().backward()
    assert log_depth.grad is not None
    assert torch.isfinite(log_depth.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in cues.parameters() if p.grad is not None)
