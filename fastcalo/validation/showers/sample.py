# SPDX-License-Identifier: BSD-3-Clause
"""Samples of showers in memory, from a file or a model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...detector.voxels import Voxels
from ...io.showers.slices import ShowerSource
from ...model.random_numbers import random_streams
from ...model.shower_model import ShowerModel

_BLOCK = 2_000
"""Showers that are read at a time."""


@dataclass(frozen=True, eq=False)
class SampleHits:
    """Hits of many showers in one section, those above threshold only.

    Attributes
    ----------
    voxels : Voxels
    shower : int64 [h]
        Index of the shower, ascending.
    voxel : int64 [h]
    deposit : float64 [h]
        GeV.
    """

    voxels: Voxels
    shower: NDArray[np.int64]
    voxel: NDArray[np.int64]
    deposit: NDArray[np.float64]

    @property
    def layer(self) -> NDArray[np.int64]:
        """Layer of each hit [h]."""
        return self.voxels.layer[self.voxel]


@dataclass(frozen=True, eq=False)
class ShowerSample:
    """Showers of particles.

    Attributes
    ----------
    pdg : int64 [n]
    kinetic_energy : float64 [n]
        GeV.
    direction : float32 [n, 3]
    entry : float32 [n, 2]
        mm.
    sections : dict of str to SampleHits
    """

    pdg: NDArray[np.int64]
    kinetic_energy: NDArray[np.float64]
    direction: NDArray[np.float32]
    entry: NDArray[np.float32]
    sections: dict[str, SampleHits]

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def angle(self) -> NDArray[np.float64]:
        """Angles to the layers' normal [n], degrees."""
        return np.degrees(np.arccos(np.clip(self.direction[:, 2].astype(np.float64), -1, 1)))

    def energy(self, section: str) -> NDArray[np.float64]:
        """Visible energies in a section [n], GeV."""
        hits = self.sections[section]
        return np.bincount(hits.shower, hits.deposit, len(self)).astype(np.float64)

    def count(self, section: str) -> NDArray[np.float64]:
        """Numbers of hits in a section [n]."""
        return np.bincount(self.sections[section].shower, minlength=len(self)).astype(np.float64)

    def by_layer(self, section: str, weight: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Sums of a weight [h] of the hits, the deposit (GeV) unless given, by shower and layer [n, layers]."""
        hits = self.sections[section]
        layers = hits.voxels.layers
        place = hits.shower * layers + hits.layer
        values = hits.deposit if weight is None else weight
        return np.bincount(place, values, len(self) * layers).astype(np.float64).reshape(len(self), layers)

    def take(self, rows: NDArray[np.int64]) -> ShowerSample:
        """Some of the showers, given by ascending index [m]."""
        number = np.full(len(self), -1)
        number[rows] = np.arange(len(rows))
        sections = {}
        for name, hits in self.sections.items():
            kept = number[hits.shower] >= 0
            sections[name] = SampleHits(hits.voxels, number[hits.shower[kept]], hits.voxel[kept], hits.deposit[kept])
        return ShowerSample(self.pdg[rows], self.kinetic_energy[rows], self.direction[rows], self.entry[rows], sections)

    def scaled(self, factor: float) -> ShowerSample:
        """All deposits times a factor."""
        sections = {name: replace(hits, deposit=hits.deposit * factor) for name, hits in self.sections.items()}
        return replace(self, sections=sections)


def read_sample(
    source: ShowerSource, sections: Sequence[str], thresholds: Mapping[str, float], rows: NDArray[np.int64]
) -> ShowerSample:
    """Read showers.

    Parameters
    ----------
    source : ShowerSource
    sections : sequence of str
    thresholds : mapping of str to float
        By section: deposits up to this are left out, GeV.
    rows : int64 [n]
        Which showers, ascending.

    Raises
    ------
    InputError
        The file is damaged, or does not have the sections.
    """
    return ShowerSample(
        source.pdg()[rows].astype(np.int64),
        source.kinetic_energy()[rows].astype(np.float64),
        source.direction()[rows],
        source.entry()[rows],
        {name: _read_hits(source, name, thresholds.get(name, 0.0), rows) for name in sections},
    )


def _read_hits(source: ShowerSource, section: str, threshold: float, rows: NDArray[np.int64]) -> SampleHits:
    number = np.full(len(source), -1)
    number[rows] = np.arange(len(rows))
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for start in range(0, len(source), _BLOCK):
        stop = min(start + _BLOCK, len(source))
        if (number[start:stop] < 0).all():
            continue
        offsets, voxel, deposit = source.hits(section, start, stop)
        shower = np.repeat(number[start:stop], np.diff(offsets))
        kept = (shower >= 0) & (deposit > threshold)
        parts.append((shower[kept], voxel[kept].astype(np.int64), deposit[kept].astype(np.float64)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return SampleHits(source.voxels(section), *columns)


def generate_sample(
    model: ShowerModel, like: ShowerSample, seed: int, thresholds: Mapping[str, float] | None = None
) -> tuple[ShowerSample, float]:
    """Showers of a model for the particles of a sample.

    Parameters
    ----------
    model : ShowerModel
    like : ShowerSample
        Particles within the model's validity, with the sections that are wanted.
    seed : int
    thresholds : mapping of str to float, optional
        By section: deposits up to this are left out, GeV. Those up to the model's own threshold always are.

    Returns
    -------
    sample : ShowerSample
    seconds : float
        Wall time that it took.
    """
    zero = np.zeros(len(like), np.int64)
    start = time.perf_counter()
    found = model.sample(
        like.pdg,
        like.kinetic_energy.astype(np.float32),
        like.direction,
        like.entry,
        random_streams(seed, zero, zero, np.arange(len(like))),
    )
    seconds = time.perf_counter() - start
    sections = {}
    for name, hits in like.sections.items():
        shower, cell, deposit = found[name].in_window(model.window_shape(name))
        order = np.argsort(shower, kind="stable")
        threshold = max(model.contract.thresholds[name], (thresholds or {}).get(name, 0.0))
        order = order[deposit[order] > threshold]
        sections[name] = SampleHits(
            hits.voxels,
            shower[order],
            cell[order],
            deposit[order].astype(np.float64),
        )
    return replace(like, sections=sections), seconds
