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

from ..hit_lists.drawn_hits import (
    DrawnHits,
    PlacedHits,
    by_distance,
    draw_energies,
    whole_layers,
    with_weights,
)
from ..hit_lists.noise import Noise
from ..hit_lists.points import LATE_WIDTH, first_distinct, first_late, points_of, rows_of
from .blobs import NARROW, Profile
from .cell_model import HitModel
from .conditions import ShowerConditions
from .likelihood import cell_term, rates_of
from .neighbours import SIDE, neighbours, place_on_torus, projected, successors

FARTHEST = 200.0
"""Cells from the line of flight, along x and along y, beyond which nothing is drawn."""
LEAST_SQUARE = 1e-6
"""Of the squared normal distance of a point of a wide blob."""


@dataclass(frozen=True)
class ShowersNoise(Noise):
    """Noise of ``arch = "showers"``.

    Attributes
    ----------
    point_uniform : float32 [B, P, 3]
        A row per point: which blob or kernel, which parent, and whether it brings about another hit.
    point_normal : float32 [B, P, 2]
        A row per point: where in the blob.
    """

    POINTS = (("point_uniform", 3, "uniform"), ("point_normal", 2, "normal"))

    point_normal: Tensor


@torch.no_grad()
def sample_hits(
    model: HitModel, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, noise: ShowersNoise, *, late: bool = True
) -> DrawnHits:
    """Hits of showers whose layer energies and counts are known.

    With `late`, late points come from blobs of `LATE_WIDTH` at least. Without, layers of narrow blobs lack hits, but
    all hits have the chances that `with_gradient` takes them to have.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, noise.latent_normal)
    hits = _place(model, profile, c, count_BL, noise, late)
    return _share(model, c, profile, hits, energy_BL, count_BL)


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
    model: HitModel, profile: Profile, c: ShowerConditions, count_BL: Tensor, noise: ShowersNoise, late: bool
) -> PlacedHits:
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
    group = torch.cat(rows) * layers + torch.cat(which)
    return by_distance(group, torch.cat(xys), c.offset_BL2.view(-1, 2), count_BL, noise)


def _points(
    model: HitModel, profile: Profile, c: ShowerConditions, noise: ShowersNoise, parents: _Parents, layer: int,
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
    return chosen[first_distinct(cell, row, SIDE**2, count_B)]


def _share(
    model: HitModel, c: ShowerConditions, profile: Profile, hits: PlacedHits, energy_BL: Tensor, count_BL: Tensor
) -> DrawnHits:
    log_p = profile.log_probability(c, hits.row, hits.layer, hits.x, hits.y)
    near = neighbours(model.geometry, c, hits.row, hits.layer, hits.x, hits.y)
    static = model.share_static(c, profile, log_p, hits.row, hits.layer, hits.x, hits.y, near, energy_BL, count_BL)
    return draw_energies(model, static, hits, energy_BL)


def with_gradient(
    model: HitModel, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> tuple[DrawnHits, Tensor]:
    """The same hits, as differentiable functions of the model's parameters, and the likelihood of rates.

    The first are those of `with_weights`, with the rate of a cell given the hits of the layer before.

    The second is the negative log-likelihood of the drawn hits per shower, whose gradient goes through the layers'
    rates alone. A rate sets how many points give a layer its hits, and nothing else of what is drawn depends on it.
    True hits show it for their own latent vectors only: for others it would drift as the rest of the network moves.
    Layers that lack hits are left out, for their points were too few.
    """
    row, layer = hits.row, hits.layer
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    near = neighbours(model.geometry, c, row, layer, hits.x, hits.y)
    rates = rates_of(model, c, profile, row, layer, hits.x, hits.y, near)
    rate = rates.draw_H * torch.exp(profile.log_rate_BL[row, layer].detach()) + rates.pulled_H + 1e-12
    static = model.share_static(c, profile, rates.log_p_H, row, layer, hits.x, hits.y, near, energy_BL, count_BL)
    moved = with_weights(model, static, hits, rate / rate.detach(), energy_BL)
    whole_BL = whole_layers(hits, count_BL)
    kept = whole_BL[row, layer]
    fixed = replace(
        rates, draw_H=rates.draw_H.detach()[kept], pulled_H=rates.pulled_H.detach()[kept],
        mass_BL=rates.mass_BL.detach(), spread=rates.spread.detach(),
    )  # fmt: skip
    return moved, cell_term(fixed, profile.log_rate_BL, whole_BL, row[kept], layer[kept]) / len(c)
