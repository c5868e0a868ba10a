# SPDX-License-Identifier: BSD-3-Clause
"""Drawing hits from the noise of the model contract, in torch: the reference that the ONNX graph must match."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...data.batch import Batch
from ..hit_lists.drawn_hits import DrawnHits, PlacedHits, draw_energies, whole_layers, with_weights
from .blobs import Profile
from .cell_model import HitModel
from .choice import ChoiceNetwork
from .conditions import ShowerConditions
from .likelihood import cell_term, rates_of
from .neighbours import neighbours
from .placing import ShowersNoise, place


@torch.no_grad()
def sample_hits(
    model: HitModel, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, noise: ShowersNoise, *,
    choice: ChoiceNetwork | None = None, late: bool = True,
) -> DrawnHits:  # fmt: skip
    """Hits of showers whose layer energies and counts are known.

    With `late`, late points come from blobs of `LATE_WIDTH` at least. Without, and without a `choice`, all hits have
    the chances that `with_gradient` takes them to have; but layers of narrow blobs lack hits.
    """
    profile = model.prior_profile(c, energy_BL, count_BL, noise.latent_normal)
    hits = place(model, choice, profile, c, energy_BL, count_BL, noise, late)
    return draw_energies(model, known_of_hits(model, c, profile, hits, energy_BL, count_BL), hits, energy_BL)


def known_of_hits(
    model: HitModel, c: ShowerConditions, profile: Profile, hits: PlacedHits | Batch, energy_BL: Tensor,
    count_BL: Tensor,
) -> Tensor:  # fmt: skip
    """`HitModel.share_static` of hits that have a cell, [H, SHARE_INPUTS - 4]."""
    log_p = profile.log_probability(c, hits.row, hits.layer, hits.x, hits.y)
    near = neighbours(model.geometry, c, hits.row, hits.layer, hits.x, hits.y)
    return model.share_static(c, profile, log_p, hits.row, hits.layer, hits.x, hits.y, near, energy_BL, count_BL)


def with_gradient(
    model: HitModel, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal: Tensor, hits: DrawnHits
) -> tuple[DrawnHits, Tensor]:
    """The same hits, as differentiable functions of the model's parameters, and the likelihood of rates.

    The first are those of `with_weights`, with the rate of a cell given the hits of the layer before.

    The second is the negative log-likelihood of the drawn hits per shower, whose gradient goes through the layers'
    rates alone. A rate sets how many points give a layer its hits, and nothing else of what is drawn depends on it.
    True hits show it for their own latent vectors only: for others it would drift as the rest of the network moves.
    Layers that lack hits are left out, for their points were too few.
    """
    row, layer = hits.row, hits.layer
    profile = model.prior_profile(c, energy_BL, count_BL, latent_normal)
    near = neighbours(model.geometry, c, row, layer, hits.x, hits.y)
    rates = rates_of(model, c, profile, row, layer, hits.x, hits.y, near)
    rate = rates.draw_H * torch.exp(profile.log_rate_BL[row, layer].detach()) + rates.pulled_H + 1e-12
    static = model.share_static(c, profile, rates.log_p_H, row, layer, hits.x, hits.y, near, energy_BL, count_BL)
    moved = with_weights(model, static, hits, rate / rate.detach(), energy_BL)
    whole_BL = whole_layers(hits, count_BL)
    kept = whole_BL[row, layer]
    fixed = replace(
        rates, draw_H=rates.draw_H.detach()[kept], pulled_H=rates.pulled_H.detach()[kept],
        mass_BL=rates.mass_BL.detach(), spread=rates.spread.detach(),
    )  # fmt: skip
    return moved, cell_term(fixed, profile.log_rate_BL, whole_BL, row[kept], layer[kept]) / len(c)
