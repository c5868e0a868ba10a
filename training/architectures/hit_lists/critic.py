# SPDX-License-Identifier: BSD-3-Clause
"""Discriminator of lists of hits: a network on observables, given conditions and the energies and counts of layers.

Observables follow mostly from what is given: a shower of many hits has many neighbours. What tells showers from each
other is how far they are from what is expected then, and so the network sees each observable less its expectation, over
its expected deviation. Expectations and logarithms of deviations are quadratic in what is given, fitted to true showers
by ridge regression.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nets import mlp
from .conditions import Geometry, HitConditions
from .hit_networks import log_mean_energy
from .observables import canonical_azimuth

CLIP = 8.0
"""Deviations beyond which observables do not count as farther."""
RIDGE = 1e-3
SMALLEST_DEVIATION = 1e-3
MEAN_LOG_SQUARE = -1.27
"""Of a normal number: the mean of ln x^2 is -ln 2 - Euler's constant."""
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

    expectation_IF: Tensor
    log_deviation_IF: Tensor

    def __init__(self, geometry: Geometry, n_features: int, width: int = 256) -> None:
        super().__init__()
        self.given = [min(k + i, geometry.layers - 1) for k in geometry.first_layers for i in _CONTEXT_LAYERS]
        context = geometry.n_globals + 2 + 2 * len(self.given) + 2 * geometry.layers
        self.score = mlp([context + n_features, width, width, width, 1], lambda: nn.LeakyReLU(0.2))
        self.register_buffer("expectation_IF", torch.zeros(1 + 2 * context, n_features))
        self.register_buffer("log_deviation_IF", torch.zeros(1 + 2 * context, n_features))

    def context(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor) -> Tensor:
        """What the critic knows of a shower besides its hits."""
        return torch.cat(
            [
                c.globals_BG,
                canonical_azimuth(c.along_B2),
                # a list as an index would be copied to the device every time
                torch.cat([c.offset_BL2[:, layer] for layer in self.given], 1),
                (count_BL + 0.5).sqrt() / 3 - 1,
                log_mean_energy(energy_BL, count_BL) / 2 - 0.5,
            ],
            1,
        )

    def standardised(self, context: Tensor, observed: Tensor) -> Tensor:
        """Observables as the network sees them: how far they are from what true showers have on average, [B, F]."""
        given = _terms(context)
        deviation = torch.exp(given @ self.log_deviation_IF).clamp_min(SMALLEST_DEVIATION)
        return ((observed - given @ self.expectation_IF) / deviation).clamp(-CLIP, CLIP)

    def forward(self, context: Tensor, standardised: Tensor) -> Tensor:
        """Scores [B] from `context` and `standardised` observables."""
        score: Tensor = self.score(torch.cat([context, standardised], 1))[:, 0]
        return score

    @torch.no_grad()
    def calibrate(self, context: Tensor, observed: Tensor) -> None:
        """Fit expectations and deviations of observables to true showers."""
        given, seen = _terms(context.double()), observed.double()
        expectation, solver = _ridge(given, seen, 1 + RIDGE * len(given))
        # of a fit that has not seen the shower itself
        own = (given * solver.T).sum(1, keepdim=True).clamp_max(0.999)
        left = (seen - given @ expectation) / (1 - own)
        log_square = torch.log(left.square() + SMALLEST_DEVIATION**2) - MEAN_LOG_SQUARE
        mean = log_square.mean(0)
        # held back by more, for what is not known of a deviation is a factor
        log_deviation, _ = _ridge(given, log_square - mean, given.shape[1] + RIDGE * len(given))
        log_deviation[0] += mean
        self.expectation_IF.copy_(expectation)
        self.log_deviation_IF.copy_(log_deviation / 2)


def _ridge(given: Tensor, wanted: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Coefficients of a ridge regression [I, F], and the matrix that gives them [I, B]."""
    square = given.T @ given
    square += penalty * torch.eye(len(square), dtype=square.dtype, device=square.device)
    solver = torch.linalg.solve(square, given.T)
    return solver @ wanted, solver


def _terms(context: Tensor) -> Tensor:
    """One, what is given, and its squares, [B, I]."""
    return torch.cat([torch.ones_like(context[:, :1]), context, context.square()], 1)
