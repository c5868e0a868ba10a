# SPDX-License-Identifier: BSD-3-Clause
"""Hits in the cells around a hit, in its own layer and in the layers before and behind.

A particle that crosses the border of two cells, or an electron that it sets free, makes hits in both: in a layer of a
shower pairs of neighbouring hits are more frequent than hits drawn independently of each other would make them. So a
hit brings about a hit in each of the eight cells around it that is farther from the line of flight with a small
probability, kappa r^2 / (r^2 + 1) at a distance of r cells, which leaves the core, where all cells are hit anyway,
alone.

Which cells are hit is noted on a torus of `SIDE` x `SIDE` cells for each layer, so that there is no window: only cells
that lie a multiple of `SIDE` cells apart are taken for each other. With it stands how many layers in a row lead to each
hit: a track goes on, what a neutron knocks out stops soon.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .conditions import Geometry, ShowerConditions

SIDE = 64
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
NINE = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
LONGEST = 15
"""Layers in a row, a hit's own among them, beyond which they do not count."""
EDGES = 4
"""The first directions lead across an edge, the others across a corner."""


@dataclass(frozen=True)
class Neighbours:
    """What stands beside each hit.

    Attributes
    ----------
    nearer_H, farther_H : float32 [H]
        How many of the eight cells around that are nearer to the line of flight, or farther, are hit.
    pull_H2 : float32 [H, 2]
        Rate at which the nearer ones across an edge, and across a corner, bring about this hit, over kappa.
    spread_H2 : float32 [H, 2]
        Rate at which this hit brings about others, over kappa.
    before_H, behind_H : float32 [H]
        Hits in the nine cells around the projection along the line of flight into the layer before, and behind, of the
        same section.
    length_H : float32 [H]
        Of the longest row of layers that leads to one of those before, up to `LONGEST`; zero where there is none.
    step_H2 : float32 [H, 2]
        How far the hit stands from those before, on average, along x and y; zero where there is none.
    """

    nearer_H: Tensor
    farther_H: Tensor
    pull_H2: Tensor
    spread_H2: Tensor
    before_H: Tensor
    behind_H: Tensor
    length_H: Tensor
    step_H2: Tensor

    @property
    def beside_H(self) -> Tensor:
        """Hits in the eight cells around, float32 [H]."""
        return self.nearer_H + self.farther_H


@dataclass(frozen=True)
class Near:
    """What stands beside the hits of one layer, and in the layer before.

    Attributes
    ----------
    edge_H, corner_H : float32 [H]
        How many of the four cells across an edge, and of the four across a corner, are hit.
    before_H, length_H : float32 [H]
    step_H2 : float32 [H, 2]
        As in `Neighbours`.
    """

    edge_H: Tensor
    corner_H: Tensor
    before_H: Tensor
    length_H: Tensor
    step_H2: Tensor

    @property
    def beside_H(self) -> Tensor:
        """Hits in the eight cells around, float32 [H]."""
        return self.edge_H + self.corner_H

    def __getitem__(self, index_K: Tensor) -> Near:
        return Near(*(getattr(self, f)[index_K] for f in self.__dataclass_fields__))


def strength(square_H: Tensor) -> Tensor:
    """Part of kappa that applies at a squared distance in cells."""
    return square_H / (square_H + 1)


def place_on_torus(group_H: Tensor, x_H: Tensor, y_H: Tensor) -> Tensor:
    """Number of a cell of a layer of a shower on the torus, int64 [H]."""
    return (group_H * SIDE + x_H.long() % SIDE) * SIDE + y_H.long() % SIDE


def neighbours(
    geometry: Geometry, c: ShowerConditions, row_H: Tensor, layer_H: Tensor, x_H: Tensor, y_H: Tensor
) -> Neighbours:
    """Look around every hit of a batch."""
    group = row_H * geometry.layers + layer_H
    offset = c.offset_BL2[row_H, layer_H]
    dx, dy = x_H - offset[:, 0], y_H - offset[:, 1]
    d = torch.stack([dx, dy], 1)
    hit, before, length, step = _before(geometry, c, row_H, layer_H, place_on_torus(group, x_H, y_H), d)
    own = strength(dx * dx + dy * dy)
    nearer, farther = torch.zeros_like(dx), torch.zeros_like(dx)
    pull, spread = dx.new_zeros(2, len(dx)), dx.new_zeros(2, len(dx))
    for k, (step_x, step_y) in enumerate(DIRECTIONS):
        beside = (hit[place_on_torus(group, x_H + step_x, y_H + step_y)] > 0).float()
        out = step_x * dx + step_y * dy > -0.5 * (step_x**2 + step_y**2)
        nearer = nearer + beside * ~out
        farther = farther + beside * out
        kind = int(k >= EDGES)
        pull[kind] += beside * ~out * strength((dx + step_x) ** 2 + (dy + step_y) ** 2)
        spread[kind] += out * own
    behind, _, _ = _in_other_layer(geometry, c, hit, row_H, layer_H, d, 1)
    return Neighbours(nearer, farther, pull.T, spread.T, before, behind, length, step)


def _before(
    geometry: Geometry, c: ShowerConditions, row_H: Tensor, layer_H: Tensor, place_H: Tensor, d_H2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The torus of all layers with what is noted of every hit, and `projected` into the layer before.

    It is filled layer by layer, along which lengths grow.
    """
    hit = torch.zeros(len(c) * geometry.layers * SIDE**2, device=row_H.device, dtype=torch.uint8)
    order = torch.argsort(layer_H, stable=True)
    found = []
    for here in torch.split(order, torch.bincount(layer_H, minlength=geometry.layers).tolist()):
        found.append(_in_other_layer(geometry, c, hit, row_H[here], layer_H[here], d_H2[here], -1))
        hit[place_H[here]] = one_longer(found[-1][1])
    back = torch.argsort(order)
    before, length, step = (torch.cat(parts)[back] for parts in zip(*found, strict=True))
    return hit, before, length, step


def one_longer(length_H: Tensor) -> Tensor:
    """What is noted on the torus: length of the row of layers that leads to each hit, its own among them, uint8 [H]."""
    return (length_H + 1).clamp_max(LONGEST).to(torch.uint8)


def _in_other_layer(
    geometry: Geometry, c: ShowerConditions, hit: Tensor, row_H: Tensor, layer_H: Tensor, d_H2: Tensor, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`projected` into the layer before or behind, nothing where that is of another section."""
    section = torch.tensor([-1, *geometry.section_of_layer, -1], device=row_H.device)
    same = section[layer_H + 1 + step] == section[layer_H + 1]
    other = torch.where(same, layer_H + step, layer_H)
    number, length, away = projected(hit, row_H * geometry.layers + other, d_H2, c.offset_BL2[row_H, other])
    return number * same, length * same, away * same[:, None]


def projected(hit: Tensor, group_H: Tensor, d_H2: Tensor, offset_H2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hits of another layer in the nine cells around the projection of each hit along the line of flight.

    Parameters
    ----------
    hit : uint8
        Not zero for each cell that is hit; see `place_on_torus` and `one_longer`.
    group_H : int64 [H]
        The other layer.
    d_H2 : float32 [H, 2]
        From the line of flight, in cells.
    offset_H2 : float32 [H, 2]
        Of the other layer.

    Returns
    -------
    float32 [H], [H], [H, 2]
        Their number, the largest of what is noted of them, and how far the hit stands from them on average.
    """
    cell = torch.floor(d_H2 + offset_H2 + 0.5)
    steps = torch.tensor(NINE, device=d_H2.device, dtype=d_H2.dtype)
    xy = cell[:, None] + steps
    noted = hit[place_on_torus(group_H[:, None], xy[..., 0], xy[..., 1])]
    found = (noted > 0).float()
    number = found.sum(1)
    away = d_H2 - (cell - offset_H2) - found @ steps / number.clamp_min(1)[:, None]
    return number, noted.amax(1).float(), away * (number > 0)[:, None]


def beside(hit: Tensor, group_H: Tensor, x_H: Tensor, y_H: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the cells across an edge of each hit, and across a corner, are hit, [H] each."""
    steps = torch.tensor(DIRECTIONS, device=x_H.device, dtype=x_H.dtype)
    xy = torch.stack([x_H, y_H], 1)[:, None] + steps
    found = hit[place_on_torus(group_H[:, None], xy[..., 0], xy[..., 1])].float()
    return found[:, :EDGES].sum(1), found[:, EDGES:].sum(1)


def successors(kappa_H2: Tensor, d_H2: Tensor, xy_H2: Tensor, uniform_H: Tensor, nowhere: float) -> Tensor:
    """Cell of the hit that each hit brings about, [H, 2]; ``(nowhere, nowhere)`` where there is none.

    Parameters
    ----------
    kappa_H2 : float32 [H, 2]
    d_H2 : float32 [H, 2]
        Distance from the line of flight along x and y, in cells.
    xy_H2 : float32 [H, 2]
    uniform_H : float32 [H]
        Whether, and in which direction: each that leads outwards has a part of the interval.
    nowhere : float
        A number that no cell has.
    """
    rate = kappa_H2 * strength((d_H2 * d_H2).sum(1))[:, None]
    end, chosen = torch.zeros_like(uniform_H), torch.full_like(xy_H2, nowhere)
    for k, (step_x, step_y) in enumerate(DIRECTIONS):
        out = step_x * d_H2[:, 0] + step_y * d_H2[:, 1] > -0.5 * (step_x**2 + step_y**2)
        begin, end = end, end + rate[:, int(k >= EDGES)] * out
        here = (uniform_H >= begin) & (uniform_H < end)
        step = torch.tensor([step_x, step_y], device=d_H2.device, dtype=xy_H2.dtype)
        chosen = torch.where(here[:, None], xy_H2 + step, chosen)
    return chosen
