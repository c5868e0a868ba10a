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

from ..hit_lists.conditions import Geometry, HitConditions
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
from .cell_model import HitModel, Profile, cell_term
from .neighbours import Neighbours, neighbours, successors


@dataclass(frozen=True)
class HitsNoise(Noise):
    """Noise of ``arch = "hits"``.

    Attributes
    ----------
    point_uniform : float32 [B, P, 2]
        A row per point: which blob, and whether it brings about another hit.
    point_logistic : float32 [B, P, 2]
        A row per point: where in the blob, along x and y.
    """

    POINTS = (("point_uniform", 2, "uniform"), ("point_logistic", 2, "logistic"))

    point_logistic: Tensor


@torch.no_grad()
def sample_hits(
    model: HitModel, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, noise: HitsNoise, *, late: bool = True
) -> DrawnHits:
    """Hits of showers whose layer energies and counts are known.

    With `late`, late points come from blobs of `LATE_WIDTH` at least. Without, layers of narrow blobs lack hits, but
    all hits have the chances that `with_gradient` takes them to have.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, noise.latent_normal)
    hits = _place(profile, model.geometry, c, count_BL, noise, late)
    return _share(model, c, profile, hits, energy_BL, count_BL)


def _place(
    profile: Profile, geometry: Geometry, c: HitConditions, count_BL: Tensor, noise: HitsNoise, late: bool
) -> PlacedHits:
    """Distinct cells, ordered by layer and by distance from the line of flight."""
    count = count_BL.reshape(-1).long()
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
    return by_distance(group, xy, offset, count_BL, noise)


def _points(profile: Profile, count_BL: Tensor, noise: HitsNoise, late: bool) -> tuple[Tensor, Tensor, Tensor]:
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
    chosen = (xy_P2.abs() <= geometry.half).all(1).nonzero()[:, 0]
    group, x, y = group_P[chosen], xy_P2[chosen, 0] + geometry.half, xy_P2[chosen, 1] + geometry.half
    cell = group * geometry.window**2 + (x * geometry.window + y).long()
    return chosen[first_distinct(cell, group, geometry.window**2, count_G)]


def _share(
    model: HitModel, c: HitConditions, profile: Profile, hits: PlacedHits, energy_BL: Tensor, count_BL: Tensor
) -> DrawnHits:
    log_p = profile.log_probability(hits.row, hits.layer, hits.x, hits.y)
    near = neighbours(model.geometry, c, hits.row, hits.layer, hits.x, hits.y)
    static = model.share_static(c, profile, log_p, hits.row, hits.layer, hits.x, hits.y, near, energy_BL, count_BL)
    return draw_energies(model, static, hits, energy_BL)


def with_gradient(
    model: HitModel, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> DrawnHits:
    """The same hits, as differentiable functions of the model's parameters; see `with_weights`."""
    row, layer = hits.row, hits.layer
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    log_p = profile.log_probability(row, layer, hits.x, hits.y)
    near = neighbours(model.geometry, c, row, layer, hits.x, hits.y)
    rate = torch.exp(log_p + profile.log_rate_BL[row, layer].detach()) + profile.kappa_BL[row, layer] * near.pull_H
    static = model.share_static(c, profile, log_p, row, layer, hits.x, hits.y, near, energy_BL, count_BL)
    return with_weights(model, static, hits, rate / rate.detach(), energy_BL)


def rate_loss(
    model: HitModel, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> Tensor:
    """Negative log-likelihood of drawn hits per shower, whose gradient goes through the layers' rates alone.

    A rate sets how many points give a layer its hits, and nothing else of what is drawn depends on it. True hits show
    it for their own latent vectors only: for others it would drift as the rest of the network moves. Layers that lack
    hits are left out, for their points were too few. By the rates, the gradient reaches all that they come from: the
    profile's network, and the prior of the latent vector.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    with torch.no_grad():
        log_p = profile.log_probability(hits.row, hits.layer, hits.x, hits.y)
        near = neighbours(model.geometry, c, hits.row, hits.layer, hits.x, hits.y)
        whole_BL = whole_layers(hits, count_BL)
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
