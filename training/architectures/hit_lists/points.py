# SPDX-License-Identifier: BSD-3-Clause
"""How many points a layer draws, and which rows of the noise they take."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_POINTS = (16, 7)
"""Points of a layer at most: a constant, and what its number of hits is multiplied with."""
POINTS_BY_RATE = (4.0, 3.0, 1.2)
"""Points of a layer: a constant, and what the root of its rate and the rate itself are multiplied with."""
POINTS_BY_COUNT = 0.2
LATE = (3, 4)
"""Points of a layer behind this part of them are late: they matter only where those before fell in too few cells."""
LATE_WIDTH = 1.0
"""Width of the narrow blobs of late points at least, in cells: a narrow one would hit the same cell again."""


def most_points(count: Tensor) -> Tensor:
    """Points that a layer of `count` hits draws at most, int64."""
    number = MOST_POINTS[0] + MOST_POINTS[1] * count.long()
    return torch.where(count > 0, number, torch.zeros_like(number))


def points_of(count: Tensor, log_rate: Tensor) -> Tensor:
    """Points drawn for a layer: enough, more than 95 times in 100, for `count` distinct cells, int64.

    In a layer of the log rate r, exp(r) points fall in about `count` distinct cells.
    """
    root = torch.exp(log_rate / 2)
    number = POINTS_BY_RATE[0] + (POINTS_BY_RATE[1] + POINTS_BY_RATE[2] * root) * root + POINTS_BY_COUNT * count
    # a rate without bounds has no whole number of its own
    return torch.minimum(most_points(count).to(number), number).long()


def first_late(number: Tensor) -> Tensor:
    """Which of a layer's points is the first late one, int64."""
    part, whole = LATE
    return (part * number + whole - 1) // whole


def rows_of(number_BL: Tensor, capacity_B: Tensor) -> tuple[Tensor, Tensor]:
    """First row of the points' noise and number of rows that each layer uses, int64 [B, L].

    A layer that would run past its shower's capacity is moved back to where it fits; its points then share
    their noise with another layer's.
    """
    number = torch.minimum(number_BL, capacity_B[:, None])
    first = torch.cumsum(number, 1) - number
    free = capacity_B[:, None] - number
    return torch.where(first > free, first % (free + 1), first), number


def first_distinct(cell_P: Tensor, group_P: Tensor, cells: int, count_G: Tensor) -> Tensor:
    """Indices of the first `count` distinct cells of each group of points, [H].

    Parameters
    ----------
    cell_P : int64 [P]
        Cell of each point, counted through all groups.
    group_P : int64 [P]
    cells : int
        Of a group.
    count_G : int64 [G]
    """
    index = torch.arange(len(cell_P), device=cell_P.device, dtype=torch.int32)
    earliest = index.new_full((len(count_G) * cells,), len(cell_P))
    earliest.scatter_reduce_(0, cell_P, index, "amin")
    new = (earliest[cell_P] == index).nonzero()[:, 0]
    group = group_P[new]
    return new[rank_in_group(group, len(count_G)) < count_G[group]]


def needed_rows(count_BL: Tensor, times_BL: Tensor | None = None) -> tuple[int, int]:
    """Rows of noise of points, and of hits, of showers of known hit counts, each layer of which is drawn some times."""
    most = most_points(count_BL) if times_BL is None else most_points(count_BL) * times_BL
    # layers that need the most and such that need far less come together
    points = max(1, int(most.sum(1).max()) * 2 // 3)
    return points, max(1, int(count_BL.sum(1).max()))


def rank_in_group(group_H: Tensor, groups: int) -> Tensor:
    """Position of each hit in its group; groups must be contiguous."""
    count = torch.bincount(group_H, minlength=groups)
    return torch.arange(len(group_H), device=group_H.device) - (torch.cumsum(count, 0) - count)[group_H]
