# SPDX-License-Identifier: BSD-3-Clause
"""Energies drawn for the cells of true showers: what the stage ``energies`` compares with full simulation."""

from __future__ import annotations

import torch
from torch import Tensor

from ...data.batch import Batch
from ...random_numbers import ShowerRandom
from ..hit_lists.drawn_hits import DrawnHits, PlacedHits, draw_energies
from ..hit_lists.noise import HIT_STREAMS
from ..hit_lists.points import rank_in_group
from .cell_model import HitModel
from .conditions import ShowerConditions
from .likelihood import inferred_profile
from .sampler import known_of_hits


@torch.no_grad()
def known_of_true_hits(model: HitModel, batch: Batch, c: ShowerConditions, normal_BZ: Tensor) -> Tensor:
    """`known_of_hits` of true hits, with latent vectors that belong to them."""
    profile, _ = inferred_profile(model, batch, c, normal_BZ)
    return known_of_hits(model, c, profile, batch, batch.layer_energy, batch.layer_count)


@torch.no_grad()
def energies_on_true_cells(model: HitModel, batch: Batch, known_HS: Tensor, draws: ShowerRandom) -> DrawnHits:
    """True hits with drawn energies.

    Parameters
    ----------
    model : HitModel
    batch : Batch
    known_HS : [H, SHARE_INPUTS - 4]
        `known_of_true_hits`.
    draws : ShowerRandom
    """
    row, layer = batch.row, batch.layer
    most = max(1, int(batch.layer_count.sum(1).max()))
    place = rank_in_group(row, len(batch))
    uniform, logistic = draws.uniform(HIT_STREAMS[0], most), draws.logistic(HIT_STREAMS[1], most)
    rank = rank_in_group(row * model.geometry.layers + layer, batch.layer_count.numel())
    hits = PlacedHits(row, layer, batch.x, batch.y, uniform[row, place], logistic[row, place], rank)
    return draw_energies(model, known_HS, hits, batch.layer_energy)
