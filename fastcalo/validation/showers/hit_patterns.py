# SPDX-License-Identifier: BSD-3-Clause
"""Observables of how hits lie to each other: neighbours, hits along the line of flight, clusters, far hits.

Observables layer by layer see nothing of that: hits drawn independently of each other, with the right numbers in every
layer and ring, pass them. Cells of a window follow the line of flight, so that the cell of a hit in another layer is
its projection along that line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .observables import ObservableBins, Observables
from .sample import SampleHits, ShowerSample

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LAGS = (1, 2, 5)
"""Layers before that a hit is compared with."""
LARGE = 4
"""Hits of a cluster from which on it counts as a large one."""
AROUND = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
_FAR = 3
"""How many of the radii that contain most of the energy hits are counted beyond, from the largest on."""


@dataclass(frozen=True, eq=False)
class CellGrid:
    """Hits of a section by shower, layer and cell, so that a cell is found.

    Attributes
    ----------
    hits : SampleHits
    layer, x, y : int64 [h]
    """

    hits: SampleHits
    layer: IntArray
    x: IntArray
    y: IntArray
    _keys: IntArray
    _order: IntArray
    _sizes: tuple[int, int, int]

    @classmethod
    def of(cls, hits: SampleHits) -> CellGrid | None:
        """Hits of a regular window; None where the voxels are no such window."""
        if hits.voxels.window is None:
            return None
        nx, ny, layers = hits.voxels.window
        column, layer = np.divmod(hits.voxel, layers)
        x, y = np.divmod(column, ny)
        # a margin of one cell and five layers, so that no neighbour is that of another row
        sizes = (layers + max(LAGS), nx + 2, ny + 2)
        keys = _key(sizes, hits.shower, layer, x, y)
        order = np.argsort(keys, kind="stable")
        return cls(hits, layer, x, y, keys[order], order, sizes)

    def at(self, lag: int, step: tuple[int, int]) -> IntArray:
        """Number of the hit so many layers before and so many cells beside each hit, -1 where there is none, [h]."""
        if not len(self._keys):
            return np.zeros(0, np.int64)
        wanted = _key(self._sizes, self.hits.shower, self.layer - lag, self.x + step[0], self.y + step[1])
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[place] == wanted, self._order[place], -1)

    def pairs(self, lag: int) -> tuple[IntArray, IntArray]:
        """Pairs of a hit and one within a cell of its projection so many layers before; of its neighbours for 0."""
        found = [self.at(lag, step) for step in AROUND if lag or step != (0, 0)]
        one = [np.flatnonzero(other >= 0) for other in found]
        return np.concatenate(one), np.concatenate([other[i] for other, i in zip(found, one, strict=True)])


def _key(sizes: tuple[int, int, int], shower: IntArray, layer: IntArray, x: IntArray, y: IntArray) -> IntArray:
    layers, nx, ny = sizes
    return ((shower * layers + layer + max(LAGS)) * nx + x + 1) * ny + y + 1


def hit_patterns(sample: ShowerSample, rulers: ObservableBins) -> Observables:
    """Observables of each shower of a sample; none of sections whose voxels are no regular window.

    Per section: hits among the eight cells around a hit, and among the nine around its projection 1, 2 and 5 layers
    before, in the mean; the same weighted by the roots of both energies, over the section's energy; part of the hits
    without one before; clusters that are connected through neighbours and hits of successive layers: their number, how
    many have one hit, how many 4 or more, and the part of the energy that the second largest has; hits and part of the
    energy beyond the radii that contain 90, 97 and 99.5 % of the reference's energy.

    Parameters
    ----------
    sample : ShowerSample
    rulers : ObservableBins
        The same for all samples that are compared.
    """
    columns: dict[str, FloatArray] = {}
    for name, hits in sample.sections.items():
        grid = CellGrid.of(hits)
        if grid is not None:
            columns |= {f"{name} {key}": value for key, value in _neighbourhood(grid, len(sample)).items()}
        columns |= {f"{name} {key}": value for key, value in _far(hits, len(sample), rulers.rings[name]).items()}
    values = np.column_stack(list(columns.values())) if columns else np.zeros((len(sample), 0))
    return Observables(tuple(columns), values)


def _neighbourhood(grid: CellGrid, n: int) -> dict[str, FloatArray]:
    hits = grid.hits
    e, shower = hits.deposit, hits.shower

    def total(values: FloatArray | None) -> FloatArray:
        return np.bincount(shower, values, n).astype(np.float64)

    number, energy = np.maximum(total(None), 1), np.maximum(total(e), 1e-12)
    columns, links = {}, []
    for lag in (0, *LAGS):
        i, j = grid.pairs(lag)
        where = "around" if lag == 0 else f"{lag} layers before"
        partners = np.bincount(i, minlength=len(e)).astype(np.float64)
        columns[f"hits {where}, mean"] = total(partners) / number
        columns[f"hits {where}, by energy"] = total(np.sqrt(e * np.bincount(i, e[j], len(e)))) / energy
        if lag <= 1:
            links.append((i, j))
        if lag == 1:
            columns["hits without one before, part"] = total((partners == 0).astype(np.float64)) / number
    return columns | _clusters(links, e, shower, n)


def _clusters(links: list[tuple[IntArray, IntArray]], e: FloatArray, shower: IntArray, n: int) -> dict[str, FloatArray]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = (np.concatenate(side) for side in zip(*links, strict=True))
    graph: Any = coo_array((np.ones(len(i), bool), (i, j)), shape=(len(e), len(e)))
    number, label = connected_components(graph, directed=False) if len(e) else (0, np.zeros(0, np.int64))
    size = np.bincount(label, minlength=number)
    energy = np.bincount(label, e, number)
    owner = np.zeros(number, np.int64)
    owner[label] = shower

    def count(chosen: NDArray[np.bool_]) -> FloatArray:
        return np.bincount(owner[chosen], minlength=n).astype(np.float64)

    order = np.lexsort((-energy, owner))
    first = np.searchsorted(owner[order], owner[order])
    second = order[np.arange(number) - first == 1]
    share = np.zeros(n)
    share[owner[second]] = energy[second]
    whole = np.bincount(owner, energy, n)
    return {
        "clusters": count(size > 0),
        "clusters of one hit": count(size == 1),
        f"clusters of {LARGE} hits and more": count(size >= LARGE),
        "second cluster": share / np.maximum(whole, 1e-12),
    }


def _far(hits: SampleHits, n: int, rings: FloatArray) -> dict[str, FloatArray]:
    radius = hits.voxels.radius[hits.voxel]
    energy = np.maximum(np.bincount(hits.shower, hits.deposit, n), 1e-12)
    columns = {}
    for edge in rings[-_FAR:]:
        beyond = radius > edge
        columns[f"hits beyond {edge:.3g} mm"] = np.bincount(hits.shower[beyond], minlength=n).astype(np.float64)
        columns[f"energy beyond {edge:.3g} mm"] = np.bincount(hits.shower[beyond], hits.deposit[beyond], n) / energy
    return columns


def position_shift(sample: ShowerSample, section: str, edges: FloatArray) -> tuple[FloatArray, IntArray]:
    """How far each shower stands from the cell that is crossed, towards its entry point, and the bin of that point.

    Parameters
    ----------
    sample : ShowerSample
    section : str
    edges : float64 [b - 1]
        Between the bins of the entry point's distance from the origin, mm.

    Returns
    -------
    float64 [m], int64 [m]
        Of showers that have a hit in the section and do not enter at the very origin: mm, and 0 to b - 1.
    """
    hits, n = sample.sections[section], len(sample)
    energy = np.bincount(hits.shower, hits.deposit, n)
    x, y = (
        np.bincount(hits.shower, hits.deposit * v[hits.voxel], n) / np.maximum(energy, 1e-12)
        for v in (hits.voxels.x, hits.voxels.y)
    )
    entry = sample.entry.astype(np.float64)
    distance = np.hypot(*entry.T)
    seen = (energy > 0) & (distance > 0)
    shift = (x * entry[:, 0] + y * entry[:, 1])[seen] / distance[seen]
    return shift, np.searchsorted(edges, distance[seen])
