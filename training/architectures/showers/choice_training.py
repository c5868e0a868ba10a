# SPDX-License-Identifier: BSD-3-Clause
"""What the choice between candidates learns from: true layers and drawn ones.

First layers drawn behind the same true layers, which tell it the ratio of densities. Then those that are kept of whole
showers: with a few candidates what is kept follows the ratio by a part only, and what stands behind drawn layers is not
what stands behind true ones. Both are made up for by a ratio that exaggerates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.batch import Batch
from .blobs import Profile
from .cell_model import HitModel
from .choice import ChoiceNetwork, columns_of_hits, features
from .conditions import ShowerConditions
from .neighbours import Near
from .placing import Parents, ShowersNoise, hits_of_layer, look_around, noise_rows, parents_of, placed_layers

MARGIN_PENALTY = 0.003
"""Of squares of margins, over the margins themselves."""


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
    rows = noise_rows(profile, batch.layer_count, noise)
    true, drawn = [], []
    for i, (parents, feature) in enumerate(_true_layers(model, c, profile, batch)):
        row, xy = hits_of_layer(model, profile, c, noise, parents, i, rows[i], batch.layer_count[:, i].long())
        true.append(feature)
        drawn.append(_seen(model, c, parents, row, xy, i)[0])
    return _paired(true, drawn, batch)


@torch.no_grad()
def shower_pairs(
    model: HitModel, choice: ChoiceNetwork, c: ShowerConditions, batch: Batch, noise: ShowersNoise
) -> LayerPairs:
    """True layers, and those that are kept of whole showers, each drawn behind what was kept before."""
    profile = model.prior_profile(c, batch.layer_energy, batch.layer_count, noise.latent_normal)
    true = [feature for _, feature in _true_layers(model, c, profile, batch)]
    known = batch.layer_energy, batch.layer_count
    drawn = [
        (layer.feature_BF, layer.number_B)
        for layer in placed_layers(model, choice, profile, c, *known, noise, late=True)
    ]
    return _paired(true, drawn, batch)


def _true_layers(
    model: HitModel, c: ShowerConditions, profile: Profile, batch: Batch
) -> Iterator[tuple[Parents, Tensor]]:
    """Of each layer the true hits before it, and the features of its own."""
    parents = Parents.none(len(batch), batch.row.device)
    order = torch.argsort(batch.layer, stable=True)
    numbers = torch.bincount(batch.layer, minlength=model.geometry.layers)
    for i, hits in enumerate(torch.split(order, numbers.tolist())):
        row, xy = batch.row[hits], torch.stack([batch.x[hits], batch.y[hits]], 1)
        (feature, _), near, d = _seen(model, c, parents, row, xy, i)
        yield parents, feature
        parents = parents_of(model, c, profile, parents, row, i, xy, d, near)


def _seen(
    model: HitModel, c: ShowerConditions, parents: Parents, row_H: Tensor, xy_H2: Tensor, layer: int
) -> tuple[tuple[Tensor, Tensor], Near, Tensor]:
    """Features and number of a layer's hits, and what `look_around` gives."""
    near, d = look_around(model, c, parents, row_H, 1, xy_H2, layer)
    return features(columns_of_hits(c, row_H, d, near), row_H, len(c)), near, d


def _paired(true: list[Tensor], drawn: list[tuple[Tensor, Tensor]], batch: Batch) -> LayerPairs:
    feature, number = (torch.stack(layers, 1) for layers in zip(*drawn, strict=True))
    return LayerPairs(torch.stack(true, 1), feature, number, batch.layer_count)


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


def contrastive_loss(margin_M: Tensor, showers: int) -> Tensor:
    """Loss whose gradient is that of the likelihood, per shower, for margins over layers that were kept.

    What is kept has a density in proportion to that of the candidates times the exponential of the score. The gradient
    of its log-likelihood is that of the scores of true layers less that of kept ones (LeCun et al., A tutorial on
    energy-based learning, 2006), and so they have the same means of what the score is made of in the end. The small
    square keeps scores from growing without bound (Du & Mordatch, arXiv:1903.08689).
    """
    return (MARGIN_PENALTY * margin_M.square() - margin_M).sum() / showers
