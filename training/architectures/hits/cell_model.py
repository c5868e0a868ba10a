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
from torch import Tensor, nn

from ...data.batch import Batch
from ..hit_lists.conditions import Geometry, HitConditions, along_across
from ..hit_lists.hit_networks import CODES, LATENT, RATE_OFFSET, SHARE_COMPONENTS, HitNetworks, log_mean_energy
from ..hit_lists.true_hits import energy_term, moments_of
from ..nets import mlp
from .neighbours import Neighbours, neighbours

BLOBS = 6
INITIAL_WIDTHS = (0.08, 0.25, 0.6, 1.3, 3.2, 7.0)
INITIAL_WEIGHTS = (1.0, 1.0, 0.5, -1.0, -2.5, -4.5)
SHARE_INPUTS = 1 + CODES + 2 + 2 + 1 + 2 + 2 + 4
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
        What the energy-sharing network is given of the layer.
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
        return torch.log((weight * px * py).sum(1).clamp_min(0) + RATE_OFFSET)

    def mass_in_window(self, half: int) -> Tensor:
        """Part of the draws that fall inside the window, [B, L]."""
        upper = torch.sigmoid((half + 0.5 - self.centre_BLK2) * self.inverse_BLK[..., None])
        lower = torch.sigmoid((-half - 0.5 - self.centre_BLK2) * self.inverse_BLK[..., None])
        return (self.weight_BLK * (upper - lower).prod(-1)).sum(-1)


def _bin_mass(distance: Tensor, inverse: Tensor) -> Tensor:
    # tanh(z / 2) = 2 sigmoid(z) - 1: the difference of two logistic CDFs
    a, h = distance * inverse * 0.5, inverse * 0.25
    return 0.5 * (torch.tanh(a + h) - torch.tanh(a - h))


class HitModel(HitNetworks):
    """Spreads the hits of each layer over cells and shares the layer's energy among them."""

    def __init__(self, geometry: Geometry, width: int = 192, share_width: int = 48) -> None:
        super().__init__(geometry)
        layers = geometry.layers
        self.n_outputs = 4 * BLOBS + 2 + CODES
        self.prior = mlp([self.n_inputs, 128, 128, 2 * LATENT])
        self.profile = mlp([self.n_inputs + LATENT, width, width, layers * self.n_outputs])
        self.share = mlp([SHARE_INPUTS, share_width, share_width, 3 * SHARE_COMPONENTS])
        self.encoder = mlp([self.n_inputs + 8 * layers, 256, 256, 2 * LATENT])
        self.register_buffer("threshold_L", torch.tensor(geometry.threshold), persistent=False)
        self.weight_bias = nn.Parameter(torch.tensor(INITIAL_WEIGHTS))
        self.width_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_WIDTHS)))
        self.scale_initial_weights()

    def prior_profile(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, normal_BZ: Tensor) -> Profile:
        """Blobs of all layers, with the latent vector that standard normal numbers give."""
        x = self.inputs(c, energy_BL, count_BL)
        return self.profile_of(c, x, count_BL, self.drawn_latent(x, normal_BZ))

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


def shape_moments(batch: Batch, c: HitConditions, geometry: Geometry) -> Tensor:
    """What the encoder sees of the true hits: eight moments per layer, [B, 8 L]."""
    a, b = along_across(c.along_B2[batch.row], c.offset_BL2[batch.row, batch.layer], batch.x, batch.y)
    return moments_of(batch, geometry, a, b)


def negative_elbo(model: HitModel, batch: Batch, c: HitConditions, normal_BZ: Tensor) -> dict[str, Tensor]:
    """Terms of the negative evidence lower bound, per shower.

    ``cells``: a cell is hit with probability 1 - exp(-rate); the sum over empty cells is the mass of the rate
    inside the window. ``energy``: the sharing of each layer's energy. ``latent``: Kullback-Leibler divergence.
    """
    energy, count = batch.layer_energy, batch.layer_count
    x = model.inputs(c, energy, count)
    latent, divergence = model.inferred_latent(x, shape_moments(batch, c, model.geometry), normal_BZ)
    profile = model.profile_of(c, x, count, latent)
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
    static = model.share_static(
        c, profile, log_p.detach(), batch.row, batch.layer, batch.x, batch.y, near, batch.layer_energy,
        batch.layer_count,
    )  # fmt: skip
    return {"cells": cells / len(batch), "energy": energy_term(model, batch, static) / len(batch)}
