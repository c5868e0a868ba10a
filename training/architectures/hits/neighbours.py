# SPDX-License-Identifier: BSD-3-Clause
"""Neighbouring hits: rates and counts of hits in cells that share an edge.

A particle that crosses the border of two cells, or an electron that it sets free, makes hits in both: in a layer of a
shower pairs of neighbouring hits are more frequent than hits drawn independently of each other would make them. So a
hit brings about a hit in each neighbouring cell farther from the line of flight with a small probability, kappa
r^2 / (r^2 + 1) at a distance of r cells, which leaves the core, where all cells are hit anyway, alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..hit_lists.conditions import Geometry, HitConditions

DIRECTIONS = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


@dataclass(frozen=True)
class Neighbours:
    """What stands beside each hit.

    Attributes
    ----------
    nearer_H, farther_H : float32 [H]
        How many of the neighbouring cells that are nearer to the line of flight, or farther, are hit.
    pull_H : float32 [H]
        Rate at which the nearer ones bring about this hit, over kappa.
    spread_H : float32 [H]
        Rate at which this hit brings about others inside the window, over kappa.
    """

    nearer_H: Tensor
    farther_H: Tensor
    pull_H: Tensor
    spread_H: Tensor


def coupling(square_H: Tensor) -> Tensor:
    """Part of kappa that applies at a squared distance in cells."""
    return square_H / (square_H + 1)


def neighbours(
    geometry: Geometry, c: HitConditions, row_H: Tensor, layer_H: Tensor, x_H: Tensor, y_H: Tensor
) -> Neighbours:
    """Look at the four neighbours of every hit of a batch."""
    width = geometry.window + 2
    group, half = row_H * geometry.layers + layer_H, geometry.half
    cell = (group * width + x_H.long() + half + 1) * width + y_H.long() + half + 1
    hit = torch.zeros(len(c) * geometry.layers * width**2, device=row_H.device)
    hit[cell] = 1
    offset = c.offset_BL2[row_H, layer_H]
    dx, dy = x_H - offset[:, 0], y_H - offset[:, 1]
    own = coupling(dx * dx + dy * dy)
    nearer, farther, pull, spread = (torch.zeros_like(dx) for _ in range(4))
    for step_x, step_y in DIRECTIONS:
        beside = hit[cell + int(step_x) * width + int(step_y)]
        along = step_x * dx + step_y * dy
        out = along > -0.5
        nearer = nearer + beside * ~out
        farther = farther + beside * out
        pull = pull + beside * ~out * coupling((dx + step_x) ** 2 + (dy + step_y) ** 2)
        inside = torch.maximum((x_H + step_x).abs(), (y_H + step_y).abs()) <= half
        spread = spread + (out & inside) * own
    return Neighbours(nearer, farther, pull, spread)


def successors(kappa_H: Tensor, d_H2: Tensor, xy_H2: Tensor, uniform_H: Tensor, nowhere: float) -> Tensor:
    """Cell of the hit that each hit brings about, [H, 2]; ``(nowhere, nowhere)`` where there is none.

    Parameters
    ----------
    kappa_H : float32 [H]
    d_H2 : float32 [H, 2]
        Distance from the line of flight along x and y, in cells.
    xy_H2 : float32 [H, 2]
    uniform_H : float32 [H]
        Whether, and in which direction: each that leads outwards has the same part of the interval.
    nowhere : float
        A number outside the window.
    """
    rate = kappa_H * coupling((d_H2 * d_H2).sum(1))
    end, chosen = torch.zeros_like(rate), torch.full_like(xy_H2, nowhere)
    for step in torch.tensor(DIRECTIONS, device=rate.device):
        begin, end = end, end + rate * ((step * d_H2).sum(1) > -0.5)
        here = (uniform_H >= begin) & (uniform_H < end)
        chosen = torch.where(here[:, None], xy_H2 + step, chosen)
    return chosen
