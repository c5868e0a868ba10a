# SPDX-License-Identifier: BSD-3-Clause
"""Physics metrics of generated showers, evaluated during training."""

from __future__ import annotations

from torch import Tensor

from ..data.batch import Batch
from .base import Metrics

DECADES = ((0.1, 1.0), (1.0, 10.0), (10.0, 100.0))
"""Kinetic energy ranges that are looked at apart, GeV."""


def response_metrics(batch: Batch, layer_energy_BL: Tensor, layer_count_BL: Tensor) -> Metrics:
    """Generated layer energies and counts against the true ones of the same conditions.

    Returns
    -------
    dict of str to float
        Per decade of energy, generated over true: mean response, its relative width, number of hits; and the
        largest deviation of the mean energy of a layer that holds more than 2 % of it.
    """
    out: Metrics = {}
    for low, high in DECADES:
        chosen = (batch.kinetic_energy >= low) & (batch.kinetic_energy < high)
        if chosen.sum() < 2:
            continue
        true, fake = batch.layer_energy[chosen], layer_energy_BL[chosen]
        scale = batch.kinetic_energy[chosen]
        r_true, r_fake = true.sum(1) / scale, fake.sum(1) / scale
        tag = f"{low:g}-{high:g}GeV"
        out[f"response_{tag}"] = (r_fake.mean() / r_true.mean()).item()
        out[f"width_{tag}"] = ((r_fake.std() / r_fake.mean()) / (r_true.std() / r_true.mean())).item()
        out[f"hits_{tag}"] = (layer_count_BL[chosen].sum() / batch.layer_count[chosen].sum()).item()
        mean_true, mean_fake = true.mean(0), fake.mean(0)
        big = mean_true > 0.02 * mean_true.sum()
        out[f"layers_{tag}"] = (mean_fake[big] / mean_true[big] - 1).abs().max().item()
    return out
