# SPDX-License-Identifier: BSD-3-Clause
"""Lists of drawn hits: their order, the shares of energy that they draw, and gradients through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..nets import group_sum
from .hit_networks import HitNetworks
from .noise import Noise
from .points import rank_in_group

STEPS_PER_CELL2 = 4096.0
"""Hits are ordered by squared distance in steps of 1 / this, so that all engines order alike."""
KEY_STRIDE = 2**32


@dataclass(frozen=True)
class DrawnHits:
    """Hits of a batch of showers, in the order in which they were served within their layers.

    Attributes
    ----------
    row, layer : int64 [H]
    x, y : float32 [H], cells from the cell that is crossed, in the middle of a window
    deposit : float32 [H], GeV
    weight : float32 [H]
        One; the adversarial stage puts the score function's weight here.
    free, left, previous : float32 [H]
        What `HitNetworks.share_of` and `HitNetworks.share_mixture` were given.
    component : int64 [H]
    quantile : float32 [H]
        Component of the share's mixture that was drawn, and its standard logistic quantile.
    """

    row: Tensor
    layer: Tensor
    x: Tensor
    y: Tensor
    deposit: Tensor
    weight: Tensor
    free: Tensor
    left: Tensor
    previous: Tensor
    component: Tensor
    quantile: Tensor

    @classmethod
    def of_groups(cls, groups: Sequence[DrawnHits]) -> DrawnHits:
        """Hits of several groups of showers, in the order of their rows."""
        order = torch.argsort(torch.cat([hits.row for hits in groups]), stable=True)
        return cls(*(torch.cat([getattr(hits, f.name) for hits in groups])[order] for f in fields(cls)))

    def showers(self, first: int, stop: int) -> DrawnHits:
        """Hits of some of the showers, which are counted from the first of these on."""
        begin, end = torch.searchsorted(self.row, torch.tensor([first, stop], device=self.row.device)).tolist()
        cut = DrawnHits(*(getattr(self, f.name)[begin:end] for f in fields(self)))
        return replace(cut, row=cut.row - first)


@dataclass(frozen=True)
class PlacedHits:
    """Hits that have a cell and no energy yet: their places, two numbers of each, and its rank in its layer, [H]."""

    row: Tensor
    layer: Tensor
    x: Tensor
    y: Tensor
    uniform: Tensor
    quantile: Tensor
    rank: Tensor


def by_distance(group: Tensor, xy: Tensor, offset_G2: Tensor, count_BL: Tensor, noise: Noise) -> PlacedHits:
    """Hits by layer and by distance from the line of flight, with their noise.

    Parameters
    ----------
    group : int64 [H]
        Layer of a shower, counted through the batch.
    xy : float32 [H, 2]
    offset_G2 : float32 [G, 2]
    count_BL : float32 [B, L]
        Hits that were asked for.
    noise : Noise
    """
    layers = count_BL.shape[1]
    d = xy - offset_G2[group]
    distance = (d * d).sum(1).mul(STEPS_PER_CELL2).long()
    order = torch.argsort(group * KEY_STRIDE + distance, stable=True)
    group, xy = group[order], xy[order]
    row, rank = group // layers, rank_in_group(group, count_BL.numel())
    before = torch.cumsum(count_BL.long(), 1) - count_BL.long()
    slot = (before.reshape(-1)[group] + rank) % noise.hit_capacity[row]
    return PlacedHits(
        row, group % layers, xy[:, 0], xy[:, 1], noise.hit_uniform[row, slot, 0], noise.hit_logistic[row, slot, 0], rank
    )


def draw_energies(model: HitNetworks, static: Tensor, hits: PlacedHits, energy_BL: Tensor) -> DrawnHits:
    """Energies, one hit of every layer at a time.

    Parameters
    ----------
    model : HitNetworks
    static : [H, SHARE_INPUTS - 4]
        Inputs of the sharing network that do not depend on the hits before.
    hits : PlacedHits
    energy_BL : float32 [B, L], GeV
    """
    group = hits.row * model.geometry.layers + hits.layer
    left = torch.bincount(group, minlength=energy_BL.numel()).float()
    minimum = model.minimum_deposit_L.repeat(len(energy_BL))
    free = (energy_BL.reshape(-1) - minimum * left).clamp_min(0)
    previous = torch.zeros_like(free)
    n, device = len(group), group.device
    kept = {name: torch.zeros(n, device=device) for name in ("deposit", "free", "left", "previous", "quantile")}
    component = torch.zeros(n, dtype=torch.long, device=device)
    order = torch.argsort(hits.rank, stable=True)
    for i in torch.split(order, torch.bincount(hits.rank).tolist()):
        g = group[i]
        f, k, p = free[g], left[g], previous[g]
        weight, centre, width = model.share_mixture(static[i], f + minimum[g] * k, k, p)
        j = (hits.uniform[i, None] > torch.cumsum(weight.exp(), 1)[:, :-1]).sum(1)
        q = hits.quantile[i]
        y = centre.gather(1, j[:, None])[:, 0] + width.gather(1, j[:, None])[:, 0].exp() * q
        deposit, after = model.share_of(y, f, k, hits.layer[i])
        for name, value in (("deposit", deposit), ("free", f), ("left", k), ("previous", p), ("quantile", q)):
            kept[name][i] = value
        component[i] = j
        free[g], left[g], previous[g] = after, k - 1, y
    weight = torch.ones(n, device=device)
    return DrawnHits(hits.row, hits.layer, hits.x, hits.y, weight=weight, component=component, **kept)


def with_weights(model: HitNetworks, static: Tensor, hits: DrawnHits, ratio_H: Tensor, energy_BL: Tensor) -> DrawnHits:
    """The same hits, with weights and energies that have gradients.

    Cells are discrete: each hit carries the weight rate / stop(rate), whose gradient is that of its log probability
    (the score function; Glynn, Commun. ACM 33 (1990) 75), renormalised in its layer. Energies are functions of the
    fixed noise (pathwise).

    Parameters
    ----------
    model : HitNetworks
    static : [H, SHARE_INPUTS - 4]
    hits : DrawnHits
    ratio_H : float32 [H]
        Rate of each hit's cell over itself, without gradient.
    energy_BL : float32 [B, L], GeV
    """
    layers, groups = model.geometry.layers, energy_BL.numel()
    group = hits.row * layers + hits.layer
    rest = hits.free + model.minimum_deposit_L[hits.layer] * hits.left
    _, centre, width = model.share_mixture(static, rest, hits.left, hits.previous)
    j = hits.component[:, None]
    y = centre.gather(1, j)[:, 0] + width.gather(1, j)[:, 0].exp() * hits.quantile
    deposit = model.share_of(y, hits.free, hits.left, hits.layer)[0] * ratio_H
    total = group_sum(deposit, group, groups)
    number = group_sum(ratio_H, group, groups)
    counted = group_sum(hits.weight, group, groups)
    return replace(
        hits,
        deposit=deposit * (energy_BL.reshape(-1) / (total + 1e-9))[group],
        weight=ratio_H * (counted / (number + 1e-9))[group],
    )


def whole_layers(hits: DrawnHits, count_BL: Tensor) -> Tensor:
    """Layers that have all the hits that were asked for, and any, bool [B, L]."""
    drawn = torch.bincount(hits.row * count_BL.shape[1] + hits.layer, minlength=count_BL.numel()).view_as(count_BL)
    return (drawn == count_BL) & (count_BL > 0)
