# SPDX-License-Identifier: BSD-3-Clause
"""Likelihood of hits: rates of their cells given the hits of layers before, and the evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.batch import Batch
from ..hit_lists.true_hits import energy_term, moments_of
from ..nets import group_sum
from .blobs import Profile, bin_mass
from .cell_model import HitModel
from .conditions import Geometry, ShowerConditions, along_across
from .neighbours import Neighbours, neighbours

REACH = 10.0
"""Cells along x and y within which a hit may descend from another."""


def shape_moments(batch: Batch, c: ShowerConditions, geometry: Geometry) -> Tensor:
    """What the encoder sees of the true hits: eight moments per layer, [B, 8 L]."""
    a, b = along_across(c.along_B2[batch.row], c.offset_BL2[batch.row, batch.layer], batch.x, batch.y)
    # far hits must not drown those of the core
    near = 1 / (1 + torch.hypot(a, b) / 10)
    return moments_of(batch, geometry, a * near, b * near)


@dataclass(frozen=True)
class Rates:
    """At which rate the cells of some hits are hit, given the hits of layers before and those nearer to the axis.

    Attributes
    ----------
    log_p_H : float32 [H]
        Log probability that a draw from the blobs falls into the cell.
    draw_H : float32 [H]
        Probability that a draw of any kind does.
    pulled_H : float32 [H]
        Rate that is due to neighbours.
    mass_BL : float32 [B, L]
        Part of the draws of a layer that is not rejected.
    spread : float32 []
        Sum of the rates at which hits bring about others.
    """

    log_p_H: Tensor
    draw_H: Tensor
    pulled_H: Tensor
    mass_BL: Tensor
    spread: Tensor


def rates_of(
    model: HitModel,
    c: ShowerConditions,
    profile: Profile,
    row: Tensor,
    layer: Tensor,
    x: Tensor,
    y: Tensor,
    near: Neighbours,
) -> Rates:
    """Rates of the cells of all hits of some showers, ordered by shower and layer."""
    layers = model.geometry.layers
    log_p = profile.log_probability(c, row, layer, x, y)
    d = torch.stack([x, y], 1) - c.offset_BL2[row, layer]
    accepted, centre = model.parents(c, profile, row, layer, d, near)
    group = row * layers + layer
    size = len(c) * layers
    number = torch.bincount(group, minlength=size)
    mean = group_sum(accepted, group, size) / number.clamp_min(1)
    chained, earlier = profile.chained_BL, earlier_layers(number.view(-1, layers))
    mass = 1 - chained + chained * F.pad(mean.view(-1, layers), (1, 0)).gather(1, earlier + 1)
    child, parent = pairs(row, layer, d, number, earlier, model.cell_L, REACH)
    r, at = row[child], layer[child]
    cell = model.cell_L
    projected = centre[parent] * (cell[layer[parent]] / cell[at])[:, None]
    away, inverse = d[child] - projected, profile.kernel_inverse_BL2[r, at]
    masses = bin_mass(away[:, :1], inverse) * bin_mass(away[:, 1:], inverse)
    part = profile.kernel_BL[r, at]
    kernel = part * masses[:, 0] + (1 - part) * masses[:, 1]
    field = group_sum(accepted[parent] * kernel / number[group[parent]], child, len(row))
    c_H = chained[row, layer]
    draw = (1 - c_H) * torch.exp(log_p) + c_H * field
    kappa = profile.kappa_BL2[row, layer]
    return Rates(log_p, draw, (kappa * near.pull_H2).sum(1), mass, (kappa * near.spread_H2).sum())


def earlier_layers(number_BL: Tensor) -> Tensor:
    """The last layer with hits before each layer, int64 [B, L]; -1 where there is none."""
    here = torch.arange(number_BL.shape[1], device=number_BL.device)
    last = torch.where(number_BL > 0, here, -1).cummax(1).values
    return F.pad(last[:, :-1], (1, 0), value=-1)


@torch.no_grad()
def pairs(
    row: Tensor, layer: Tensor, d: Tensor, number_G: Tensor, earlier_BL: Tensor, cell_L: Tensor, reach: float
) -> tuple[Tensor, Tensor]:
    """Pairs (child, parent) with the parent in the last layer with hits before, within `reach` of the child's cells.

    int64 [P]; ``earlier_BL`` are the `earlier_layers`.
    """
    layers, device = len(cell_L), row.device
    first = torch.cumsum(number_G, 0) - number_G
    earlier = earlier_BL[row, layer]
    before = row * layers + earlier.clamp_min(0)
    n = number_G[before] * (earlier >= 0)
    child = torch.repeat_interleave(torch.arange(len(n), device=device), n)
    parent = torch.arange(len(child), device=device) - (torch.cumsum(n, 0) - n)[child] + first[before][child]
    mm = d * cell_L[layer][:, None]
    near = (mm[child] - mm[parent]).abs().amax(1) < reach * cell_L[layer][child]
    return child[near], parent[near]


def negative_elbo(model: HitModel, batch: Batch, c: ShowerConditions, normal_BZ: Tensor) -> dict[str, Tensor]:
    """Terms of the negative evidence lower bound, per shower.

    ``cells``: a cell is hit with probability 1 - exp(-rate); the sum over empty cells is the mass of the rate.
    ``energy``: the sharing of each layer's energy. ``latent``: Kullback-Leibler divergence.
    """
    profile, divergence = inferred_profile(model, batch, c, normal_BZ)
    return {**hit_terms(model, batch, c, profile), "latent": divergence.sum() / len(batch)}


def inferred_profile(model: HitModel, batch: Batch, c: ShowerConditions, normal_BZ: Tensor) -> tuple[Profile, Tensor]:
    """Blobs with a latent vector given the true hits, and its Kullback-Leibler divergence from the prior, [B, Z]."""
    x = model.inputs(c, batch.layer_energy, batch.layer_count)
    latent, divergence = model.inferred_latent(x, shape_moments(batch, c, model.geometry), normal_BZ)
    return model.profile_of(c, x, batch.layer_count, latent), divergence


def cell_term(rates: Rates, log_rate_BL: Tensor, seen_BL: Tensor, row_H: Tensor, layer_H: Tensor) -> Tensor:
    """Negative log-likelihood of the hits in those layers that are seen, all hits of which are given.

    Seen from the line of flight outwards, the rate of a cell is that of the draws and that of its nearer neighbours.
    """
    rate = rates.draw_H * torch.exp(log_rate_BL[row_H, layer_H]) + rates.pulled_H
    # a rate that is not looked at may have no bounds
    expected = log_rate_BL.masked_fill(~seen_BL, -torch.inf).exp() * rates.mass_BL
    return expected.sum() + rates.spread - torch.log(torch.expm1(rate.clamp(1e-9, 60.0))).sum()


def hit_terms(model: HitModel, batch: Batch, c: ShowerConditions, profile: Profile) -> dict[str, Tensor]:
    """Negative log-likelihood per shower of the cells hit and of the energies, given the profile."""
    row, layer = batch.row, batch.layer
    near = neighbours(model.geometry, c, row, layer, batch.x, batch.y)
    rates = rates_of(model, c, profile, row, layer, batch.x, batch.y, near)
    cells = cell_term(rates, profile.log_rate_BL, batch.layer_count > 0, row, layer)
    static = model.share_static(
        c, profile, rates.log_p_H.detach(), row, layer, batch.x, batch.y, near, batch.layer_energy, batch.layer_count
    )
    return {"cells": cells / len(batch), "energy": energy_term(model, batch, static) / len(batch)}
