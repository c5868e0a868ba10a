"""Hits in cells that share an edge.

A particle that crosses the border of two cells, or an electron that it sets free, makes hits in both: in a layer of a
shower pairs of neighbouring hits are more frequent than hits drawn independently of each other would make them. So a
hit brings about a hit in each neighbouring cell farther from the line of flight with a small probability, kappa
r^2 / (r^2 + 1) at a distance of r cells, which leaves the core, where all cells are hit anyway, alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .conditions import Conditions, Geometry

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


def strength(square_H: Tensor) -> Tensor:
    """Part of kappa that applies at a squared distance in cells."""
    return square_H / (square_H + 1)


def neighbours(
    geometry: Geometry, c: Conditions, row_H: Tensor, layer_H: Tensor, x_H: Tensor, y_H: Tensor
) -> Neighbours:
    """Look at the four neighbours of every hit of a batch."""
    width = geometry.window + 2
    group, half = row_H * geometry.layers + layer_H, geometry.half
    cell = (group * width + x_H.long() + half + 1) * width + y_H.long() + half + 1
    hit = torch.zeros(len(c) * geometry.layers * width**2, device=row_H.device)
    hit[cell] = 1
    offset = c.offset_BL2[row_H, layer_H]
    dx, dy = x_H - offset[:, 0], y_H - offset[:, 1]
    own = strength(dx * dx + dy * dy)
    nearer, farther, pull, spread = (torch.zeros_like(dx) for _ in range(4))
    for step_x, step_y in DIRECTIONS:
        beside = hit[cell + int(step_x) * width + int(step_y)]
        along = step_x * dx + step_y * dy
        out = along > -0.5
        nearer = nearer + beside * ~out
        farther = farther + beside * out
        pull = pull + beside * ~out * strength((dx + step_x) ** 2 + (dy + step_y) ** 2)
        inside = torch.maximum((x_H + step_x).abs(), (y_H + step_y).abs()) <= half
        spread = spread + (out & inside) * own
    return Neighbours(nearer, farther, pull, spread)


def successors(c: Conditions, rate_L: Tensor, row_H: Tensor, layer_H: Tensor, xy_H2: Tensor, uniform_H: Tensor,
               nowhere: float) -> Tensor:  # fmt: skip
    """Cell of the hit that each hit brings about, [H, 2]; ``(nowhere, nowhere)`` where there is none.

    Parameters
    ----------
    c : Conditions
    rate_L : float32 [L]
        kappa of each layer, below 1/4.
    row_H, layer_H : int64 [H]
    xy_H2 : float32 [H, 2]
    uniform_H : float32 [H]
        Whether, and in which direction: each has the same part of the interval.
    nowhere : float
        A number outside the window.
    """
    d = xy_H2 - c.offset_BL2[row_H, layer_H]
    rate = rate_L[layer_H] * strength((d * d).sum(1))
    way = torch.floor(uniform_H / rate.clamp_min(1e-6)).clamp_max(len(DIRECTIONS)).long()
    step = torch.tensor((*DIRECTIONS, (0.0, 0.0)), device=d.device)[way]
    out = (way < len(DIRECTIONS)) & ((step * d).sum(1) > -0.5)
    return torch.where(out[:, None], xy_H2 + step, torch.full_like(xy_H2, nowhere))
