# SPDX-License-Identifier: BSD-3-Clause
"""The discriminator: distinguishes drawn showers from full simulation by what a physicist would look at.

It sees differentiable observables of the hits, given the conditions and the layers' energies and counts, which are the
same for both: for each section means, widths, rings, the spectrum of deposits and how hits lie to each other
(neighbours in a layer, hits around the projection along the line of flight one, two and five layers before, hits that
are alone, clusters connected in three dimensions); for each layer eight numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..hit_lists.critic import ObservableCritic
from ..hit_lists.observables import (
    N_LAYER_OBSERVABLES,
    HitLike,
    canonical,
    layer_observables,
    n_section_observables,
    section_observables,
)
from ..nets import group_sum
from .clusters import CLUSTER_OBSERVABLES, cluster_observables
from .conditions import Geometry, ShowerConditions
from .neighbours import NINE, SIDE, place_on_torus

RINGS = ((0.0, 1.0), (1.0, 2.5), (2.5, 5.0), (5.0, 9.0), (9.0, 20.0), (20.0, 1e4))
"""Edges of rings about the cell that is crossed, in the section's own cells."""
LAGS = (0, 1, 2, 5)
"""Layers before that a hit is compared with."""
CORRELATIONS = 2 * len(LAGS) + 3
FAR = 12.0
"""Cells beyond which positions do not count as farther."""


def n_features(geometry: Geometry) -> int:
    """Number of observables."""
    whole = n_section_observables(RINGS) + CORRELATIONS + CLUSTER_OBSERVABLES
    return whole * len(geometry.sections) + N_LAYER_OBSERVABLES * geometry.layers


def features(geometry: Geometry, c: ShowerConditions, hits: HitLike, weight_H: Tensor) -> Tensor:
    """Observables of each shower, float32 [B, n_features].

    Parameters
    ----------
    geometry : Geometry
    c : ShowerConditions
    hits : true or drawn hits
    weight_H : float32 [H]
        How much each hit counts as a hit; one, or the score function's weight.
    """
    batch, row, e, h = len(c), hits.row, hits.deposit, weight_H
    x, y = canonical(c.along_B2, row, hits.x, hits.y)
    sections = len(geometry.sections)
    section = row * sections + torch.tensor(geometry.section_of_layer, device=row.device)[hits.layer]
    lists = pair_lists(geometry, c, hits)
    radius, central = torch.hypot(x, y), ((x == 0) & (y == 0)).float()
    x, y = _limited(x, y)
    whole = section_observables(batch * sections, section, x, y, radius, e, h, RINGS)
    related = _correlations(batch * sections, section, e, h, lists)
    # beside each other in a layer, or one behind the other
    clusters = cluster_observables(batch * sections, section, e, h, lists[:2])
    pairs, group = _of_partners(h, lists[0]) / 2, row * geometry.layers + hits.layer
    return torch.cat(
        [
            torch.cat([whole, related, clusters], 1).view(batch, -1),
            layer_observables(geometry, batch, group, x, y, central, e, h, pairs),
        ],
        1,
    )


@torch.no_grad()
def pair_lists(geometry: Geometry, c: ShowerConditions, hits: HitLike) -> list[tuple[Tensor, Tensor]]:
    """Pairs of hits (i, j) for each of `LAGS`, int64 [P]: j is within a cell of i's projection so many layers before.

    With the lag 0, j is in one of the eight cells around i.
    """
    row, layer, layers, device = hits.row, hits.layer, geometry.layers, hits.row.device
    grid = torch.full((len(c) * layers * SIDE**2,), -1, dtype=torch.int32, device=device)
    grid[place_on_torus(row * layers + layer, hits.x, hits.y)] = torch.arange(
        len(row), dtype=torch.int32, device=device
    )
    section = torch.tensor(geometry.section_of_layer, device=device)
    d = torch.stack([hits.x, hits.y], 1) - c.offset_BL2[row, layer]
    lists = []
    for lag in LAGS:
        other = (layer - lag).clamp_min(0)
        i = ((layer >= lag) & (section[other] == section[layer])).nonzero()[:, 0]
        cell = torch.floor(d[i] + c.offset_BL2[row[i], other[i]] + 0.5)
        steps = [s for s in NINE if lag or s != (0, 0)]
        xy = cell[:, None] + torch.tensor(steps, device=device, dtype=cell.dtype)
        j = grid[place_on_torus((row[i] * layers + other[i])[:, None], xy[..., 0], xy[..., 1])]
        found = j >= 0
        lists.append((i[:, None].expand_as(j)[found], j[found].long()))
    return lists


def _of_partners(values_H: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
    """Sum of something over the partners of each hit, [H]."""
    return group_sum(values_H[pair[1]], pair[0], len(values_H))


def _correlations(groups: int, group: Tensor, e: Tensor, h: Tensor, lists: list[tuple[Tensor, Tensor]]) -> Tensor:
    """How hits lie to each other in each section of each shower, [groups, CORRELATIONS]."""

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, groups)

    n, sum_e = total(h).clamp_min(1e-3), total(e).clamp_min(1e-9)
    out, numbers = [], []
    for pair in lists:
        number = _of_partners(h, pair)
        numbers.append(number)
        out.append(total(h * number) / n)
        beside = _of_partners(e, pair)
        some = beside.detach() > 0
        product = (e * torch.where(some, beside, torch.ones_like(e))).clamp_min(1e-16).sqrt()
        out.append(total(torch.where(some, product, torch.zeros_like(e))) / sum_e)
    both = numbers[0] + numbers[1] + group_sum(h[lists[1][0]], lists[1][1], len(h))
    out += [total(h * _alone(numbers[1])) / n, total(h * _alone(numbers[0])) / n]
    out.append((total(h * _alone(both)) + 0.3).clamp_min(0.05).sqrt())
    return torch.stack(out, 1)


def _alone(number: Tensor) -> Tensor:
    """One for hits without a partner; its gradient is that of the only partner of others."""
    fixed = number.detach()
    return (fixed < 0.5).float() - ((fixed > 0.5) & (fixed < 1.5)).float() * (number - fixed)


def _limited(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Positions, those beyond `FAR` moved in to it."""
    factor = (FAR / torch.hypot(x, y).clamp_min(1e-6)).clamp_max(1.0)
    return x * factor, y * factor


class Critic(ObservableCritic):
    """Scores showers; higher is more like full simulation."""

    def __init__(self, geometry: Geometry, width: int = 256) -> None:
        super().__init__(geometry, n_features(geometry), width)
