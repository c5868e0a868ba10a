# SPDX-License-Identifier: BSD-3-Clause
"""Torch sampler of hits from the noise of the model contract; the reference of the ONNX graph.

Each layer draws a number of points that its hit count and its rate fix (`points_of`). Points outside the
window and repeated cells are passed over. Each of the first `count` distinct cells may bring about a hit in a
neighbouring one, which then stands behind it; the first `count` distinct cells of all are the hits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...random_numbers import ShowerRandom
from ..nets import group_sum
from .cell_model import LATENT, HitModel, Profile, cell_term
from .conditions import Geometry, HitConditions
from .layer_model import LayerModel
from .neighbours import Neighbours, neighbours, successors

MOST_POINTS = (16, 7)
"""Points of a layer at most: a constant, and what its number of hits is multiplied with."""
POINTS_BY_RATE = (4.0, 3.0, 1.2)
"""Points of a layer: a constant, and what the root of its rate and the rate itself are multiplied with."""
POINTS_BY_COUNT = 0.2
LATE = (3, 4)
"""Points of a layer behind this part of them are late: they matter only where those before fell in too few cells."""
LATE_WIDTH = 1.0
"""Width of the blobs of late points at least, in cells: a narrow one would hit the same cell again."""
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
    point_uniform : float32 [B, P, 2]
        A row per point: which blob, and whether it brings about another hit (see `neighbours.successors`).
    point_logistic : float32 [B, P, 2]
        A row per point: where in the blob, along x and y.
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
    point_logistic: Tensor
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
        d.uniform(4, points, 2),
        d.logistic(5, points, 2),
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
    x, y : float32 [H], cells from the centre of the window
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
def sample_showers(layers: LayerModel, hits: HitModel, c: HitConditions, noise: Noise) -> DrawnHits:
    """Both networks, one after the other."""
    energy, count = layers.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)
    return sample_hits(hits, c, energy, count, noise)


@torch.no_grad()
def sample_hits(
    model: HitModel, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, noise: Noise, *, late: bool = True
) -> DrawnHits:
    """Hits of showers whose layer energies and counts are known.

    With `late`, late points come from blobs of `LATE_WIDTH` at least. Without, layers of narrow blobs lack hits, but
    all hits have the chances that `with_gradient` takes them to have.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, noise.latent_normal)
    hits = _place(profile, model.geometry, c, count_BL, noise, late)
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


def _place(
    profile: Profile, geometry: Geometry, c: HitConditions, count_BL: Tensor, noise: Noise, late: bool
) -> _Placed:
    """Distinct cells, ordered by layer and by distance from the line of flight."""
    (batch, layers), count = count_BL.shape, count_BL.reshape(-1).long()
    group, xy, uniform = _points(profile, count_BL, noise, late)
    kept = _first_distinct(geometry, group, xy, count)
    group, xy, uniform = group[kept], xy[kept], uniform[kept]
    beyond = float(geometry.window)
    offset = c.offset_BL2.view(-1, 2)
    brought = successors(profile.kappa_BL.view(-1)[group], xy - offset[group], xy, uniform, beyond)
    # a hit is followed by the one that it brings about
    group, xy = group.repeat_interleave(2), torch.stack([xy, brought], 1).reshape(-1, 2)
    kept = _first_distinct(geometry, group, xy, count)
    group, xy = group[kept], xy[kept]
    d = xy - offset[group]
    distance = (d * d).sum(1).mul(STEPS_PER_CELL2).long()
    order = torch.argsort(group * KEY_STRIDE + distance, stable=True)
    group, xy = group[order], xy[order]
    row, rank = group // layers, _rank_in_group(group, batch * layers)
    before = torch.cumsum(count_BL.long(), 1) - count_BL.long()
    slot = (before.reshape(-1)[group] + rank) % noise.hit_capacity[row]
    return _Placed(
        row, group % layers, xy[:, 0], xy[:, 1], noise.hit_uniform[row, slot, 0], noise.hit_logistic[row, slot, 0], rank
    )


def _points(profile: Profile, count_BL: Tensor, noise: Noise, late: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Points of all layers: layer of a shower [P], cell [P, 2], and the number for its successor [P]."""
    (batch, layers), device = count_BL.shape, count_BL.device
    rows = rows_of(points_of(count_BL, profile.log_rate_BL), noise.capacity)
    first, number = (t.reshape(-1) for t in rows)
    group = torch.repeat_interleave(torch.arange(batch * layers, device=device), number)
    place = torch.arange(len(group), device=device) - (torch.cumsum(number, 0) - number)[group]
    slot = place + first[group]
    row, layer = group // layers, group % layers
    uniform = noise.point_uniform[row, slot]
    blob = (uniform[:, :1] > torch.cumsum(profile.weight_BLK[row, layer], 1)[:, :-1]).sum(1)
    centre, inverse = profile.centre_BLK2[row, layer, blob], profile.inverse_BLK[row, layer, blob]
    if late:
        inverse = torch.where(place >= first_late(number)[group], inverse.clamp_max(1 / LATE_WIDTH), inverse)
    width = 1 / inverse
    return group, torch.floor(centre + width[:, None] * noise.point_logistic[row, slot] + 0.5), uniform[:, 1]


def _first_distinct(geometry: Geometry, group_P: Tensor, xy_P2: Tensor, count_G: Tensor) -> Tensor:
    """Indices of the first `count` distinct cells inside the window of each layer, [H]."""
    inside = (xy_P2.abs() <= geometry.half).all(1)
    chosen = inside.nonzero()[:, 0]
    group, x, y = group_P[chosen], xy_P2[chosen, 0] + geometry.half, xy_P2[chosen, 1] + geometry.half
    cell = group * geometry.window**2 + (x * geometry.window + y).long()
    index = torch.arange(len(cell), device=cell.device)
    earliest = torch.full((len(count_G) * geometry.window**2,), len(cell), device=cell.device)
    new = earliest.scatter_reduce(0, cell, index, "amin")[cell] == index
    chosen, group = chosen[new], group[new]
    return chosen[_rank_in_group(group, len(count_G)) < count_G[group]]


def _rank_in_group(group_H: Tensor, groups: int) -> Tensor:
    """Position of each hit in its group; groups must be contiguous."""
    count = torch.bincount(group_H, minlength=groups)
    return torch.arange(len(group_H), device=group_H.device) - (torch.cumsum(count, 0) - count)[group_H]


def _share(
    model: HitModel, c: HitConditions, profile: Profile, hits: _Placed, energy_BL: Tensor, count_BL: Tensor
) -> DrawnHits:
    """Energies, one hit of every layer at a time."""
    layers = model.geometry.layers
    group = hits.row * layers + hits.layer
    log_p = profile.log_probability(hits.row, hits.layer, hits.x, hits.y)
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
    model: HitModel, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> DrawnHits:
    """The same hits, as differentiable functions of the model's parameters.

    Cells are discrete: each hit carries the weight rate / stop(rate), whose gradient is that of its log probability
    (the score function; Glynn, Commun. ACM 33 (1990) 75), renormalised in its layer. Energies are functions of
    the fixed noise (pathwise).
    """
    layers, batch = model.geometry.layers, len(c)
    row, layer = hits.row, hits.layer
    group = row * layers + layer
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    log_p = profile.log_probability(row, layer, hits.x, hits.y)
    near = neighbours(model.geometry, c, row, layer, hits.x, hits.y)
    rate = torch.exp(log_p + profile.log_rate_BL[row, layer].detach()) + profile.kappa_BL[row, layer] * near.pull_H
    ratio = rate / rate.detach()
    static = model.share_static(c, profile, log_p, row, layer, hits.x, hits.y, near, energy_BL, count_BL)
    rest = hits.free + model.floor_L[layer] * hits.left
    _, centre, width = model.share_mixture(static, rest, hits.left, hits.previous)
    j = hits.component[:, None]
    y = centre.gather(1, j)[:, 0] + width.gather(1, j)[:, 0].exp() * hits.quantile
    deposit = model.share_of(y, hits.free, hits.left, layer)[0] * ratio
    total = group_sum(deposit, group, batch * layers)
    number = group_sum(ratio, group, batch * layers)
    counted = group_sum(hits.weight, group, batch * layers)
    return replace(
        hits,
        deposit=deposit * (energy_BL.reshape(-1) / (total + 1e-9))[group],
        weight=ratio * (counted / (number + 1e-9))[group],
    )


def rate_loss(
    model: HitModel, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> Tensor:
    """Negative log-likelihood of drawn hits per shower, whose gradient goes through the layers' rates alone.

    A rate says how many points give a layer its hits, and nothing else of what is drawn depends on it. True hits tell
    it for their own latent vectors only: for others it would drift as the rest of the network moves. Layers that lack
    hits are left out, for their points were too few. By the rates, the gradient reaches all that they come from: the
    profile's network, and the prior of the latent vector.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    with torch.no_grad():
        log_p = profile.log_probability(hits.row, hits.layer, hits.x, hits.y)
        near = neighbours(model.geometry, c, hits.row, hits.layer, hits.x, hits.y)
        drawn = torch.bincount(hits.row * count_BL.shape[1] + hits.layer, minlength=count_BL.numel())
        whole_BL = (drawn.view_as(count_BL) == count_BL) & (count_BL > 0)
        kept = whole_BL[hits.row, hits.layer]
        near = Neighbours(*(values[kept] for values in (near.nearer_H, near.farther_H, near.pull_H, near.spread_H)))
    fixed = replace(
        profile,
        weight_BLK=profile.weight_BLK.detach(),
        inverse_BLK=profile.inverse_BLK.detach(),
        centre_BLK2=profile.centre_BLK2.detach(),
        kappa_BL=profile.kappa_BL.detach(),
    )
    return cell_term(model.geometry, fixed, whole_BL, hits.row[kept], hits.layer[kept], log_p[kept], near) / len(c)
