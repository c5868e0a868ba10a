# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "showers"``."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fastcalo.model.contract import WHOLE, Contract, NoiseSpec
from fastcalo.training.architectures.showers.cell_model import LATENT
from fastcalo.training.architectures.showers.conditions import shower_conditions
from fastcalo.training.architectures.showers.gan import ShowerGan
from fastcalo.training.architectures.showers.sampler import Noise, draw_noise, points_of, sample_showers

from ..exportable import Feed
from ..hits.exportable import capacities, fit_capacity
from ..kinematics import domain
from .graph import Capacity, build_graph

_CAPACITY_SHOWERS = 10_000
_PERIOD_MM = 510.0
"""Entries are drawn over a period of the cells of all sections of the default calorimeter."""


class ExportableShowerGan:
    """The sampler of whole showers; see `fastcalo.export.exportable.Exportable`."""

    format = WHOLE
    sparse = True
    parity_showers = 1_000
    tolerance = 1e-3
    allowed_beyond = 1e-4

    def __init__(self, model: ShowerGan) -> None:
        self.model = model
        self.measured_showers = _CAPACITY_SHOWERS

    def noise(self, contract: Contract) -> tuple[NoiseSpec, ...]:
        """Fixed tensors, and rows for points and hits by energy."""
        layers = self.model.geometry.layers
        points, hits = self._measure_capacities(contract)
        return (
            NoiseSpec("layer_uniform", (layers, 2), "uniform"),
            NoiseSpec("layer_logistic", (layers,), "logistic"),
            NoiseSpec("layer_normal", (layers,), "normal"),
            NoiseSpec("latent_normal", (LATENT,), "normal"),
            NoiseSpec("point_uniform", ("P", 3), "uniform", points),
            NoiseSpec("point_normal", ("P", 2), "normal", points),
            NoiseSpec("hit_uniform", ("P", 1), "uniform", hits),
            NoiseSpec("hit_logistic", ("P", 1), "logistic", hits),
        )

    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""
        points, hits = capacities(contract)
        return build_graph(self.model.layers, self.model.hits, contract, points, hits)

    def showers(self, contract: Contract, feed: Feed) -> dict[str, NDArray[Any]]:
        """Lists of the hits that the torch model draws."""
        g, tensors = self.model.geometry, {name: torch.from_numpy(values) for name, values in feed.items()}
        c = shower_conditions(g, *(tensors[k] for k in ("kinetic_energy", "direction", "entry", "species")))
        rows, hit_rows = (
            torch.floor(a + b * tensors["kinetic_energy"] ** power).long() for a, b, power in capacities(contract)
        )
        drawn = {n.name: tensors[n.name] for n in contract.noise}
        noise = Noise(**drawn, capacity=rows, hit_capacity=hit_rows)
        hits = sample_showers(self.model.layers, self.model.hits, c, noise)
        out: dict[str, NDArray[Any]] = {}
        for (name, layers), first in zip(g.sections, g.first_layers, strict=True):
            mine = (hits.layer >= first) & (hits.layer < first + layers)
            cell = torch.stack([hits.x[mine].long(), hits.y[mine].long(), hits.layer[mine] - first], 1)
            parts = {"shower": hits.row[mine], "cell": cell, "deposit": hits.deposit[mine]}
            out |= {f"{name}_{k}": np.asarray(v.numpy()) for k, v in parts.items()}
        return out

    @torch.no_grad()
    def _measure_capacities(self, contract: Contract) -> tuple[Capacity, Capacity]:
        """Rows of noise that the points and the hits of nearly all showers need, by energy."""
        model = self.model
        torch.manual_seed(0)
        pdg, energy, direction = (torch.from_numpy(x) for x in domain(contract, self.measured_showers))
        entry = (torch.rand(self.measured_showers, 2) - 0.5) * _PERIOD_MM
        c = shower_conditions(model.geometry, energy, direction, entry, pdg)
        noise = draw_noise(torch.zeros(len(c), model.geometry.layers))
        layer_energy, count = model.layers.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)
        profile = model.hits.prior_profile(c, layer_energy, count, noise.latent_normal)
        points, hits = (
            fit_capacity(energy.double().numpy(), rows.sum(1).double().numpy())
            for rows in (points_of(count, profile.log_rate_BL), count)
        )
        return points, hits
