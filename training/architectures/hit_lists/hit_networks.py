# SPDX-License-Identifier: BSD-3-Clause
"""What the second network of both architectures has in common: its inputs, the latent vector, and shares of energy.

A latent vector, whose encoder serves training only, carries what is common to the layers of one shower (Kingma &
Welling, arXiv:1312.6114, with a conditional prior: Sohn, Lee & Yan, NeurIPS 2015). Hits share the energy of their
layer by stick-breaking from the axis outwards: each takes a part of what is left above threshold, the last one takes
the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nets import linear_layers
from .conditions import Geometry, HitConditions
from .layer_model import MEV_TENTH

CODES = 6
SHARE_COMPONENTS, OF_FIXED_ENERGY = 6, 3
"""Of the mixture of shares; the last of them stand at fixed energies, whatever is left for each of the other hits.

A particle that crosses a sensor leaves what it leaves, however many hits share the energy of the layer.
"""
LATENT = 16
THRESHOLD_SLACK = 0.98
"""Shares are measured above this part of the threshold, so that deposits just above it keep a finite logit."""
LEAST = 1.005
"""A drawn hit has at least so many thresholds."""
RATE_OFFSET = 1e-9


def log_mean_energy(energy_BL: Tensor, count_BL: Tensor) -> Tensor:
    """Log of a layer's mean hit energy in units of 0.1 MeV, zero where it has no hit."""
    mean = energy_BL.clamp_min(1e-9) / count_BL.clamp_min(1) / MEV_TENTH
    return torch.where(count_BL > 0, torch.log(mean), torch.zeros_like(mean))


class HitNetworks(nn.Module):
    """Base of both hit models, which make the networks.

    Attributes
    ----------
    prior, profile, share, encoder : nn.Sequential
        Latent vector from what is known, blobs of all layers, shares of energy, latent vector from the true hits.
    """

    threshold_L: Tensor
    prior: nn.Sequential
    profile: nn.Sequential
    share: nn.Sequential
    encoder: nn.Sequential

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.n_inputs = geometry.n_globals + 2 * geometry.layers

    @torch.no_grad()
    def scale_initial_weights(self) -> None:
        """Small blobs' outputs, a latent vector that is seen, a prior that is nearly standard."""
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

    def drawn_latent(self, x: Tensor, normal_BZ: Tensor) -> Tensor:
        """The latent vector that standard normal numbers give, [B, Z]."""
        mean, log_sd = self.prior_moments(x)
        return mean + log_sd.exp() * normal_BZ

    def inferred_latent(self, x: Tensor, moments: Tensor, normal_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """A latent vector given the true hits [B, Z], and its Kullback-Leibler divergence from the prior [B, Z]."""
        prior_mean, prior_log = self.prior_moments(x)
        mean, log_sd = self.posterior_moments(x, moments)
        divergence = (
            prior_log
            - log_sd
            + (torch.exp(2 * log_sd) + (mean - prior_mean) ** 2) / (2 * torch.exp(2 * prior_log))
            - 0.5
        )
        return mean + log_sd.exp() * normal_BZ, divergence

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
        mean = torch.log((rest_H / left_H / MEV_TENTH).clamp_min(1e-3))
        dynamic = [
            mean / 2 - 0.5,
            torch.log(left_H) / 2 - 1,
            previous_H.clamp(-6.0, 6.0) / 2,
            (left_H == 2).float(),
        ]
        weight, centre, width = self.share(torch.cat([static, torch.stack(dynamic, 1)], 1)).chunk(3, 1)
        fixed = torch.arange(SHARE_COMPONENTS, device=centre.device) >= SHARE_COMPONENTS - OF_FIXED_ENERGY
        centre = centre - mean[:, None] * fixed
        return torch.log_softmax(weight, 1), centre, (width - 0.7).clamp(-5.0, 2.0)

    def share_of(self, logit_H: Tensor, free_H: Tensor, left_H: Tensor, layer_H: Tensor) -> tuple[Tensor, Tensor]:
        """Deposit of a hit from the logit of its share, and what is then free for the others, each [H], GeV.

        Parameters
        ----------
        logit_H : float32 [H]
        free_H : float32 [H]
            Energy to share: what is left of the layer, less `minimum_deposit_L` for each hit left, GeV. It only
            ever shrinks by factors, so that the last hit, too, is exact to rounding.
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
    def minimum_deposit_L(self) -> Tensor:
        """Energy that every hit of a layer gets before the rest is shared, float32 [L], GeV."""
        return THRESHOLD_SLACK * self.threshold_L
