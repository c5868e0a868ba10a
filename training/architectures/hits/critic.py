# SPDX-License-Identifier: BSD-3-Clause
"""Discriminator of showers, on physics features of their hits.

It sees some two hundred differentiable observables of the hits for each section, given the conditions and the layers'
energies and counts, which are the same for both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..hit_lists.conditions import Geometry, HitConditions
from ..hit_lists.critic import ObservableCritic
from ..hit_lists.observables import (
    N_LAYER_OBSERVABLES,
    HitLike,
    canonical,
    layer_observables,
    n_section_observables,
    section_observables,
)
from .neighbours import neighbours

RINGS = ((0.0, 1.0), (1.0, 2.5), (2.5, 5.0), (5.0, 9.0), (9.0, 99.0))
"""Edges of rings about the centre of the window, in the section's own cells."""


def n_features(geometry: Geometry) -> int:
    """Number of observables."""
    return n_section_observables(RINGS) * len(geometry.sections) + N_LAYER_OBSERVABLES * geometry.layers


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
    x, y = canonical(c.along_B2, row, hits.x, hits.y)
    pairs = neighbours(geometry, c, row, hits.layer, hits.x, hits.y).nearer_H
    sections = len(geometry.sections)
    section = row * sections + torch.tensor(geometry.section_of_layer, device=row.device)[hits.layer]
    whole = section_observables(batch * sections, section, x, y, torch.hypot(x, y), e, h, RINGS).view(batch, -1)
    central, group = ((x == 0) & (y == 0)).float(), row * geometry.layers + hits.layer
    return torch.cat([whole, layer_observables(geometry, batch, group, x, y, central, e, h, pairs)], 1)


class HitCritic(ObservableCritic):
    """Scores showers; higher is more like full simulation."""

    def __init__(self, geometry: Geometry, width: int = 256) -> None:
        super().__init__(geometry, n_features(geometry), width)
