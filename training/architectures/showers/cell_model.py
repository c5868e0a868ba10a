# SPDX-License-Identifier: BSD-3-Clause
"""Second network: which cells of a layer are hit, and how the layer's energy is shared among them.

The hits of a layer are a point process without a window. Most are draws from a mixture of blobs around the line of
flight: narrow ones are normal densities, integrated over the cell; wide ones are densities with a power law for a tail
(a Student density in two dimensions), stretched along the azimuth of incidence. The others descend from the hits of the
layer before: a parent is taken at random, accepted with a probability that depends on where it stands, and its child
lies close to its projection along the line of flight. A hit may bring about another in a neighbouring cell (see
`neighbours`). A latent vector, whose encoder serves training only, carries what is common to the layers of one shower
(Kingma & Welling, arXiv:1312.6114, with a conditional prior: Sohn, Lee & Yan, NeurIPS 2015). Hits share the energy of
their layer by stick-breaking from the axis outwards: each takes a part of what is left above threshold, the last one
takes the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.showers import Batch
from ..hits.layer_model import MEV_TENTH
from ..nets import group_sum, linear_layers, mlp
from .conditions import Geometry, ShowerConditions, along_across
from .neighbours import Neighbours, neighbours

NARROW, WIDE = 4, 3
BLOBS = NARROW + WIDE
CODES = 6
GATES = 4
SHARE_COMPONENTS = 4
LATENT = 16
INITIAL_WIDTHS = (0.12, 0.35, 0.8, 1.7)
INITIAL_SCALES = (2.0, 6.0, 25.0)
INITIAL_WEIGHTS = (1.0, 1.0, 0.5, -0.5, -1.0, -2.0, -3.0)
INITIAL_KERNELS = (0.3, 0.9)
WIDTH_RANGE = (-3.5, 1.4)
SCALE_RANGE = (0.2, 4.6)
"""Of the log scale of wide blobs, in cells: at the lower end a density at the middle of a cell is that of its mean."""
TAIL_RANGE = (-0.7, 1.8)
STRETCH_RANGE = (-0.7, 2.3)
KERNEL_RANGE = (-2.5, 0.4)
REACH = 4.5
"""Cells along x and y within which a hit may descend from another."""
OUTPUTS = 4 * NARROW + 6 * WIDE + 1 + 2 + 5 + CODES + GATES
SHARE_INPUTS = 1 + CODES + 2 + 2 + 1 + 2 + 4 + 4
THRESHOLD_SLACK = 0.98
"""Shares are measured above this part of the threshold, so that deposits just above it keep a finite logit."""
LEAST = 1.005
"""A drawn hit has at least so many thresholds."""
RATE_FLOOR = 1e-9
LARGEST_NEIGHBOUR_RATES = (0.25, 0.05)
"""Across an edge, of which most hits have two that are farther, and across a corner."""


@dataclass(frozen=True)
class Profile:
    """Blobs of every layer of every shower, and how its hits descend from those of the layer before.

    Attributes
    ----------
    weight_BLK : float32, sums to one over K
        Of narrow blobs, then of wide ones.
    inverse_BLN : float32
        Inverse widths of narrow blobs, per cell.
    centre_BLK2 : float32
        Centres in cells from the cell that is crossed, along x and y.
    scale_BLW, tail_BLW, stretch_BLW : float32
        Of wide blobs: scale across the azimuth of incidence in cells, exponent of the tail, ratio of the scale along
        the azimuth to that across.
    log_rate_BL : float32
        Log of the expected number of draws.
    kappa_BL2 : float32
        Rate at which a hit far from the line of flight brings about one across each edge, and across each corner.
    chained_BL : float32
        Part of the draws that ask for a parent.
    kernel_BL : float32
        Part of these that take the narrow kernel.
    kernel_inverse_BL2 : float32
        Inverse widths of both kernels, per cell.
    drift_BL : float32
        By which part of their distance from the line of flight children stand farther than parents.
    codes_BLC, gates_BLC : float32
        What the energy-sharing network and the one that accepts parents are told of the layer.
    """

    weight_BLK: Tensor
    inverse_BLN: Tensor
    centre_BLK2: Tensor
    scale_BLW: Tensor
    tail_BLW: Tensor
    stretch_BLW: Tensor
    log_rate_BL: Tensor
    kappa_BL2: Tensor
    chained_BL: Tensor
    kernel_BL: Tensor
    kernel_inverse_BL2: Tensor
    drift_BL: Tensor
    codes_BLC: Tensor
    gates_BLC: Tensor

    def log_probability(self, c: ShowerConditions, row_H: Tensor, layer_H: Tensor, x_H: Tensor, y_H: Tensor) -> Tensor:
        """Log probability that a draw from the blobs falls into a cell, [H]."""
        weight, centre = self.weight_BLK[row_H, layer_H], self.centre_BLK2[row_H, layer_H]
        dx, dy = x_H[:, None] - centre[..., 0], y_H[:, None] - centre[..., 1]
        inverse = self.inverse_BLN[row_H, layer_H]
        narrow = bin_mass(dx[:, :NARROW], inverse) * bin_mass(dy[:, :NARROW], inverse)
        scale, tail, stretch = (t[row_H, layer_H] for t in (self.scale_BLW, self.tail_BLW, self.stretch_BLW))
        u, v = c.along_B2[row_H, :1], c.along_B2[row_H, 1:]
        along = dx[:, NARROW:] * u + dy[:, NARROW:] * v
        across = dy[:, NARROW:] * u - dx[:, NARROW:] * v
        q = ((along / stretch) ** 2 + across**2) / (scale * scale)
        wide = tail / (math.pi * scale * scale * stretch) * torch.exp(-(tail + 1) * torch.log(1 + q))
        mass = (weight[:, :NARROW] * narrow).sum(1) + (weight[:, NARROW:] * wide).sum(1)
        return torch.log(mass.clamp_min(0) + RATE_FLOOR)


def bin_mass(distance: Tensor, inverse: Tensor) -> Tensor:
    """What a normal density of mean 0 has within half a cell of a distance."""
    a, h = distance * inverse * math.sqrt(0.5), inverse * (0.5 * math.sqrt(0.5))
    return 0.5 * (torch.erf(a + h) - torch.erf(a - h))


def log_mean_energy(energy_BL: Tensor, count_BL: Tensor) -> Tensor:
    """Log of a layer's mean hit energy in units of 0.1 MeV, zero where it has no hit."""
    mean = energy_BL.clamp_min(1e-9) / count_BL.clamp_min(1) / MEV_TENTH
    return torch.where(count_BL > 0, torch.log(mean), torch.zeros_like(mean))


class HitModel(nn.Module):
    """Spreads the hits of each layer over cells and shares the layer's energy among them."""

    threshold_L: Tensor
    cell_L: Tensor

    def __init__(self, geometry: Geometry, width: int = 192, share_width: int = 48, parent_width: int = 16) -> None:
        super().__init__()
        self.geometry = geometry
        layers = geometry.layers
        self.n_inputs = geometry.n_globals + 2 * layers
        self.prior = mlp([self.n_inputs, 128, 128, 2 * LATENT])
        self.profile = mlp([self.n_inputs + LATENT, width, width, layers * OUTPUTS])
        self.parent = mlp([5 + GATES, parent_width, 2])
        self.share = mlp([SHARE_INPUTS, share_width, share_width, 3 * SHARE_COMPONENTS])
        self.encoder = mlp([self.n_inputs + 8 * layers, 256, 256, 2 * LATENT])
        self.register_buffer("threshold_L", torch.tensor(geometry.threshold), persistent=False)
        self.register_buffer("cell_L", torch.tensor(geometry.cell), persistent=False)
        self.weight_bias = nn.Parameter(torch.tensor(INITIAL_WEIGHTS))
        self.width_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_WIDTHS)))
        self.scale_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_SCALES)))
        self.kernel_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_KERNELS)))
        with torch.no_grad():
            linear_layers(self.profile)[-1].weight.mul_(0.3)
            linear_layers(self.profile)[0].weight[:, -LATENT:].mul_(2)
            linear_layers(self.prior)[-1].weight.mul_(0.1)

    def inputs(self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor) -> Tensor:
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

    def prior_profile(self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, normal_BZ: Tensor) -> Profile:
        """Blobs of all layers, with the latent vector that standard normal numbers give."""
        x = self.inputs(c, energy_BL, count_BL)
        mean, log_sd = self.prior_moments(x)
        return self.profile_of(c, x, count_BL, mean + log_sd.exp() * normal_BZ)

    def profile_of(self, c: ShowerConditions, x: Tensor, count_BL: Tensor, latent_BZ: Tensor) -> Profile:
        """Blobs of all layers."""
        raw = self.profile(torch.cat([x, latent_BZ], 1)).view(len(c), self.geometry.layers, OUTPUTS)
        (
            logits,
            width,
            scale,
            tail,
            stretch,
            along,
            across,
            rate,
            kappa,
            chained,
            kernel,
            kernels,
            drift,
            codes,
            gates,
        ) = raw.split([BLOBS, NARROW, WIDE, WIDE, WIDE, BLOBS, BLOBS, 1, 2, 1, 1, 2, 1, CODES, GATES], -1)
        weight = torch.softmax(logits + self.weight_bias, -1)
        inverse = torch.exp(-(width * 0.5 + self.width_bias).clamp(*WIDTH_RANGE))
        scale = torch.exp((scale * 0.5 + self.scale_bias).clamp(*SCALE_RANGE))
        tail = torch.exp((tail * 0.5 + 0.5).clamp(*TAIL_RANGE))
        stretch = torch.exp((stretch * 0.5).clamp(*STRETCH_RANGE))
        # wide blobs are shifted in units of their scale
        unit = torch.cat([torch.ones_like(inverse), 0.3 * scale], -1)
        a, b = along * unit, across * unit
        ux, uy = c.along_B2[:, None, :1], c.along_B2[:, None, 1:]
        centre = c.offset_BL2[:, :, None] + torch.stack([a * ux - b * uy, a * uy + b * ux], -1)
        before = F.pad(count_BL[:, :-1], (1, 0))
        return Profile(
            weight, inverse, centre, scale, tail, stretch,
            torch.log(count_BL + 0.8) + 0.3 * rate[..., 0],
            torch.tensor(LARGEST_NEIGHBOUR_RATES, device=x.device) * torch.sigmoid(kappa - 2),
            torch.sigmoid(chained[..., 0]) * (before > 0),
            torch.sigmoid(kernel[..., 0]),
            torch.exp(-(kernels * 0.5 + self.kernel_bias).clamp(*KERNEL_RANGE)),
            1 + 0.1 * drift[..., 0], codes, gates,
        )  # fmt: skip

    def parents(
        self, c: ShowerConditions, profile: Profile, row_H: Tensor, layer_H: Tensor, d_H2: Tensor, beside_H: Tensor,
        before_H: Tensor, step_H2: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Probability that a hit is accepted as a parent in the layer behind [H], and where its children stand [H, 2].

        Parameters
        ----------
        c : ShowerConditions
        profile : Profile
        row_H, layer_H : int64 [H]
        d_H2 : float32 [H, 2]
            From the line of flight, in cells of the hit's own layer.
        beside_H, before_H, step_H2 : float32
            See `Neighbours`; the first is the sum of nearer and farther ones.

        Returns
        -------
        float32 [H], [H, 2]
            The second in cells of the hit's own layer from the line of flight.
        """
        behind = (layer_H + 1).clamp_max(self.geometry.layers - 1)
        u = c.along_B2[row_H]
        a, b = d_H2[:, 0] * u[:, 0] + d_H2[:, 1] * u[:, 1], (d_H2[:, 1] * u[:, 0] - d_H2[:, 0] * u[:, 1]).abs()
        log_r = torch.log((d_H2 * d_H2).sum(1) + 0.1) / 2
        columns = [log_r, a / (5 + a.abs()), b / (5 + b), beside_H / 3, before_H / 3]
        raw = self.parent(torch.cat([torch.stack(columns, 1), profile.gates_BLC[row_H, behind]], 1))
        accepted, goes_on = torch.sigmoid(raw).unbind(1)
        centre = d_H2 * profile.drift_BL[row_H, behind, None] + goes_on[:, None] * step_H2
        return accepted, centre

    def share_static(
        self, c: ShowerConditions, profile: Profile, log_p_H: Tensor, row_H: Tensor, layer_H: Tensor,
        x_H: Tensor, y_H: Tensor, near: Neighbours, energy_BL: Tensor, count_BL: Tensor,
    ) -> Tensor:  # fmt: skip
        """Inputs of the sharing network that do not depend on the hits before, [H, SHARE_INPUTS - 4]."""
        a, b = along_across(c.along_B2[row_H], c.offset_BL2[row_H, layer_H], x_H, y_H)
        log_rate = log_p_H + profile.log_rate_BL[row_H, layer_H]
        depth = layer_H.float() / ((self.geometry.layers - 1) / 2) - 1
        columns = [
            (log_rate.clamp(-9.0, 4.0) + 1) / 2,
            a / (1 + a.abs() / 10) / 3,
            b.abs() / (1 + b.abs() / 10) / 3,
            log_mean_energy(energy_BL, count_BL)[row_H, layer_H] / 2 - 0.5,
            (count_BL[row_H, layer_H] + 0.5).sqrt() / 3 - 1,
            depth,
            c.globals_BG[row_H, 0],
            c.globals_BG[row_H, 2],
            near.nearer_H / 2,
            near.farther_H / 2,
            near.before_H / 3,
            near.behind_H / 3,
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
class Sticks:
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


def sticks(batch: Batch, geometry: Geometry) -> Sticks:
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
    return Sticks(group, rest.float().clamp_min(1e-9), left, logit, previous)


def shape_moments(batch: Batch, c: ShowerConditions, geometry: Geometry) -> Tensor:
    """What the encoder sees of the true hits: eight moments per layer, [B, 8 L]."""
    layers = geometry.layers
    a, b = along_across(c.along_B2[batch.row], c.offset_BL2[batch.row, batch.layer], batch.x, batch.y)
    group, e = batch.row * layers + batch.layer, batch.deposit
    # far hits must not drown those of the core
    near = 1 / (1 + torch.hypot(a, b) / 10)
    a, b = a * near, b * near

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


@dataclass(frozen=True)
class Rates:
    """At which rate the cells of some hits are hit, given the hits of the layer before and those nearer to the axis.

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
    accepted, centre = model.parents(
        c, profile, row, layer, d, near.nearer_H + near.farther_H, near.before_H, near.step_H2
    )
    group = row * layers + layer
    size = len(c) * layers
    number = torch.bincount(group, minlength=size)
    mean = (group_sum(accepted, group, size) / number.clamp_min(1)).view(-1, layers)
    chained = profile.chained_BL
    mass = 1 - chained + chained * F.pad(mean[:, :-1], (1, 0))
    child, parent = pairs(row, layer, d, number, model.cell_L, REACH)
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


@torch.no_grad()
def pairs(
    row: Tensor, layer: Tensor, d: Tensor, number_G: Tensor, cell_L: Tensor, reach: float
) -> tuple[Tensor, Tensor]:
    """Pairs (child, parent) with the parent in the layer before, within `reach` of the child's cells, int64 [P]."""
    layers, device = len(cell_L), row.device
    first = torch.cumsum(number_G, 0) - number_G
    group = row * layers + layer
    before = (group - 1).clamp_min(0)
    n = number_G[before] * (layer > 0)
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
    energy, count = batch.layer_energy, batch.layer_count
    x = model.inputs(c, energy, count)
    prior_mean, prior_log = model.prior_moments(x)
    mean, log_sd = model.posterior_moments(x, shape_moments(batch, c, model.geometry))
    divergence = (
        prior_log - log_sd + (torch.exp(2 * log_sd) + (mean - prior_mean) ** 2) / (2 * torch.exp(2 * prior_log)) - 0.5
    )
    profile = model.profile_of(c, x, count, mean + log_sd.exp() * normal_BZ)
    return {**hit_terms(model, batch, c, profile), "latent": divergence.sum() / len(batch)}


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
    s = sticks(batch, model.geometry)
    static = model.share_static(
        c, profile, rates.log_p_H.detach(), row, layer, batch.x, batch.y, near, batch.layer_energy, batch.layer_count
    )
    free = s.left_H > 1
    weight, centre, width = model.share_mixture(static[free], s.rest_H[free], s.left_H[free], s.previous_H[free])
    z = (s.logit_H[free][:, None] - centre) * torch.exp(-width)
    log_density = torch.logsumexp(weight - width - z - 2 * F.softplus(-z), 1)
    return {"cells": cells / len(batch), "energy": -log_density.sum() / len(batch)}
