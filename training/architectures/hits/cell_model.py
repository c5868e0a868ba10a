# SPDX-License-Identifier: BSD-3-Clause
"""Cell model: which cells of a layer are hit, and how the layer's energy is shared among them.

A layer's hits are draws without replacement from a mixture of blobs, each a product of two logistic densities
along the cell edges, placed along and across the azimuth of incidence; a hit may bring about another in a
neighbouring cell (see `neighbours`). A latent vector, whose encoder serves
training only, carries what is common to the layers of one shower (Kingma & Welling, arXiv:1312.6114, with a
conditional prior: Sohn, Lee & Yan, NeurIPS 2015). Hits share the energy of their layer by stick-breaking from
the axis outwards: each takes a part of what is left above threshold, the last one takes the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.showers import Batch
from ..nets import group_sum, linear_layers, mlp
from .conditions import Geometry, HitConditions, along_across
from .layer_model import MEV_TENTH
from .neighbours import Neighbours, neighbours

BLOBS = 6
CODES = 6
SHARE_COMPONENTS = 4
LATENT = 16
INITIAL_WIDTHS = (0.08, 0.25, 0.6, 1.3, 3.2, 7.0)
INITIAL_WEIGHTS = (1.0, 1.0, 0.5, -1.0, -2.5, -4.5)
SHARE_INPUTS = 1 + CODES + 2 + 2 + 1 + 2 + 2 + 4
THRESHOLD_SLACK = 0.98
"""Shares are measured above this part of the threshold, so that deposits just above it keep a finite logit."""
LEAST = 1.005
"""A drawn hit has at least so many thresholds."""
RATE_FLOOR = 1e-9
LARGEST_NEIGHBOUR_RATE = 1 / 3
"""Most hits have two farther neighbours, some three."""


@dataclass(frozen=True)
class Profile:
    """Blobs of every layer of every shower.

    Attributes
    ----------
    weight_BLK : float32, sums to one over K
    inverse_BLK : float32
        Inverse widths, per cell.
    centre_BLK2 : float32
        Centres in cells from the centre of the window, along x and y.
    log_rate_BL : float32
        Log of the expected number of draws.
    kappa_BL : float32
        Rate at which a hit far from the line of flight brings about one in each farther neighbour.
    codes_BLC : float32
        What the energy-sharing network is told of the layer.
    """

    weight_BLK: Tensor
    inverse_BLK: Tensor
    centre_BLK2: Tensor
    log_rate_BL: Tensor
    kappa_BL: Tensor
    codes_BLC: Tensor

    def log_probability(self, row_H: Tensor, layer_H: Tensor, x_H: Tensor, y_H: Tensor) -> Tensor:
        """Log probability that a draw falls into a cell, [H]."""
        weight, inverse = self.weight_BLK[row_H, layer_H], self.inverse_BLK[row_H, layer_H]
        centre = self.centre_BLK2[row_H, layer_H]
        px = _bin_mass(x_H[:, None] - centre[..., 0], inverse)
        py = _bin_mass(y_H[:, None] - centre[..., 1], inverse)
        # far from all blobs two equal numbers may differ by their last bit
        return torch.log((weight * px * py).sum(1).clamp_min(0) + RATE_FLOOR)

    def mass_in_window(self, half: int) -> Tensor:
        """Part of the draws that fall inside the window, [B, L]."""
        upper = torch.sigmoid((half + 0.5 - self.centre_BLK2) * self.inverse_BLK[..., None])
        lower = torch.sigmoid((-half - 0.5 - self.centre_BLK2) * self.inverse_BLK[..., None])
        return (self.weight_BLK * (upper - lower).prod(-1)).sum(-1)


def _bin_mass(distance: Tensor, inverse: Tensor) -> Tensor:
    # tanh(z / 2) = 2 sigmoid(z) - 1: the difference of two logistic CDFs
    a, h = distance * inverse * 0.5, inverse * 0.25
    return 0.5 * (torch.tanh(a + h) - torch.tanh(a - h))


def log_mean_energy(energy_BL: Tensor, count_BL: Tensor) -> Tensor:
    """Log of a layer's mean hit energy in units of 0.1 MeV, zero where it has no hit."""
    mean = energy_BL.clamp_min(1e-9) / count_BL.clamp_min(1) / MEV_TENTH
    return torch.where(count_BL > 0, torch.log(mean), torch.zeros_like(mean))


class HitModel(nn.Module):
    """Spreads the hits of each layer over cells and shares the layer's energy among them."""

    threshold_L: Tensor

    def __init__(self, geometry: Geometry, width: int = 192, share_width: int = 48) -> None:
        super().__init__()
        self.geometry = geometry
        layers = geometry.layers
        self.n_inputs = geometry.n_globals + 2 * layers
        self.n_outputs = 4 * BLOBS + 2 + CODES
        self.prior = mlp([self.n_inputs, 128, 128, 2 * LATENT])
        self.profile = mlp([self.n_inputs + LATENT, width, width, layers * self.n_outputs])
        self.share = mlp([SHARE_INPUTS, share_width, share_width, 3 * SHARE_COMPONENTS])
        self.encoder = mlp([self.n_inputs + 8 * layers, 256, 256, 2 * LATENT])
        self.register_buffer("threshold_L", torch.tensor(geometry.threshold), persistent=False)
        self.weight_bias = nn.Parameter(torch.tensor(INITIAL_WEIGHTS))
        self.width_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_WIDTHS)))
        with torch.no_grad():
            linear_layers(self.profile)[-1].weight.mul_(0.3)
            linear_layers(self.profile)[0].weight[:, -LATENT:].mul_(2)
            linear_layers(self.prior)[-1].weight.mul_(0.1)

    def inputs(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor) -> Tensor:
        """What every network of this model sees of a shower, [B, n_inputs]."""
        counts = (count_BL + 0.5).sqrt() / 3 - 1
        return torch.cat([c.globals_BG, counts, log_mean_energy(energy_BL, count_BL) / 2 - 0.5], 1)

    def prior_moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation of the latent vector, each [B, Z]."""
        mean, log_sd = self.prior(x).chunk(2, 1)
        return mean, log_sd.clamp(-4.0, 2.0)

    def posterior_moments(self, x: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation of the latent vector given the true hits, each [B, Z]."""
        mean, log_sd = self.encoder(torch.cat([x, moments], 1)).chunk(2, 1)
        return mean, (log_sd - 2).clamp(-5.0, 2.0)

    def prior_profile(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, normal_BZ: Tensor) -> Profile:
        """Blobs of all layers, with the latent vector that standard normal numbers give."""
        x = self.inputs(c, energy_BL, count_BL)
        mean, log_sd = self.prior_moments(x)
        return self.profile_of(c, x, count_BL, mean + log_sd.exp() * normal_BZ)

    def profile_of(self, c: HitConditions, x: Tensor, count_BL: Tensor, latent_BZ: Tensor) -> Profile:
        """Blobs of all layers."""
        raw = self.profile(torch.cat([x, latent_BZ], 1)).view(len(c), self.geometry.layers, self.n_outputs)
        weight = torch.softmax(raw[..., :BLOBS] + self.weight_bias, -1)
        log_width = (raw[..., BLOBS : 2 * BLOBS] * 0.5 + self.width_bias).clamp(-3.5, 2.2)
        a, b = raw[..., 2 * BLOBS : 3 * BLOBS], raw[..., 3 * BLOBS : 4 * BLOBS]
        ux, uy = c.along_B2[:, None, :1], c.along_B2[:, None, 1:]
        centre = c.offset_BL2[:, :, None] + torch.stack([a * ux - b * uy, a * uy + b * ux], -1)
        log_rate = torch.log(count_BL + 0.8) + 0.3 * raw[..., 4 * BLOBS]
        kappa = LARGEST_NEIGHBOUR_RATE * torch.sigmoid(raw[..., 4 * BLOBS + 1] - 2)
        return Profile(weight, torch.exp(-log_width), centre, log_rate, kappa, raw[..., 4 * BLOBS + 2 :])

    def share_static(
        self, c: HitConditions, profile: Profile, log_p_H: Tensor, row_H: Tensor, layer_H: Tensor,
        x_H: Tensor, y_H: Tensor, near: Neighbours, energy_BL: Tensor, count_BL: Tensor,
    ) -> Tensor:  # fmt: skip
        """Inputs of the sharing network that do not depend on the hits before, [H, SHARE_INPUTS - 4]."""
        a, b = along_across(c.along_B2[row_H], c.offset_BL2[row_H, layer_H], x_H, y_H)
        log_rate = log_p_H + profile.log_rate_BL[row_H, layer_H]
        depth = layer_H.float() / ((self.geometry.layers - 1) / 2) - 1
        columns = [
            (log_rate.clamp(-9.0, 4.0) + 1) / 2,
            a / 3,
            b.abs() / 3,
            log_mean_energy(energy_BL, count_BL)[row_H, layer_H] / 2 - 0.5,
            (count_BL[row_H, layer_H] + 0.5).sqrt() / 3 - 1,
            depth,
            c.globals_BG[row_H, 0],
            c.globals_BG[row_H, 2],
            near.nearer_H / 2,
            near.farther_H / 2,
        ]
        return torch.cat([torch.stack(columns, 1), profile.codes_BLC[row_H, layer_H]], 1)

    def share_mixture(
        self, static: Tensor, rest_H: Tensor, left_H: Tensor, previous_H: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logistic mixture of the logit of a hit's share: log weights, centres, log widths, each [H, M].

        Parameters
        ----------
        static : [H, SHARE_INPUTS - 4]
        rest_H : float32 [H]
            Energy not yet given to hits of the layer, GeV.
        left_H : float32 [H]
            Hits of the layer not yet served, this one included.
        previous_H : float32 [H]
            Logit of the hit before in the same layer, zero for the first.
        """
        dynamic = [
            torch.log((rest_H / left_H / MEV_TENTH).clamp_min(1e-3)) / 2 - 0.5,
            torch.log(left_H) / 2 - 1,
            previous_H.clamp(-6.0, 6.0) / 2,
            (left_H == 2).float(),
        ]
        weight, centre, width = self.share(torch.cat([static, torch.stack(dynamic, 1)], 1)).chunk(3, 1)
        return torch.log_softmax(weight, 1), centre, (width - 0.7).clamp(-5.0, 2.0)

    def share_of(self, logit_H: Tensor, free_H: Tensor, left_H: Tensor, layer_H: Tensor) -> tuple[Tensor, Tensor]:
        """Deposit of a hit from the logit of its share, and what is then free for the others, each [H], GeV.

        Parameters
        ----------
        logit_H : float32 [H]
        free_H : float32 [H]
            Energy to share: what is left of the layer, less `floor_L` for each hit left, GeV. It only ever shrinks by
            factors, so that the last hit, too, is exact to rounding.
        left_H : float32 [H]
            Hits left, this one included.
        layer_H : int64 [H]
        """
        z = logit_H - torch.log((left_H - 1).clamp_min(1))
        last = left_H <= 1
        taken = torch.where(last, torch.ones_like(z), torch.sigmoid(z))
        remains = torch.where(last, torch.zeros_like(z), torch.sigmoid(-z))
        threshold = self.threshold_L[layer_H]
        deposit = torch.maximum(THRESHOLD_SLACK * threshold + taken * free_H, LEAST * threshold)
        return deposit, remains * free_H

    @property
    def floor_L(self) -> Tensor:
        """Energy that every hit of a layer gets before the rest is shared, float32 [L], GeV."""
        return THRESHOLD_SLACK * self.threshold_L


@dataclass(frozen=True)
class StickBreaking:
    """True hits seen as stick-breaking: what was left when each was served.

    Attributes
    ----------
    group_H : int64 [H]
        Layer of a shower, counted through the batch.
    rest_H, left_H : float32 [H]
        Energy (GeV) and hits left in the layer before this hit, this one included.
    logit_H, previous_H : float32 [H]
        Logit of this hit's share, and of the one before it in the layer.
    """

    group_H: Tensor
    rest_H: Tensor
    left_H: Tensor
    logit_H: Tensor
    previous_H: Tensor


def stick_breaking(batch: Batch, geometry: Geometry) -> StickBreaking:
    """Stick-breaking coordinates of the true hits (sorted by layer and distance)."""
    layers, e = geometry.layers, batch.deposit.double()
    group = batch.row * layers + batch.layer
    count = torch.bincount(group, minlength=len(batch) * layers)
    first = (torch.cumsum(count, 0) - count)[group]
    index = torch.arange(len(group), device=group.device)
    before = torch.cumsum(e, 0) - e
    rest = group_sum(e, group, len(batch) * layers)[group] - (before - before[first])
    left = (count[group] - (index - first)).float()
    base = THRESHOLD_SLACK * torch.tensor(geometry.threshold, device=e.device, dtype=e.dtype)[batch.layer]
    taken = (e - base).clamp_min(1e-8)
    remaining = (rest - e - base * (left - 1)).clamp_min(1e-8)
    logit = (torch.log(taken / remaining) + torch.log((left - 1).clamp_min(1))).float()
    previous = torch.where(index == first, torch.zeros_like(logit), logit.roll(1))
    return StickBreaking(group, rest.float().clamp_min(1e-9), left, logit, previous)


def shape_moments(batch: Batch, c: HitConditions, geometry: Geometry) -> Tensor:
    """What the encoder sees of the true hits: eight moments per layer, [B, 8 L]."""
    layers = geometry.layers
    a, b = along_across(c.along_B2[batch.row], c.offset_BL2[batch.row, batch.layer], batch.x, batch.y)
    group, e = batch.row * layers + batch.layer, batch.deposit

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, len(batch) * layers).view(len(batch), layers)

    on = (batch.layer_count > 0).float()
    n, energy, r2 = batch.layer_count.clamp_min(1), batch.layer_energy + 1e-9, a * a + b * b
    moments = [
        total(e * a) / energy,
        total(e * b) / energy,
        total(a) / n,
        total(b) / n,
        (torch.log(total(e * r2) / energy + 0.05) + 0.5) * on,
        (torch.log(total(r2) / n + 0.05) - 0.5) * on,
        (total(e * (r2 < 0.7).float()) / energy - 0.5) * on,
        ((total(e**4) + 1e-20) ** 0.25 / energy * 1.5 - 1) * on,
    ]
    return torch.cat(moments, 1)


def negative_elbo(model: HitModel, batch: Batch, c: HitConditions, normal_BZ: Tensor) -> dict[str, Tensor]:
    """Terms of the negative evidence lower bound, per shower.

    ``cells``: a cell is hit with probability 1 - exp(-rate); the sum over empty cells is the mass of the rate
    inside the window. ``energy``: the sharing of each layer's energy. ``latent``: Kullback-Leibler divergence.
    """
    energy, count = batch.layer_energy, batch.layer_count
    x = model.inputs(c, energy, count)
    prior_mean, prior_log = model.prior_moments(x)
    mean, log_sd = model.posterior_moments(x, shape_moments(batch, c, model.geometry))
    divergence = (
        prior_log - log_sd + (torch.exp(2 * log_sd) + (mean - prior_mean) ** 2) / (2 * torch.exp(2 * prior_log)) - 0.5
    )
    profile = model.profile_of(c, x, count, mean + log_sd.exp() * normal_BZ)
    return {**hit_terms(model, batch, c, profile), "latent": divergence.sum() / len(batch)}


def cell_term(
    geometry: Geometry,
    profile: Profile,
    seen_BL: Tensor,
    row_H: Tensor,
    layer_H: Tensor,
    log_p_H: Tensor,
    near: Neighbours,
) -> Tensor:
    """Negative log-likelihood of the hits in those layers that are seen, all hits of which are given.

    Seen from the line of flight outwards, the rate of a cell is that of the blobs and that of its nearer neighbours.
    """
    kappa = profile.kappa_BL[row_H, layer_H]
    rate = torch.exp(log_p_H + profile.log_rate_BL[row_H, layer_H]) + kappa * near.pull_H
    # a rate that is not looked at may have no bounds
    log_rate = profile.log_rate_BL.masked_fill(~seen_BL, -torch.inf)
    expected = log_rate.exp() * profile.mass_in_window(geometry.half)
    cells = expected.sum() + (kappa * near.spread_H).sum()
    return cells - torch.log(torch.expm1(rate.clamp(1e-9, 60.0))).sum()


def hit_terms(model: HitModel, batch: Batch, c: HitConditions, profile: Profile) -> dict[str, Tensor]:
    """Negative log-likelihood per shower of the cells hit and of the energies, given the profile."""
    log_p = profile.log_probability(batch.row, batch.layer, batch.x, batch.y)
    near = neighbours(model.geometry, c, batch.row, batch.layer, batch.x, batch.y)
    cells = cell_term(model.geometry, profile, batch.layer_count > 0, batch.row, batch.layer, log_p, near)
    s = stick_breaking(batch, model.geometry)
    static = model.share_static(
        c, profile, log_p.detach(), batch.row, batch.layer, batch.x, batch.y, near, batch.layer_energy,
        batch.layer_count,
    )  # fmt: skip
    free = s.left_H > 1
    weight, centre, width = model.share_mixture(static[free], s.rest_H[free], s.left_H[free], s.previous_H[free])
    z = (s.logit_H[free][:, None] - centre) * torch.exp(-width)
    log_density = torch.logsumexp(weight - width - z - 2 * F.softplus(-z), 1)
    return {"cells": cells / len(batch), "energy": -log_density.sum() / len(batch)}


def logit(u: Tensor) -> Tensor:
    """Quantile of the standard logistic density."""
    return torch.log(u) - torch.log(1 - u)
