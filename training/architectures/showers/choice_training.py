# SPDX-License-Identifier: BSD-3-Clause
"""What the choice between candidates learns from: true layers, and layers drawn behind the same true layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.batch import Batch
from .cell_model import HitModel
from .choice import ChoiceNetwork, columns_of_hits, features
from .conditions import ShowerConditions
from .placing import Parents, ShowersNoise, hits_of_layer, look_around, noise_rows, parents_of


@dataclass(frozen=True)
class LayerPairs:
    """A true layer and a drawn one, of all layers of some showers.

    Attributes
    ----------
    true_BLF, drawn_BLF : float32 [B, L, FEATURES]
    number_BL : float32 [B, L]
        Hits that were drawn, which may be less than those of the true layer.
    count_BL : float32 [B, L]
        Hits of the true layer.
    """

    true_BLF: Tensor
    drawn_BLF: Tensor
    number_BL: Tensor
    count_BL: Tensor

    def __getitem__(self, showers: slice) -> LayerPairs:
        return LayerPairs(*(getattr(self, f)[showers] for f in self.__dataclass_fields__))


@torch.no_grad()
def layer_pairs(model: HitModel, c: ShowerConditions, batch: Batch, noise: ShowersNoise) -> LayerPairs:
    """Draw each layer once, behind the true hits of the layer before, with latent vectors from the prior.

    Latent vectors that belong to the true hits would know the layer that is drawn, too.
    """
    profile = model.prior_profile(c, batch.layer_energy, batch.layer_count, noise.latent_normal)
    showers, layers = len(batch), model.geometry.layers
    rows = noise_rows(profile, batch.layer_count, noise, 1)
    parents = Parents.none(showers, batch.row.device)
    order = torch.argsort(batch.layer, stable=True)
    of_layers = torch.split(order, torch.bincount(batch.layer, minlength=layers).tolist())
    true, drawn, numbers = [], [], []
    for i, hits in enumerate(of_layers):
        row, xy = hits_of_layer(model, profile, c, noise, parents, i, rows[i], batch.layer_count[:, i].long())
        near, d = look_around(model, c, parents, row, 1, xy, i)
        feature, number = features(columns_of_hits(c, row, d, near), row, showers)
        drawn.append(feature)
        numbers.append(number)
        row, xy = batch.row[hits], torch.stack([batch.x[hits], batch.y[hits]], 1)
        near, d = look_around(model, c, parents, row, 1, xy, i)
        true.append(features(columns_of_hits(c, row, d, near), row, showers)[0])
        parents = parents_of(model, c, profile, row, i, xy, d, near)
    return LayerPairs(torch.stack(true, 1), torch.stack(drawn, 1), torch.stack(numbers, 1), batch.layer_count)


def margins(choice: ChoiceNetwork, known_BLW: Tensor, pairs: LayerPairs) -> Tensor:
    """Score of each true layer over that of the drawn one, of layers with hits, [M]."""
    there = (pairs.count_BL > 0) & (pairs.number_BL > 0)
    known = known_BLW[there]
    true: Tensor = choice(known, pairs.true_BLF[there], pairs.count_BL[there])
    drawn: Tensor = choice(known, pairs.drawn_BLF[there], pairs.number_BL[there])
    return true - drawn


def choice_loss(margin_M: Tensor, showers: int) -> Tensor:
    """Negative log-likelihood of telling which layer of each pair is the true one, per shower."""
    return F.softplus(-margin_M).sum() / showers
