# SPDX-License-Identifier: BSD-3-Clause
"""Export of architectures that draw lists of hits: how much noise their showers need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastcalo.model.contract import Contract, NoiseSpec
from fastcalo.training.architectures.hit_lists.conditions import HitConditions
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hit_lists.gan import HitListGan
from fastcalo.training.architectures.hit_lists.hit_networks import LATENT, HitNetworks
from fastcalo.training.architectures.hit_lists.noise import Noise, layer_numbers
from fastcalo.training.architectures.hit_lists.points import points_of

from .exportable import Feed
from .kinematics import domain

Capacity: TypeAlias = tuple[float, float, float]
"""(a, b, c): a shower of kinetic energy E uses at most a + b E^c rows of a noise tensor."""
FloatArray: TypeAlias = NDArray[np.float64]

_CAPACITY_POWERS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)
"""The number of hits grows with a power of energy about these."""
_CAPACITY_QUANTILE = 0.998
"""Part of showers that need not use any row of noise twice."""


C = TypeVar("C", bound=HitConditions)
H = TypeVar("H", bound=HitNetworks)
N = TypeVar("N", bound=Noise)


class ExportableHitLists(ABC, Generic[C, H, N]):
    """The sampler of an architecture that draws lists of hits; see `fastcalo.export.exportable.Exportable`.

    The type variables are those of `HitListGan`.

    Attributes
    ----------
    measured_showers : int
        Number of showers from which the need of noise is measured.
    chooses : bool
        Whether layers are drawn more than once.
    """

    format: int
    sparse = True
    parity_showers: int
    tolerance = 1e-3
    allowed_beyond = 1e-4
    measured_showers: int
    chooses = False

    def __init__(self, model: HitListGan[C, H, N]) -> None:
        self.model = model

    @abstractmethod
    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""

    @abstractmethod
    def outputs(self, c: C, hits: DrawnHits, /) -> dict[str, NDArray[Any]]:
        """What the graph gives of some hits."""

    def times(self, count_BL: Tensor) -> Tensor:
        """How many times the hits of each layer are drawn, [B, L]."""
        return torch.ones_like(count_BL)

    @property
    @abstractmethod
    def entry_period(self) -> float:
        """Length of the square over which entry points are drawn when noise is measured, mm."""

    def noise(self, contract: Contract) -> tuple[NoiseSpec, ...]:
        """Fixed tensors, and rows for points and hits by energy."""
        layers = self.model.geometry.layers
        points, hits = self._measure_capacities(contract)
        return (
            NoiseSpec("layer_uniform", (layers, layer_numbers(chooses=self.chooses)), "uniform"),
            NoiseSpec("layer_logistic", (layers,), "logistic"),
            NoiseSpec("layer_normal", (layers,), "normal"),
            NoiseSpec("latent_normal", (LATENT,), "normal"),
            *(NoiseSpec(name, ("P", width), kind, points) for name, width, kind in self.model.noise_type.POINTS),
            NoiseSpec("hit_uniform", ("P", 1), "uniform", hits),
            NoiseSpec("hit_logistic", ("P", 1), "logistic", hits),
        )

    def showers(self, contract: Contract, feed: Feed) -> dict[str, NDArray[Any]]:
        """The hits that the torch model draws, as the graph gives them."""
        tensors = {name: torch.from_numpy(values) for name, values in feed.items()}
        c = self.model.conditions_of(*(tensors[k] for k in ("kinetic_energy", "direction", "entry", "species")))
        rows, hit_rows = (
            torch.floor(a + b * tensors["kinetic_energy"] ** power).long() for a, b, power in capacities(contract)
        )
        noise = self.model.noise_type(
            **{n.name: tensors[n.name] for n in contract.noise}, capacity=rows, hit_capacity=hit_rows
        )
        return self.outputs(c, self.model.draw_showers(c, noise))

    @torch.no_grad()
    def _measure_capacities(self, contract: Contract) -> tuple[Capacity, Capacity]:
        """Rows of noise that the points and the hits of nearly all showers need, by energy."""
        model, n = self.model, self.measured_showers
        torch.manual_seed(0)
        pdg, energy, direction = (torch.from_numpy(x) for x in domain(contract, n))
        entry = (torch.rand(n, 2) - 0.5) * self.entry_period
        c = model.conditions_of(energy, direction, entry, pdg)
        noise = model.draw_noise(torch.zeros(n, model.geometry.layers))
        layer_energy, count = model.draw_layers(c, noise)
        points = points_of(count, model.log_rates(c, layer_energy, count, noise))
        of_points, of_hits = (
            fit_capacity(energy.double().numpy(), rows.sum(1).double().numpy())
            for rows in (points * self.times(count), count)
        )
        return of_points, of_hits


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
