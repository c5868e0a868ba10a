# SPDX-License-Identifier: BSD-3-Clause
"""Response, resolution and number of hits, by species, energy and angle of the particle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..estimates import Estimate, bootstrap
from .sample import ShowerSample

FloatArray = NDArray[np.float64]

QUANTITIES = ("response", "width", "hits")
_ANGLES = (0.0, 30.0, 45.0, 90.0)
_FEWEST = 30
"""Showers below which a cell is left out."""
_ROUNDING = 1e-7
"""In single precision, the ends of a range may lie beyond it by this part."""


@dataclass(frozen=True)
class ResponseBin:
    """Particles that are looked at together.

    Attributes
    ----------
    species : int or None
        PDG code; None for all.
    energy : (float, float)
        Kinetic energies from the first up to the second, GeV.
    angle : (float, float) or None
        Angles to the normal, degrees; None for all.
    """

    species: int | None
    energy: tuple[float, float]
    angle: tuple[float, float] | None

    @property
    def decade(self) -> str:
        """The range of energy, as names of numbers hold it."""
        return f"{self.energy[0]:g}-{self.energy[1]:g}"

    def rows(self, sample: ShowerSample) -> NDArray[np.int64]:
        """Which showers of a sample are in it."""
        inside = (sample.kinetic_energy >= self.energy[0]) & (sample.kinetic_energy < self.energy[1])
        if self.species is not None:
            inside &= sample.pdg == self.species
        if self.angle is not None:
            inside &= (sample.angle >= self.angle[0]) & (sample.angle < self.angle[1])
        return np.flatnonzero(inside)


@dataclass(frozen=True)
class ResponseRow:
    """One section in one cell.

    Attributes
    ----------
    cell : ResponseBin
    section : str
    showers : int
        Of the reference.
    mean, resolution, count : float
        Of the reference: mean visible over kinetic energy, its standard deviation over its mean, mean number of hits.
    numbers : dict of str to Estimate
        By quantity: the candidate's over the reference's, less one.
    """

    cell: ResponseBin
    section: str
    showers: int
    mean: float
    resolution: float
    count: float
    numbers: dict[str, Estimate]


def decades(sample: ShowerSample) -> list[tuple[float, float]]:
    """Decades of kinetic energy that hold the sample's particles, GeV."""
    low, high = (float(np.log10(f(sample.kinetic_energy))) for f in (np.min, np.max))
    first = math.floor(low + _ROUNDING)
    last = max(math.ceil(high - _ROUNDING), first + 1)
    edges = [10.0**k for k in range(first, last)]
    return list(pairwise([*(edge * (1 - _ROUNDING) for edge in edges), 10.0**last * (1 + _ROUNDING)]))


def response_table(
    reference: ShowerSample, candidate: ShowerSample, baseline: ShowerSample, seed: int = 0
) -> list[ResponseRow]:
    """Compare all cells that hold enough showers; first those of all species and angles."""
    table = []
    for cell in _cells(reference):
        inside = [sample.take(cell.rows(sample)) for sample in (reference, candidate, baseline)]
        if min(map(len, inside)) >= _FEWEST:
            table += [_row(cell, section, inside, seed) for section in reference.sections]
    return table


def _cells(sample: ShowerSample) -> Iterator[ResponseBin]:
    species = np.unique(sample.pdg).tolist()
    angles = [a for a in pairwise(_ANGLES) if len(ResponseBin(None, (0, np.inf), a).rows(sample))]
    for code in (None, *species) if len(species) > 1 else (None,):
        for energy in decades(sample):
            yield ResponseBin(code, energy, None)
            if code is not None or len(species) == 1:
                yield from (ResponseBin(code, energy, angle) for angle in angles if len(angles) > 1)


def _row(cell: ResponseBin, section: str, samples: list[ShowerSample], seed: int) -> ResponseRow:
    reference, candidate, baseline = (_moments(sample, section, seed + k) for k, sample in enumerate(samples))
    return ResponseRow(
        cell,
        section,
        len(samples[0]),
        float(reference["response"][0]),
        float(reference["width"][0]),
        float(reference["hits"][0]),
        {q: Estimate.of(_excess(candidate[q], reference[q]), _excess(baseline[q], reference[q])) for q in QUANTITIES},
    )


def _moments(sample: ShowerSample, section: str, seed: int) -> dict[str, FloatArray]:
    """By quantity: of the sample, and of its bootstrap replicas [1 + replicas]."""
    weights = np.concatenate([np.ones((1, len(sample))), bootstrap(len(sample), seed)]) / len(sample)
    response = sample.energy(section) / sample.kinetic_energy
    mean, square = weights @ response, weights @ response**2
    width = np.sqrt(np.maximum(square - mean**2, 0))
    relative = np.divide(width, mean, out=np.zeros_like(mean), where=mean > 0)
    return {"response": mean, "width": relative, "hits": weights @ sample.count(section)}


def _excess(candidate: FloatArray, reference: FloatArray) -> tuple[float, float]:
    if reference[0] <= 0:
        return (0.0 if candidate[0] <= 0 else np.inf), 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = candidate / reference - 1
    return float(excess[0]), float(np.std(excess[1:][np.isfinite(excess[1:])]))
