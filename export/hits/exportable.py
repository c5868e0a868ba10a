# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "hits"``."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fastcalo.model.contract import FORMAT, Contract, NoiseSpec
from fastcalo.training.architectures.hits.cell_model import LATENT
from fastcalo.training.architectures.hits.conditions import hit_conditions
from fastcalo.training.architectures.hits.gan import HitGan
from fastcalo.training.architectures.hits.sampler import Noise, draw_noise, points_of, sample_showers

from ..exportable import Feed
from ..kinematics import domain
from .graph import Capacity, build_graph

_CAPACITY_POWERS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)
"""The number of hits grows with a power of energy about these."""
_CAPACITY_SHOWERS = 20_000
_CAPACITY_QUANTILE = 0.998
"""Part of showers that need not use any row of noise twice."""
FloatArray: TypeAlias = NDArray[np.float64]


class ExportableHitGan:
    """The sampler of hits; see `fastcalo.export.exportable.Exportable`."""

    format = FORMAT
    sparse = True
    parity_showers = 3_000
    tolerance = 1e-3
    allowed_beyond = 1e-4

    def __init__(self, model: HitGan) -> None:
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
            NoiseSpec("point_uniform", ("P", 2), "uniform", points),
            NoiseSpec("point_logistic", ("P", 2), "logistic", points),
            NoiseSpec("hit_uniform", ("P", 1), "uniform", hits),
            NoiseSpec("hit_logistic", ("P", 1), "logistic", hits),
        )

    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""
        points, hits = capacities(contract)
        return build_graph(self.model.layers, self.model.hits, points, hits)

    def showers(self, contract: Contract, feed: Feed) -> dict[str, NDArray[np.float32]]:
        """Windows of the hits that the torch model draws."""
        g, tensors = self.model.geometry, {name: torch.from_numpy(values) for name, values in feed.items()}
        c = hit_conditions(g, *(tensors[k] for k in ("kinetic_energy", "direction", "entry", "species")))
        rows, hit_rows = (
            torch.floor(a + b * tensors["kinetic_energy"] ** power).long() for a, b, power in capacities(contract)
        )
        drawn = {n.name: tensors[n.name] for n in contract.noise}
        noise = Noise(**drawn, capacity=rows, hit_capacity=hit_rows)
        hits = sample_showers(self.model.layers, self.model.hits, c, noise)
        dense = torch.zeros(len(c), g.window, g.window, g.layers)
        dense[hits.row, (hits.x + g.half).long(), (hits.y + g.half).long(), hits.layer] = hits.deposit
        parts = torch.split(dense, [layers for _, layers in g.sections], 3)
        return {name: np.asarray(part.numpy()) for (name, _), part in zip(g.sections, parts, strict=True)}

    @torch.no_grad()
    def _measure_capacities(self, contract: Contract) -> tuple[Capacity, Capacity]:
        """Rows of noise that the points and the hits of nearly all showers need, by energy."""
        model = self.model
        torch.manual_seed(0)
        pdg, energy, direction = (torch.from_numpy(x) for x in domain(contract, self.measured_showers))
        entry = (torch.rand(self.measured_showers, 2) - 0.5) * model.geometry.cell[0]
        c = hit_conditions(model.geometry, energy, direction, entry, pdg)
        noise = draw_noise(torch.zeros(len(c), model.geometry.layers))
        layer_energy, count = model.layers.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)
        profile = model.hits.prior_profile(c, layer_energy, count, noise.latent_normal)
        points, hits = (
            fit_capacity(energy.double().numpy(), rows.sum(1).double().numpy())
            for rows in (points_of(count, profile.log_rate_BL), count)
        )
        return points, hits


def capacities(contract: Contract) -> tuple[Capacity, Capacity]:
    """Rows of noise of points, and of hits."""
    found = {n.name: n.capacity for n in contract.noise if n.capacity}
    return found["point_uniform"], found["hit_uniform"]


def fit_capacity(energy: FloatArray, rows: FloatArray) -> Capacity:
    """The smallest a + b E^c on average that is enough for all showers but a few.

    Parameters
    ----------
    energy : float64 [n]
        Kinetic energies, GeV.
    rows : float64 [n]
        Rows of noise that each shower reads.
    """
    found = []
    for power in _CAPACITY_POWERS:
        x = energy**power
        for a in np.linspace(0, np.quantile(rows[energy < np.quantile(energy, 0.1)], _CAPACITY_QUANTILE), 20):
            b = np.quantile(np.maximum(rows - a, 0) / x, _CAPACITY_QUANTILE)
            found.append((float(np.mean(a + b * x)), float(a), float(b), power))
    _, a, b, power = min(found)
    return float(np.ceil(a)) + 1, float(np.ceil(b)), power
