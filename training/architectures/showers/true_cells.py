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
from .likelihood import shape_moments
from .neighbours import neighbours


@torch.no_grad()
def known_of_true_hits(model: HitModel, batch: Batch, c: ShowerConditions, normal_BZ: Tensor) -> Tensor:
    """`HitModel.share_static` of true hits, with latent vectors that belong to them."""
    energy, count, row, layer = batch.layer_energy, batch.layer_count, batch.row, batch.layer
    x = model.inputs(c, energy, count)
    latent, _ = model.inferred_latent(x, shape_moments(batch, c, model.geometry), normal_BZ)
    profile = model.profile_of(c, x, count, latent)
    near = neighbours(model.geometry, c, row, layer, batch.x, batch.y)
    log_p = profile.log_probability(c, row, layer, batch.x, batch.y)
    return model.share_static(c, profile, log_p, row, layer, batch.x, batch.y, near, energy, count)


@torch.no_grad()
def energies_on_true_cells(model: HitModel, batch: Batch, static_HS: Tensor, draws: ShowerRandom) -> DrawnHits:
    """True hits with drawn energies.

    Parameters
    ----------
    model : HitModel
    batch : Batch
    static_HS : [H, SHARE_INPUTS - 4]
        `known_of_true_hits`.
    draws : ShowerRandom
    """
    row, layer = batch.row, batch.layer
    most = max(1, int(batch.layer_count.sum(1).max()))
    place = rank_in_group(row, len(batch))
    uniform, logistic = draws.uniform(HIT_STREAMS[0], most), draws.logistic(HIT_STREAMS[1], most)
    rank = rank_in_group(row * model.geometry.layers + layer, batch.layer_count.numel())
    hits = PlacedHits(row, layer, batch.x, batch.y, uniform[row, place], logistic[row, place], rank)
    return draw_energies(model, static_HS, hits, batch.layer_energy)
