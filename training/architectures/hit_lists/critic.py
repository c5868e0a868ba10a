# SPDX-License-Identifier: BSD-3-Clause
"""Discriminator of lists of hits: a network on observables, given conditions and the energies and counts of layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nets import mlp
from .conditions import Geometry, HitConditions
from .hit_networks import log_mean_energy

CLIP = 12.0
_CONTEXT_LAYERS = (2, 10)
"""Layers of each section whose offsets the critic is given."""


class ObservableCritic(nn.Module):
    """Scores showers; higher is more like full simulation.

    Parameters
    ----------
    geometry : Geometry
    n_features : int
        Number of observables.
    width : int
        Hidden units.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, geometry: Geometry, n_features: int, width: int = 256) -> None:
        super().__init__()
        self.given = [min(k + i, geometry.layers - 1) for k in geometry.first_layers for i in _CONTEXT_LAYERS]
        context = geometry.n_globals + 2 + 2 * len(self.given) + 2 * geometry.layers
        self.score = mlp([context + n_features, width, width, width, 1], lambda: nn.LeakyReLU(0.2))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))

    def context(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor) -> Tensor:
        """What the critic knows of a shower besides its hits."""
        u = c.along_B2.abs()
        return torch.cat(
            [
                c.globals_BG,
                torch.stack([u.amax(1), u.amin(1)], 1) * 2 - 1,
                # a list as an index would be copied to the device every time
                torch.cat([c.offset_BL2[:, layer] for layer in self.given], 1),
                (count_BL + 0.5).sqrt() / 3 - 1,
                log_mean_energy(energy_BL, count_BL) / 2 - 0.5,
            ],
            1,
        )

    def forward(self, context: Tensor, observed: Tensor) -> Tensor:
        """Scores [B] from `context` and observables."""
        normal = ((observed - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        score: Tensor = self.score(torch.cat([context, normal], 1))[:, 0]
        return score

    @torch.no_grad()
    def calibrate(self, observed: Tensor) -> None:
        """Take the scale of each observable from true showers."""
        self.mean.copy_(observed.mean(0))
        self.deviation.copy_(observed.std(0) + 1e-3)
