# SPDX-License-Identifier: BSD-3-Clause
"""Placing the hits of whole showers, one layer behind the other.

Each layer draws a number of points that its hit count and its rate fix (`points_of`): points of blobs, and children of
the hits of the last layer before that has any. Points whose parent is not accepted, that lie beyond `FARTHEST` or that
repeat a cell are passed over. Each of the first `count` distinct cells may bring about a hit in a neighbouring one, and
that another, which then stand behind it; the first `count` distinct cells of all are the hits. With a `ChoiceNetwork`
this is done several times, and one of the sets is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..hit_lists.drawn_hits import PlacedHits, by_distance
from ..hit_lists.noise import Noise
from ..hit_lists.points import LATE_WIDTH, first_distinct, first_late, points_of, rows_of
from .blobs import NARROW, Profile
from .cell_model import HitModel
from .choice import ChoiceNetwork, columns_of_hits, features
from .conditions import ShowerConditions
from .neighbours import SIDE, Near, beside, one_longer, place_on_torus, projected, successors

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
        A row per point: which blob or kernel, which parent, and whether it brings about another hit; what choosing
        the parent leaves of the second decides whether that one brings about a third.
    point_normal : float32 [B, P, 2]
        A row per point: where in the blob.
    """

    POINTS = (("point_uniform", 3, "uniform"), ("point_normal", 2, "normal"))

    point_normal: Tensor


@dataclass(frozen=True)
class Parents:
    """Hits of the layers before, and which of them are the last ones.

    Where children stand [P, 2], in mm from the line of flight; chance to be accepted [P]; of each shower, the first hit
    of the last layer that has hits, and their number [B]; which cells of the layer before are hit, as in `one_longer`.
    """

    centre: Tensor
    accepted: Tensor
    first: Tensor
    number: Tensor
    hit: Tensor

    @classmethod
    def none(cls, showers: int, device: torch.device) -> Parents:
        """Those of the first layer."""
        zero = torch.zeros(showers, dtype=torch.long, device=device)
        none = torch.zeros(0, 2, device=device)
        return cls(none, none[:, 0], zero, zero, _no_cells(showers, device))


@dataclass(frozen=True)
class Rows:
    """Rows of the points' noise that a layer of each candidate takes, int64 [B K]: the first one, and their number.

    Candidates of a shower stand beside each other.
    """

    first_C: Tensor
    number_C: Tensor
    candidates: int


@dataclass(frozen=True)
class PlacedLayer:
    """Hits of a layer of all showers, and what the choice has seen of them.

    Attributes
    ----------
    row_H : int64 [H]
        Showers, in ascending order.
    xy_H2 : float32 [H, 2]
        Cells.
    feature_BF : float32 [B, FEATURES]
    number_B : float32 [B]
        Of `features`; both empty where there is no choice.
    """

    row_H: Tensor
    xy_H2: Tensor
    feature_BF: Tensor
    number_B: Tensor


def place(
    model: HitModel, choice: ChoiceNetwork | None, profile: Profile, c: ShowerConditions, energy_BL: Tensor,
    count_BL: Tensor, noise: ShowersNoise, late: bool,
) -> PlacedHits:  # fmt: skip
    """Distinct cells, ordered by layer and by distance from the line of flight."""
    layers = list(placed_layers(model, choice, profile, c, energy_BL, count_BL, noise, late))
    group_H = torch.cat([layer.row_H * len(layers) + i for i, layer in enumerate(layers)])
    xy_H2 = torch.cat([layer.xy_H2 for layer in layers])
    return by_distance(group_H, xy_H2, c.offset_BL2.view(-1, 2), count_BL, noise)


def placed_layers(
    model: HitModel, choice: ChoiceNetwork | None, profile: Profile, c: ShowerConditions, energy_BL: Tensor,
    count_BL: Tensor, noise: ShowersNoise, late: bool,
) -> Iterator[PlacedLayer]:  # fmt: skip
    """Hits of one layer behind the other, each given those before."""
    (batch, layers), device = count_BL.shape, count_BL.device
    candidates = choice.candidates if choice else 1
    rows_of_layers = noise_rows(profile, count_BL, noise, choice)
    known_BLW = choice.known_of_layers(c, energy_BL, count_BL) if choice else None
    parents = Parents.none(batch, device)
    feature = number = torch.zeros(0, device=device)
    for i in range(layers):
        candidate, xy = hits_of_layer(
            model, profile, c, noise, parents, i, rows_of_layers[i], count_BL[:, i].long(), late=late
        )
        near, d = look_around(model, c, parents, candidate, candidates, xy, i)
        if choice and known_BLW is not None:
            group = features(columns_of_hits(c, candidate // candidates, d, near), candidate, batch * candidates)
            feature, number = (t.view(batch, candidates, *t.shape[1:]) for t in group)
            kept = choice.kept(known_BLW[:, i], feature, number, noise.layer_uniform[:, i, 2])
            chosen = (candidate % candidates == kept[candidate // candidates]).nonzero()[:, 0]
            candidate, xy, d, near = candidate[chosen], xy[chosen], d[chosen], near[chosen]
            here = torch.arange(batch, device=device)
            feature, number = feature[here, kept], number[here, kept]
        row = candidate // candidates
        parents = parents_of(model, c, profile, parents, row, i, xy, d, near)
        yield PlacedLayer(row, xy, feature, number)


def noise_rows(
    profile: Profile, count_BL: Tensor, noise: ShowersNoise, choice: ChoiceNetwork | None = None
) -> list[Rows]:
    """Rows of noise of each layer: none for candidates that are not drawn."""
    number_BLK, candidates = points_of(count_BL, profile.log_rate_BL)[..., None], 1
    if choice:
        candidates = choice.candidates
        drawn = torch.arange(candidates, device=count_BL.device) < choice.drawn(count_BL)[..., None]
        number_BLK = number_BLK * drawn
    of_layers = (t.view(len(count_BL), -1, candidates) for t in rows_of(number_BLK.flatten(1), noise.capacity))
    first, number = (t.transpose(0, 1).flatten(1).unbind(0) for t in of_layers)
    return [Rows(*pair, candidates) for pair in zip(first, number, strict=True)]


def hits_of_layer(
    model: HitModel, profile: Profile, c: ShowerConditions, noise: ShowersNoise, parents: Parents, layer: int,
    rows: Rows, count_B: Tensor, *, late: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Hits of each candidate of a layer: candidate [H], in ascending order, and cell [H, 2]."""
    candidate, xy, uniform = _points(model, profile, c, noise, parents, layer, rows, late)
    count = count_B.repeat_interleave(rows.candidates)
    kept = _first_distinct(candidate, xy, count)
    candidate, line = candidate[kept], [xy[kept]]
    row = candidate // rows.candidates
    kappa, offset = profile.kappa_BL2[row, layer], c.offset_BL2[row, layer]
    for number in uniform[kept].unbind(1):
        line.append(successors(kappa, line[-1] - offset, line[-1], number, 2 * FARTHEST))
    # a hit is followed by the one that it brings about, and by the one that this brings about
    candidate, xy = candidate.repeat_interleave(len(line)), torch.stack(line, 1).reshape(-1, 2)
    kept = _first_distinct(candidate, xy, count)
    return candidate[kept], xy[kept]


def look_around(
    model: HitModel, c: ShowerConditions, parents: Parents, candidate_H: Tensor, candidates: int, xy_H2: Tensor,
    layer: int,
) -> tuple[Near, Tensor]:  # fmt: skip
    """What stands beside the hits of each candidate and before them, and where they stand, in cells, [H, 2]."""
    row = candidate_H // candidates
    d = xy_H2 - c.offset_BL2[row, layer]
    hit = _no_cells(len(c) * candidates, d.device)
    hit[place_on_torus(candidate_H, xy_H2[:, 0], xy_H2[:, 1])] = 1
    before = torch.zeros_like(parents.hit) if layer in model.geometry.first_layers else parents.hit
    around = projected(before, row, d, c.offset_BL2[row, max(0, layer - 1)])
    return Near(*beside(hit, candidate_H, xy_H2[:, 0], xy_H2[:, 1]), *around), d


def parents_of(
    model: HitModel, c: ShowerConditions, profile: Profile, before: Parents, row_H: Tensor, layer: int, xy_H2: Tensor,
    d_H2: Tensor, near: Near,
) -> Parents:  # fmt: skip
    """The hits of a layer put to those `before`, for the layer behind; `row_H` in ascending order."""
    hit = _no_cells(len(c), d_H2.device)
    hit[place_on_torus(row_H, xy_H2[:, 0], xy_H2[:, 1])] = one_longer(near.length_H)
    accepted, centre = model.parents(c, profile, row_H, torch.full_like(row_H, layer), d_H2, near)
    number = torch.bincount(row_H, minlength=len(c))
    some, first = number > 0, len(before.accepted) + torch.cumsum(number, 0) - number
    return Parents(
        torch.cat([before.centre, centre * model.cell_L[layer]]),
        torch.cat([before.accepted, accepted]),
        torch.where(some, first, before.first),
        torch.where(some, number, before.number),
        hit,
    )


def _no_cells(groups: int, device: torch.device) -> Tensor:
    """Which cells are hit on the tori of so many groups of hits: none yet."""
    return torch.zeros(groups * SIDE**2, dtype=torch.uint8, device=device)


def _points(
    model: HitModel, profile: Profile, c: ShowerConditions, noise: ShowersNoise, parents: Parents, layer: int,
    rows: Rows, late: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Points of a layer: candidate [P], cell [P, 2], numbers of two successors [P, 2]; those rejected are far away."""
    first, number = rows.first_C, rows.number_C
    candidate = torch.repeat_interleave(torch.arange(len(number), device=first.device), number)
    row = candidate // rows.candidates
    place = torch.arange(len(row), device=row.device) - (torch.cumsum(number, 0) - number)[candidate]
    slot = place + first[candidate]
    which, whose, brings = noise.point_uniform[row, slot].unbind(1)
    normal = noise.point_normal[row, slot]
    offset = c.offset_BL2[row, layer]
    # of a parent
    there = parents.number[row]
    chained = profile.chained_BL[row, layer] * (there > 0)
    whose = whose * there.clamp_min(1)
    parent = parents.first[row] + torch.minimum(torch.floor(whose).long(), there - 1)
    parent = parent.clamp(0, max(0, len(parents.centre) - 1))
    if len(parents.centre):
        d, reached = parents.centre[parent], chained * parents.accepted[parent]
    else:
        d, reached = torch.zeros_like(normal), chained
    wide = (which >= reached * profile.kernel_BL[row, layer]).long()
    width = profile.kernel_inverse_BL2[row, layer].gather(1, wide[:, None])
    child = offset + d / model.cell_L[layer] + normal / width
    # of a blob
    share = (which - chained) / (1 - chained)
    blob = (share[:, None] > torch.cumsum(profile.weight_BLK[row, layer], 1)[:, :-1]).sum(1)
    centre = profile.centre_BLK2[row, layer, blob]
    n = blob.clamp_max(NARROW - 1)
    inverse = profile.inverse_BLN[row, layer, n]
    if late:
        inverse = torch.where(place >= first_late(number)[candidate], inverse.clamp_max(1 / LATE_WIDTH), inverse)
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
    # what is left of the number that has chosen the parent is as good as new
    brings = torch.stack([brings, whose - torch.floor(whose)], 1)
    return candidate, torch.floor(xy.clamp(-2 * FARTHEST, 2 * FARTHEST) + 0.5), brings


def _first_distinct(candidate_P: Tensor, xy_P2: Tensor, count_C: Tensor) -> Tensor:
    """Indices of the first `count` distinct cells of each candidate that lie within `FARTHEST`, [H]."""
    kept = (xy_P2.abs() <= FARTHEST).all(1).nonzero()[:, 0]
    candidate = candidate_P[kept]
    cell = place_on_torus(candidate, xy_P2[kept, 0], xy_P2[kept, 1])
    return kept[first_distinct(cell, candidate, SIDE**2, count_C)]
