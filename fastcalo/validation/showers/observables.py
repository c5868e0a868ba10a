# SPDX-License-Identifier: BSD-3-Clause
"""Observables of showers: one row of numbers per shower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .sample import SampleHits, ShowerSample

FloatArray = NDArray[np.float64]

_MOST_GROUPS = 30
"""Neighbouring layers are taken together until a section has no more groups than this."""
_CONTAINMENT = (0.5, 0.75, 0.9, 0.97, 0.995)
"""Parts of the energy inside the edges between rings."""
_SPECTRUM = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.995)
"""Parts of the hits below the edges of the spectrum."""
_SHOWERING = 3
"""Hits of a layer that a single particle does not make."""
_UPRIGHT = 1e-3
"""Sine of the angle of incidence up to which it has no azimuth."""
_ROUNDING = 1e-12
"""Part of a mean square below which a variance is none."""


@dataclass(frozen=True)
class ObservableBins:
    """Edges that observables are counted between, taken from a reference so that they fit any calorimeter.

    Attributes
    ----------
    rings : dict of str to float64 [r]
        By section: radii that contain given parts of the energy, mm.
    spectrum : dict of str to float64 [s]
        By section: deposits below which given parts of the hits are, GeV.
    oblique : bool
        Whether showers come at an angle, so that there is an along and an across.
    """

    rings: dict[str, FloatArray]
    spectrum: dict[str, FloatArray]
    oblique: bool

    @classmethod
    def of(cls, reference: ShowerSample) -> ObservableBins:
        """Measure a reference sample."""
        rings, spectrum = {}, {}
        for name, hits in reference.sections.items():
            radius = hits.voxels.radius[hits.voxel]
            order = np.argsort(radius)
            inside = np.cumsum(hits.deposit[order])
            last = max(len(order) - 1, 0)
            at = np.minimum(np.searchsorted(inside, np.multiply(_CONTAINMENT, inside[-1:].sum())), last)
            # a little more, lest cells at the same distance fall on either side by rounding
            rings[name] = np.unique(radius[order][at] * (1 + 1e-9)) if len(order) else np.zeros(0)
            spectrum[name] = np.unique(np.quantile(hits.deposit, _SPECTRUM)) if len(order) else np.zeros(0)
        return cls(rings, spectrum, bool((np.linalg.norm(reference.direction[:, :2], axis=1) > _UPRIGHT).any()))


@dataclass(frozen=True, eq=False)
class Observables:
    """Observables of a sample.

    Attributes
    ----------
    names : tuple of str
        With the unit, where there is one.
    values : float64 [n, f]
    """

    names: tuple[str, ...]
    values: FloatArray


def observables(sample: ShowerSample, rulers: ObservableBins) -> Observables:
    """Observables of each shower of a sample.

    Per section: response (visible over kinetic energy), number of hits, centre of gravity and width along z (layers),
    x, y and radius (mm), along and across the azimuth of incidence where showers come at an angle, parts of the energy
    in rings, hits by deposit, hottest hit; and for each layer, or group of neighbouring ones, energy over kinetic
    energy, hits, centre in x and y, and width. With several sections, the part of the visible energy in the first
    and the layer of the first interaction.

    Parameters
    ----------
    sample : ShowerSample
    rulers : ObservableBins
        The same for all samples that are compared.
    """
    columns: dict[str, FloatArray] = {}
    for name in sample.sections:
        columns |= {f"{name} {key}": value for key, value in _whole(sample, name, rulers).items()}
        columns |= {f"{name} {key}": value for key, value in _layers(sample, name).items()}
    if len(sample.sections) > 1:
        energies = [sample.energy(name) for name in sample.sections]
        columns[f"share of {next(iter(sample.sections))}"] = _ratio(energies[0], np.sum(energies, axis=0))
        columns["layer of first interaction"] = first_interaction(sample)
    return Observables(tuple(columns), np.column_stack(list(columns.values())))


def first_interaction(sample: ShowerSample) -> FloatArray:
    """Layer, counted through all sections, in which a particle begins to shower [n]; behind the last if it never does.

    That is the first layer with 3 hits or more that has as many in at least 2 of the 3 layers behind it, too: of a
    track of single hits, a delta electron or a hit of noise does not count.
    """
    counts = [sample.by_layer(name, np.ones(len(hits.deposit))) for name, hits in sample.sections.items()]
    many = np.hstack(counts) >= _SHOWERING
    layers = many.shape[1]
    padded = np.pad(many, ((0, 0), (0, 3)))
    behind = np.sum([padded[:, k : k + layers] for k in (1, 2, 3)], axis=0)
    begins = many & (behind >= 2)
    layer: FloatArray = np.where(begins.any(1), begins.argmax(1), layers).astype(np.float64)
    return layer


def all_species(*samples: ShowerSample) -> list[int]:
    """PDG codes, without sign, of the particles in all of them."""
    return sorted({int(code) for sample in samples for code in np.unique(np.abs(sample.pdg))})


def conditions(sample: ShowerSample, species: Sequence[int]) -> FloatArray:
    """What a classifier knows of the particle [n, f]: energy, direction and species.

    Parameters
    ----------
    sample : ShowerSample
    species : sequence of int
        PDG codes, without sign, that are distinguished; the same for all samples that are compared.
    """
    known = [np.log(sample.kinetic_energy), *sample.direction.T.astype(np.float64)]
    return np.column_stack([*known, *(np.abs(sample.pdg) == code for code in species), sample.pdg > 0])


def _whole(sample: ShowerSample, name: str, rulers: ObservableBins) -> dict[str, FloatArray]:
    hits, n = sample.sections[name], len(sample)
    e, energy = hits.deposit, sample.energy(name)

    def total(values: FloatArray | NDArray[np.bool_]) -> FloatArray:
        return np.bincount(hits.shower, values, n).astype(np.float64)

    columns = {"response": energy / sample.kinetic_energy, "hits": sample.count(name)}
    for key, coordinate in _coordinates(sample, hits, rulers).items():
        mean = _ratio(total(e * coordinate), energy)
        columns[f"mean {key}"] = mean
        columns[f"width {key}"] = root_of_variance(_ratio(total(e * coordinate**2), energy), mean**2)
    radius = hits.voxels.radius[hits.voxel]
    for low, high in pairwise([-np.inf, *rulers.rings[name], np.inf]):
        inside = (radius > low) & (radius <= high)
        columns[f"energy at radius {_interval(low, high)} mm"] = _ratio(total(e * inside), energy)
    for low, high in pairwise([-np.inf, *rulers.spectrum[name], np.inf]):
        columns[f"hits {_interval(1e3 * low, 1e3 * high)} MeV"] = total((e > low) & (e <= high))
    hottest = np.zeros(n)
    np.maximum.at(hottest, hits.shower, e)
    columns["hottest hit"] = _ratio(hottest, energy)
    return columns


def _coordinates(sample: ShowerSample, hits: SampleHits, rulers: ObservableBins) -> dict[str, FloatArray]:
    x, y = hits.voxels.x[hits.voxel], hits.voxels.y[hits.voxel]
    found = {"depth [layers]": hits.layer.astype(np.float64), "x [mm]": x, "y [mm]": y}
    found["radius [mm]"] = hits.voxels.radius[hits.voxel]
    if rulers.oblique:
        transverse = sample.direction[:, :2].astype(np.float64)
        length = np.linalg.norm(transverse, axis=1)
        ux, uy = (transverse / np.maximum(length, 1e-9)[:, None])[hits.shower].T
        found |= {"along [mm]": x * ux + y * uy, "across [mm]": y * ux - x * uy}
    return found


def _layers(sample: ShowerSample, name: str) -> dict[str, FloatArray]:
    hits = sample.sections[name]
    e, x, y, radius = hits.deposit, *(v[hits.voxel] for v in (hits.voxels.x, hits.voxels.y, hits.voxels.radius))
    first, labels = layer_groups(hits.voxels.layers)

    def grouped(weight: FloatArray) -> FloatArray:
        return np.add.reduceat(sample.by_layer(name, weight), first, axis=1)

    energy = grouped(e)
    cx, cy = _ratio(grouped(e * x), energy), _ratio(grouped(e * y), energy)
    # not x and y: a voxel that goes all around the axis has its centre on it, but its energy beside it
    square = _ratio(grouped(e * radius**2), energy)
    blocks = {
        "energy": energy / sample.kinetic_energy[:, None],
        "hits": grouped(np.ones_like(e)),
        "x [mm]": cx,
        "y [mm]": cy,
        "width [mm]": root_of_variance(square, cx**2 + cy**2),
    }
    return {f"{label}: {key}": block[:, k] for key, block in blocks.items() for k, label in enumerate(labels)}


def layer_groups(layers: int) -> tuple[NDArray[np.int64], list[str]]:
    """Layers that are taken together: the first of each group, and the groups' names."""
    step = -(-layers // _MOST_GROUPS)
    first = np.arange(0, layers, step)
    last = np.minimum(first + step, layers) - 1
    return first, [f"layer {a}" if a == b else f"layers {a}-{b}" for a, b in zip(first, last, strict=True)]


def root_of_variance(square: FloatArray, of_mean: FloatArray) -> FloatArray:
    """Root of the mean square less the square of the mean; exactly 0 where they differ by rounding only."""
    variance = square - of_mean
    return np.sqrt(np.where(variance > _ROUNDING * square, variance, 0))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Quotient, 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _interval(low: float, high: float) -> str:
    if np.isneginf(low):
        return f"up to {high:.3g}"
    return f"{low:.3g}-{high:.3g}" if np.isfinite(high) else f"over {low:.3g}"
