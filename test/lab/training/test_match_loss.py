"""True matches from depth and cameras, and the loss of those that a network finds."""

from __future__ import annotations

import math

from moe3d_engine.lab.training.match_loss import match_loss
from moe3d_engine.lab.training.match_loss import true_matches
from moe3d_engine.lab.training.match_loss import TrueMatches
from moe3d_engine.model.matching import Matches
import pytest
import torch
from torch import Tensor

SIZE = (32, 48)  # 4 x 6 cells
FOV = (2 * torch.tensor([0.5, 0.75]).atan()).tolist()  # the image spans 1 x 1.5 at depth 1


def cameras(shift_x: float) -> Tensor:
    """Return two pose encodings: the world's camera, and one from which points are shifted."""
    still = [0.0, 0, 0, 0, 0, 0, 1, *FOV]
    return torch.tensor([[still, [shift_x, *still[1:]]]])


def test_sideways_motion_before_a_wall_shifts_every_cell_by_its_parallax() -> None:
    depth = torch.full((1, 2, *SIZE), 2.0)

    truth = true_matches(depth, torch.ones_like(depth), cameras(-0.5))

    # .5 m at 2 m is .25 on the plane at depth 1, where 6 cells span 1.5: one cell
    column, row = truth.cell_xy[0, 1].T.reshape(2, 4, 6)
    torch.testing.assert_close(column, torch.arange(1.0, 7.0).expand(4, 6))
    torch.testing.assert_close(row, torch.arange(0.0, 4.0)[:, None].expand(4, 6))
    seen = truth.seen[0, 1].reshape(4, 6)
    assert seen[:, :5].all()
    assert not seen[:, 5].any()


def test_first_view_matches_itself() -> None:
    depth = 1 + torch.rand(1, 2, *SIZE)

    truth = true_matches(depth, torch.ones_like(depth), cameras(0.3))

    torch.testing.assert_close(truth.cell_xy[0, 0, 7], torch.tensor([1.0, 1.0]))
    assert truth.seen[0, 0].all()


def test_points_behind_another_surface_are_not_seen() -> None:
    depth = torch.full((1, 2, *SIZE), 2.0)
    depth[0, 0] = 1.0  # the first view looks at something nearer

    truth = true_matches(depth, torch.ones_like(depth), cameras(-0.5))

    assert not truth.seen[0, 1].any()
    assert truth.known.all()


def test_unknown_depth_is_neither_seen_nor_learned() -> None:
    depth = torch.full((1, 2, *SIZE), 2.0)
    valid = torch.ones_like(depth)
    valid[0, 1] = 0

    truth = true_matches(depth, valid, cameras(-0.5))

    assert not truth.seen[0, 1].any()
    assert not truth.known[0, 1].any()


@pytest.mark.parametrize(('column', 'nats'), [(2.0, 0.0), (2.5, 0.0), (4.0, 20.0)])
def test_loss_is_zero_only_where_the_probability_is(column: float, nats: float) -> None:
    logits = torch.full((1, 1, 24, 24), -20.0)
    logits[..., 2:4] = 0.0  # the true cells, in the first row, which share the probability
    cell_xy = torch.tensor([column, 0.0]).expand(1, 1, 24, 2)
    ones = torch.ones(1, 1, 24)
    matches = Matches(logits, cell_xy, ones, -ones.log())

    loss = match_loss(matches, TrueMatches(cell_xy, ones, ones, ones), (4, 6))

    assert float(loss) == pytest.approx(nats + math.log(2))


def test_loss_counts_the_log_error_of_known_depth_alone() -> None:
    place = torch.zeros(1, 1, 24, 2)
    ones, known = torch.ones(1, 1, 24), torch.zeros(1, 1, 24)
    known[..., :6] = 1
    depth = torch.where(known > 0, 2 * torch.e * ones, 100 * ones)
    matches = Matches(torch.zeros(1, 1, 24, 24), place, ones, -(2 * ones).log())

    loss = match_loss(matches, TrueMatches(place, 0 * ones, depth, known), (4, 6))

    assert float(loss) == pytest.approx(1.0)
