# SPDX-License-Identifier: BSD-3-Clause
"""Drawing hits from the noise of the model contract, in torch: the reference that the ONNX graph must match.

Layers follow each other. Each draws a number of points that its hit count and its rate fix (`points_of`): points of
blobs, and children of the hits of the layer before. Points whose parent is not accepted, that lie beyond `FARTHEST` or
that repeat a cell are passed over. Each of the first `count` distinct cells may bring about a hit in a neighbouring
one, which then stands behind it; the first `count` distinct cells of all are the hits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...random_numbers import ShowerRandom
from ..nets import group_sum
from .cell_model import LATENT, NARROW, HitModel, Profile, cell_term, rates_of
from .conditions import ShowerConditions
from .layer_model import LayerModel
from .neighbours import SIDE, neighbours, place_on_torus, projected, successors

MOST_POINTS = (16, 7)
"""Points of a layer at most: a constant, and what its number of hits is multiplied with."""
POINTS_BY_RATE = (4.0, 3.0, 1.2)
"""Points of a layer: a constant, and what the root of its rate and the rate itself are multiplied with."""
POINTS_BY_COUNT = 0.2
LATE = (3, 4)
"""Points of a layer behind this part of them are late: they matter only where those before fell in too few cells."""
LATE_WIDTH = 1.0
"""Width of the narrow blobs of late points at least, in cells: a narrow one would hit the same cell again."""
FARTHEST = 200.0
"""Cells from the line of flight, along x and along y, beyond which nothing is drawn."""
LEAST_SQUARE = 1e-6
"""Of the squared normal distance of a point of a wide blob."""
STEPS_PER_CELL2 = 4096.0
"""Hits are ordered by squared distance in steps of 1 / this, so that all engines order alike."""
KEY_STRIDE = 2**32


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
    room = capacity_B[:, None] - number
    return torch.where(first > room, first % (room + 1), first), number


@dataclass(frozen=True)
class Noise:
    """Noise of a batch; the same tensors are inputs of the ONNX graph.

    Attributes
    ----------
    layer_uniform : float32 [B, L, 2]
    layer_logistic, layer_normal : float32 [B, L]
        See `LayerModel.sample`.
    latent_normal : float32 [B, Z]
    point_uniform : float32 [B, P, 3]
        A row per point: which blob or kernel, which parent, and whether it brings about another hit (see
        `neighbours.successors`).
    point_normal : float32 [B, P, 2]
        A row per point: where in the blob.
    hit_uniform, hit_logistic : float32 [B, Q, 1]
        A row per hit: which component of its share's mixture, and where in it.
    capacity, hit_capacity : int64 [B]
        Rows of points and of hits that each shower may use, at most P and Q. A shower that needs more uses rows
        twice.
    """

    layer_uniform: Tensor
    layer_logistic: Tensor
    layer_normal: Tensor
    latent_normal: Tensor
    point_uniform: Tensor
    point_normal: Tensor
    hit_uniform: Tensor
    hit_logistic: Tensor
    capacity: Tensor
    hit_capacity: Tensor


NOISE_STREAMS = 8
"""Streams of random numbers that `draw_noise` takes, from 0 on."""


def draw_noise(count_BL: Tensor, draws: ShowerRandom | None = None) -> Noise:
    """As much noise as showers of known hit counts need, for training.

    Parameters
    ----------
    count_BL : Tensor [B, L]
    draws : ShowerRandom, optional
        Random numbers of the showers; fresh ones unless given.
    """
    (batch, layers), device = count_BL.shape, count_BL.device
    # layers that need the most and such that need far less come together
    points = max(1, int(most_points(count_BL).sum(1).max()) * 2 // 3)
    hits = max(1, int(count_BL.sum(1).max()))
    d = draws or ShowerRandom.fresh(batch, device)
    return Noise(
        d.uniform(0, layers, 2),
        d.logistic(1, layers),
        d.normal(2, layers),
        d.normal(3, LATENT),
        d.uniform(4, points, 3),
        d.normal(5, points, 2),
        d.uniform(6, hits, 1),
        d.logistic(7, hits, 1),
        torch.full((batch,), points, device=device),
        torch.full((batch,), hits, device=device),
    )


@dataclass(frozen=True)
class DrawnHits:
    """Hits of a batch of showers, in the order in which they were served within their layers.

    Attributes
    ----------
    row, layer : int64 [H]
    x, y : float32 [H], cells from the cell that is crossed
    deposit : float32 [H], GeV
    weight : float32 [H]
        One; the adversarial stage puts the score function's weight here.
    free, left, previous : float32 [H]
        What `HitModel.share_of` and `HitModel.share_mixture` were given.
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


@torch.no_grad()
def sample_showers(layers: LayerModel, hits: HitModel, c: ShowerConditions, noise: Noise) -> DrawnHits:
    """Both networks, one after the other."""
    energy, count = layers.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)
    return sample_hits(hits, c, energy, count, noise)


@torch.no_grad()
def sample_hits(
    model: HitModel, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, noise: Noise, *, late: bool = True
) -> DrawnHits:
    """Hits of showers whose layer energies and counts are known.

    With `late`, late points come from blobs of `LATE_WIDTH` at least. Without, layers of narrow blobs lack hits, but
    all hits have the chances that `with_gradient` takes them to have.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, noise.latent_normal)
    hits = _place(model, profile, c, count_BL, noise, late)
    return _share(model, c, profile, hits, energy_BL, count_BL)


@dataclass(frozen=True)
class _Placed:
    row: Tensor
    layer: Tensor
    x: Tensor
    y: Tensor
    uniform: Tensor
    quantile: Tensor
    rank: Tensor


@dataclass(frozen=True)
class _Parents:
    """Hits of the layer before.

    Where children stand [P, 2], in cells of that layer; chance to be accepted [P]; each shower's first one and their
    number [B]; which cells are hit.
    """

    centre: Tensor
    accepted: Tensor
    first: Tensor
    number: Tensor
    hit: Tensor


def _place(
    model: HitModel, profile: Profile, c: ShowerConditions, count_BL: Tensor, noise: Noise, late: bool
) -> _Placed:
    """Distinct cells, ordered by layer and by distance from the line of flight."""
    (batch, layers), device = count_BL.shape, count_BL.device
    first_row, number = rows_of(points_of(count_BL, profile.log_rate_BL), noise.capacity)
    zero = torch.zeros(batch, dtype=torch.long, device=device)
    none = torch.zeros(batch * SIDE**2, dtype=torch.uint8, device=device)
    parents = _Parents(torch.zeros(0, 2, device=device), torch.zeros(0, device=device), zero, zero, none)
    first_layers = model.geometry.first_layers
    rows, xys, which = [], [], []
    for i in range(layers):
        row, xy, uniform = _points(model, profile, c, noise, parents, i, (first_row[:, i], number[:, i]), late)
        limit, offset = count_BL[:, i].long(), c.offset_BL2[:, i]
        kept = _first_distinct(row, xy, limit)
        row, xy, uniform = row[kept], xy[kept], uniform[kept]
        brought = successors(profile.kappa_BL2[row, i], xy - offset[row], xy, uniform, 2 * FARTHEST)
        # a hit is followed by the one that it brings about
        row, xy = row.repeat_interleave(2), torch.stack([xy, brought], 1).reshape(-1, 2)
        kept = _first_distinct(row, xy, limit)
        row, xy = row[kept], xy[kept]
        d = xy - offset[row]
        hit = torch.zeros_like(none)
        hit[place_on_torus(row, xy[:, 0], xy[:, 1])] = 1
        before = none if i in first_layers else parents.hit
        seen = projected(before, row, d, c.offset_BL2[row, max(0, i - 1)])
        beside = projected(hit, row, d, offset[row])[0] - 1
        accepted, centre = model.parents(c, profile, row, torch.full_like(row, i), d, beside, *seen)
        held = torch.bincount(row, minlength=batch)
        parents = _Parents(centre, accepted, torch.cumsum(held, 0) - held, held, hit)
        rows.append(row)
        xys.append(xy)
        which.append(torch.full_like(row, i))
    row, xy, layer = torch.cat(rows), torch.cat(xys), torch.cat(which)
    d = xy - c.offset_BL2[row, layer]
    group = row * layers + layer
    distance = (d * d).sum(1).mul(STEPS_PER_CELL2).long()
    order = torch.argsort(group * KEY_STRIDE + distance, stable=True)
    group, xy = group[order], xy[order]
    row, rank = group // layers, _rank_in_group(group, batch * layers)
    before = torch.cumsum(count_BL.long(), 1) - count_BL.long()
    slot = (before.reshape(-1)[group] + rank) % noise.hit_capacity[row]
    return _Placed(
        row, group % layers, xy[:, 0], xy[:, 1], noise.hit_uniform[row, slot, 0], noise.hit_logistic[row, slot, 0], rank
    )


def _points(
    model: HitModel, profile: Profile, c: ShowerConditions, noise: Noise, parents: _Parents, layer: int,
    rows: tuple[Tensor, Tensor], late: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Points of a layer: shower [P], cell [P, 2] and the number for its successor [P]; those rejected are far away."""
    first, number = rows
    row = torch.repeat_interleave(torch.arange(len(c), device=first.device), number)
    place = torch.arange(len(row), device=row.device) - (torch.cumsum(number, 0) - number)[row]
    slot = place + first[row]
    which, whose, brings = noise.point_uniform[row, slot].unbind(1)
    normal = noise.point_normal[row, slot]
    offset = c.offset_BL2[row, layer]
    # of a parent
    there = parents.number[row]
    chained = profile.chained_BL[row, layer] * (there > 0)
    parent = parents.first[row] + torch.minimum(torch.floor(whose * there).long(), there - 1)
    parent = parent.clamp(0, max(0, len(parents.centre) - 1))
    if len(parents.centre):
        d, reached = parents.centre[parent], chained * parents.accepted[parent]
    else:
        d, reached = torch.zeros_like(normal), chained
    cell = model.cell_L
    wide = (which >= reached * profile.kernel_BL[row, layer]).long()
    width = profile.kernel_inverse_BL2[row, layer].gather(1, wide[:, None])
    child = offset + d * (cell[max(0, layer - 1)] / cell[layer]) + normal / width
    # of a blob
    share = (which - chained) / (1 - chained)
    blob = (share[:, None] > torch.cumsum(profile.weight_BLK[row, layer], 1)[:, :-1]).sum(1)
    centre = profile.centre_BLK2[row, layer, blob]
    n = blob.clamp_max(NARROW - 1)
    inverse = profile.inverse_BLN[row, layer, n]
    if late:
        inverse = torch.where(place >= first_late(number)[row], inverse.clamp_max(1 / LATE_WIDTH), inverse)
    w = (blob - NARROW).clamp_min(0)
    scale, tail, stretch = (t[row, layer, w] for t in (profile.scale_BLW, profile.tail_BLW, profile.stretch_BLW))
    square = (normal * normal).sum(1) + LEAST_SQUARE
    factor = scale * torch.sqrt((torch.exp(square / (2 * tail)) - 1) / square)
    along, across = factor * stretch * normal[:, 0], factor * normal[:, 1]
    u, v = c.along_B2[row].unbind(1)
    far = torch.stack([along * u - across * v, along * v + across * u], 1)
    xy = centre + torch.where((blob < NARROW)[:, None], normal / inverse[:, None], far)
    xy = torch.where((which < reached)[:, None], child, xy)
    xy = torch.where(((which >= reached) & (which < chained))[:, None], torch.full_like(xy, 2 * FARTHEST), xy)
    return row, torch.floor(xy.clamp(-2 * FARTHEST, 2 * FARTHEST) + 0.5), brings


def _first_distinct(row_P: Tensor, xy_P2: Tensor, count_B: Tensor) -> Tensor:
    """Indices of the first `count` distinct cells of each shower that lie within `FARTHEST`, [H]."""
    chosen = (xy_P2.abs() <= FARTHEST).all(1).nonzero()[:, 0]
    row = row_P[chosen]
    cell = place_on_torus(row, xy_P2[chosen, 0], xy_P2[chosen, 1])
    index = torch.arange(len(cell), device=cell.device)
    earliest = torch.full((len(count_B) * SIDE**2,), len(cell), device=cell.device)
    new = earliest.scatter_reduce(0, cell, index, "amin")[cell] == index
    chosen, row = chosen[new], row[new]
    return chosen[_rank_in_group(row, len(count_B)) < count_B[row]]


def _rank_in_group(group_H: Tensor, groups: int) -> Tensor:
    """Position of each hit in its group; groups must be contiguous."""
    count = torch.bincount(group_H, minlength=groups)
    return torch.arange(len(group_H), device=group_H.device) - (torch.cumsum(count, 0) - count)[group_H]


def _share(
    model: HitModel, c: ShowerConditions, profile: Profile, hits: _Placed, energy_BL: Tensor, count_BL: Tensor
) -> DrawnHits:
    """Energies, one hit of every layer at a time."""
    layers = model.geometry.layers
    group = hits.row * layers + hits.layer
    log_p = profile.log_probability(c, hits.row, hits.layer, hits.x, hits.y)
    near = neighbours(model.geometry, c, hits.row, hits.layer, hits.x, hits.y)
    static = model.share_static(c, profile, log_p, hits.row, hits.layer, hits.x, hits.y, near, energy_BL, count_BL)
    left = torch.bincount(group, minlength=energy_BL.numel()).float()
    floor = model.floor_L.repeat(len(energy_BL))
    free = (energy_BL.reshape(-1) - floor * left).clamp_min(0)
    previous = torch.zeros_like(free)
    n, device = len(group), group.device
    kept = {name: torch.zeros(n, device=device) for name in ("deposit", "free", "left", "previous", "quantile")}
    component = torch.zeros(n, dtype=torch.long, device=device)
    order = torch.argsort(hits.rank, stable=True)
    for i in torch.split(order, torch.bincount(hits.rank).tolist()):
        g = group[i]
        f, k, p = free[g], left[g], previous[g]
        weight, centre, width = model.share_mixture(static[i], f + floor[g] * k, k, p)
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


def with_gradient(
    model: HitModel, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> tuple[DrawnHits, Tensor]:
    """The same hits, as differentiable functions of the model's parameters, and the likelihood of rates.

    Cells are discrete: each hit carries the weight rate / stop(rate), whose gradient is that of its log probability
    given the hits of the layer before (the score function; Glynn, Commun. ACM 33 (1990) 75), renormalised in its layer.
    Energies are functions of the fixed noise (pathwise).

    The second is the negative log-likelihood of the drawn hits per shower, whose gradient goes through the layers'
    rates alone. A rate says how many points give a layer its hits, and nothing else of what is drawn depends on it.
    True hits tell it for their own latent vectors only: for others it would drift as the rest of the network moves.
    Layers that lack hits are left out, for their points were too few.
    """
    layers, batch = model.geometry.layers, len(c)
    row, layer = hits.row, hits.layer
    group = row * layers + layer
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    near = neighbours(model.geometry, c, row, layer, hits.x, hits.y)
    rates = rates_of(model, c, profile, row, layer, hits.x, hits.y, near)
    rate = rates.draw_H * torch.exp(profile.log_rate_BL[row, layer].detach()) + rates.pulled_H + 1e-12
    ratio = rate / rate.detach()
    static = model.share_static(c, profile, rates.log_p_H, row, layer, hits.x, hits.y, near, energy_BL, count_BL)
    rest = hits.free + model.floor_L[layer] * hits.left
    _, centre, width = model.share_mixture(static, rest, hits.left, hits.previous)
    j = hits.component[:, None]
    y = centre.gather(1, j)[:, 0] + width.gather(1, j)[:, 0].exp() * hits.quantile
    deposit = model.share_of(y, hits.free, hits.left, layer)[0] * ratio
    total = group_sum(deposit, group, batch * layers)
    number = group_sum(ratio, group, batch * layers)
    counted = group_sum(hits.weight, group, batch * layers)
    moved = replace(
        hits,
        deposit=deposit * (energy_BL.reshape(-1) / (total + 1e-9))[group],
        weight=ratio * (counted / (number + 1e-9))[group],
    )
    drawn = torch.bincount(group, minlength=count_BL.numel()).view_as(count_BL)
    whole_BL = (drawn == count_BL) & (count_BL > 0)
    kept = whole_BL[row, layer]
    fixed = replace(
        rates, draw_H=rates.draw_H.detach()[kept], pulled_H=rates.pulled_H.detach()[kept],
        mass_BL=rates.mass_BL.detach(), spread=rates.spread.detach(),
    )  # fmt: skip
    return moved, cell_term(fixed, profile.log_rate_BL, whole_BL, row[kept], layer[kept]) / batch
