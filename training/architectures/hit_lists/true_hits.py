# SPDX-License-Identifier: BSD-3-Clause
"""True hits as the likelihood sees them: what was left of a layer at each hit's turn, and moments for the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.batch import Batch
from ..nets import group_sum
from .conditions import Geometry
from .hit_networks import THRESHOLD_SLACK, HitNetworks


@dataclass(frozen=True)
class StickBreaking:
    """True hits seen as stick-breaking: what was left when each was served.

    Attributes
    ----------
    group_H : int64 [H]
        Layer of a shower, counted through the batch.
    rest_H, left_H : float32 [H]
        Energy (GeV) and hits left in the layer before this hit, this one included.
    logit_H, previous_H : float32 [H]
        Logit of this hit's share, and of the one before it in the layer.
    """

    group_H: Tensor
    rest_H: Tensor
    left_H: Tensor
    logit_H: Tensor
    previous_H: Tensor


def stick_breaking(batch: Batch, geometry: Geometry) -> StickBreaking:
    """Stick-breaking coordinates of the true hits (sorted by layer and distance)."""
    layers, e = geometry.layers, batch.deposit.double()
    group = batch.row * layers + batch.layer
    count = torch.bincount(group, minlength=len(batch) * layers)
    first = (torch.cumsum(count, 0) - count)[group]
    index = torch.arange(len(group), device=group.device)
    before = torch.cumsum(e, 0) - e
    rest = group_sum(e, group, len(batch) * layers)[group] - (before - before[first])
    left = (count[group] - (index - first)).float()
    base = THRESHOLD_SLACK * torch.tensor(geometry.threshold, device=e.device, dtype=e.dtype)[batch.layer]
    taken = (e - base).clamp_min(1e-8)
    remaining = (rest - e - base * (left - 1)).clamp_min(1e-8)
    logit = (torch.log(taken / remaining) + torch.log((left - 1).clamp_min(1))).float()
    previous = torch.where(index == first, torch.zeros_like(logit), logit.roll(1))
    return StickBreaking(group, rest.float().clamp_min(1e-9), left, logit, previous)


def energy_term(model: HitNetworks, batch: Batch, static: Tensor) -> Tensor:
    """Negative log-likelihood of the shares of all hits but the last of each layer, summed over the batch.

    Parameters
    ----------
    model : HitNetworks
    batch : Batch
    static : [H, SHARE_INPUTS - 4]
        Inputs of the sharing network that do not depend on the hits before.
    """
    s = stick_breaking(batch, model.geometry)
    free = s.left_H > 1
    weight, centre, width = model.share_mixture(static[free], s.rest_H[free], s.left_H[free], s.previous_H[free])
    z = (s.logit_H[free][:, None] - centre) * torch.exp(-width)
    log_density = torch.logsumexp(weight - width - z - 2 * F.softplus(-z), 1)
    return -log_density.sum()


def moments_of(batch: Batch, geometry: Geometry, a: Tensor, b: Tensor) -> Tensor:
    """What the encoder sees of the true hits: eight moments per layer, [B, 8 L].

    Parameters
    ----------
    batch : Batch
    geometry : Geometry
    a, b : float32 [H]
        Positions along and across the azimuth of incidence.
    """
    layers = geometry.layers
    group, e = batch.row * layers + batch.layer, batch.deposit

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, len(batch) * layers).view(len(batch), layers)

    on = (batch.layer_count > 0).float()
    n, energy, r2 = batch.layer_count.clamp_min(1), batch.layer_energy + 1e-9, a * a + b * b
    moments = [
        total(e * a) / energy,
        total(e * b) / energy,
        total(a) / n,
        total(b) / n,
        (torch.log(total(e * r2) / energy + 0.05) + 0.5) * on,
        (torch.log(total(r2) / n + 0.05) - 0.5) * on,
        (total(e * (r2 < 0.7).float()) / energy - 0.5) * on,
        ((total(e**4) + 1e-20) ** 0.25 / energy * 1.5 - 1) * on,
    ]
    return torch.cat(moments, 1)
