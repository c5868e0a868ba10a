# SPDX-License-Identifier: BSD-3-Clause
"""Discriminator of showers, on physics features of their hits.

It sees some two hundred differentiable observables of the hits for each section, given the conditions and the layers'
energies and counts, which are the same for both.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ...data.showers import Batch
from ..nets import group_sum, mlp
from .cell_model import log_mean_energy
from .conditions import Geometry, HitConditions
from .neighbours import neighbours
from .sampler import DrawnHits

RINGS = ((0.0, 1.0), (1.0, 2.5), (2.5, 5.0), (5.0, 9.0), (9.0, 99.0))
"""Edges of rings about the centre of the window, in the section's own cells."""
SPECTRUM = (1e-4, 2e-4, 5e-4, 2e-3, 1e-2)
"""Edges of the spectrum of deposits, GeV."""
CLIP = 12.0
_CONTEXT_LAYERS = (2, 10)
"""Layers of each section whose offsets the critic is told."""


HitLike: TypeAlias = Batch | DrawnHits
"""Hits of a batch, true or drawn."""


def n_features(geometry: Geometry) -> int:
    """Number of observables."""
    whole = 5 + 3 * len(RINGS) + 2 * len(SPECTRUM) + 1 + 3
    return whole * len(geometry.sections) + 8 * geometry.layers


def features(geometry: Geometry, c: HitConditions, hits: HitLike, weight_H: Tensor) -> Tensor:
    """Observables of each shower, float32 [B, n_features].

    Parameters
    ----------
    geometry : Geometry
    c : HitConditions
    hits : true or drawn hits
    weight_H : float32 [H]
        How much each hit counts as a hit; one, or the score function's weight.
    """
    batch, row, e, h = len(c), hits.row, hits.deposit, weight_H
    x, y = _canonical(c.along_B2, row, hits.x, hits.y)
    pairs = neighbours(geometry, c, row, hits.layer, hits.x, hits.y).nearer_H
    sections = len(geometry.sections)
    section = row * sections + torch.tensor(geometry.section_of_layer, device=row.device)[hits.layer]
    whole = _section_features(batch * sections, section, x, y, e, h).view(batch, -1)
    return torch.cat([whole, _layer_features(geometry, batch, row, hits.layer, x, y, e, h, pairs)], 1)


def _section_features(groups: int, group: Tensor, x: Tensor, y: Tensor, e: Tensor, h: Tensor) -> Tensor:
    """Observables of each section of each shower, [groups, F]."""

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, groups)

    sum_e = total(e) + 1e-9
    share = e / sum_e[group]
    mx, my = total(share * x), total(share * y)
    vx = (total(share * x * x) - mx**2).clamp_min(1e-4)
    vy = (total(share * y * y) - my**2).clamp_min(1e-4)
    out = [mx * 2, my * 2, vx.sqrt() * 2 - 1, vy.sqrt() * 2 - 1, total(share * x * y) - mx * my]
    radius = torch.hypot(x, y)
    for low, high in RINGS:
        ring = ((radius >= low) & (radius < high)).float()
        part = total(share * ring)
        out += [(part + 1e-4).sqrt() * 3 - 1, (total(h * ring) + 0.3).clamp_min(0.01).sqrt() / 3 - 1, part * 4 - 1]
    above = [total(h), *(total(h * _soft_step(e, edge)) for edge in SPECTRUM)]
    out += [(n + 0.3).clamp_min(0.1).sqrt() / 3 - 1 for n in above]
    out += [(a - b + 0.3).clamp_min(0.1).sqrt() / 2 - 1 for a, b in pairwise(above)]
    peak = (total(share**4) + 1e-12) ** 0.25
    out += [peak * 4 - 1, torch.log(peak + 1e-3) + 2, torch.log(sum_e) / 2 + 1]
    return torch.stack(out, 1)


def _layer_features(
    geometry: Geometry, batch: int, row: Tensor, layer: Tensor, x: Tensor, y: Tensor, e: Tensor, h: Tensor,
    pairs: Tensor,
) -> Tensor:  # fmt: skip
    group = row * geometry.layers + layer

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, batch * geometry.layers).view(batch, geometry.layers)

    energy = total(e) + 1e-7
    on = (energy > torch.tensor(geometry.threshold, device=energy.device)).float()
    central = ((x == 0) & (y == 0)).float()
    mx, my = total(e * x) / energy, total(e * y) / energy
    spread = (total(e * (x * x + y * y)) / energy - mx**2 - my**2).clamp_min(0) + 1e-3
    return torch.cat(
        [
            (total(e * central) / energy - 0.4) * 2 * on,
            mx * on,
            my * on,
            spread.sqrt() * on - 0.5,
            ((total(e**4) + 1e-20) ** 0.25 / energy * 1.5 - 1) * on,
            total(h * central) - 0.5,
            torch.log(energy + 1e-5) / 3 + 2.5,
            (total(h * pairs) + 0.3).clamp_min(0.1).sqrt() / 2 - 1,
        ],
        1,
    )


def _canonical(along_B2: Tensor, row: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Fold cells by the square's symmetries, so that the azimuth of incidence has x >= y >= 0."""
    u = along_B2[row]
    x, y = torch.where(u[:, 0] < 0, -x, x), torch.where(u[:, 1] < 0, -y, y)
    swap = u[:, 1].abs() > u[:, 0].abs()
    return torch.where(swap, y, x), torch.where(swap, x, y)


def _soft_step(e: Tensor, edge: float) -> Tensor:
    """One where the deposit exceeds the edge; its gradient is that of a sigmoid in the logarithm."""
    soft = torch.sigmoid((torch.log(e.clamp_min(1e-6)) - math.log(edge)) / 0.2)
    return soft + ((e >= edge).float() - soft).detach()


class HitCritic(nn.Module):
    """Scores showers; higher is more like full simulation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, geometry: Geometry, width: int = 256) -> None:
        super().__init__()
        n = n_features(geometry)
        self.told = [min(k + i, geometry.layers - 1) for k in geometry.first_layers for i in _CONTEXT_LAYERS]
        context = geometry.n_globals + 2 + 2 * len(self.told) + 2 * geometry.layers
        self.score = mlp([context + n, width, width, width, 1], lambda: nn.LeakyReLU(0.2))
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("deviation", torch.ones(n))

    def context(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor) -> Tensor:
        """What the critic knows of a shower besides its hits."""
        u = c.along_B2.abs()
        return torch.cat(
            [
                c.globals_BG,
                torch.stack([u.amax(1), u.amin(1)], 1) * 2 - 1,
                # a list as an index would be copied to the device every time
                torch.cat([c.offset_BL2[:, layer] for layer in self.told], 1),
                (count_BL + 0.5).sqrt() / 3 - 1,
                log_mean_energy(energy_BL, count_BL) / 2 - 0.5,
            ],
            1,
        )

    def forward(self, context: Tensor, observed: Tensor) -> Tensor:
        """Scores [B] from `context` and `features`."""
        normal = ((observed - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        score: Tensor = self.score(torch.cat([context, normal], 1))[:, 0]
        return score

    @torch.no_grad()
    def calibrate(self, observed: Tensor) -> None:
        """Take the scale of each observable from true showers."""
        self.mean.copy_(observed.mean(0))
        self.deviation.copy_(observed.std(0) + 1e-3)
