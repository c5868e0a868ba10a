"""What a physicist looks at in ECAL showers, from lists of hits, and how well a classifier tells two samples by it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastcalo.detector import load_detector
from fastcalo.io.hdf5 import ShowerFile
from fastcalo.model import ShowerModel
from fastcalo.noise import streams

ECAL = load_detector().section("ECAL")
NX, NY, LAYERS = ECAL.shape
RINGS = (0.0, 0.5, 1.5, 2.5, 4.5, 7.5, 99.0)
SPECTRUM = (2e-5, 6e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 2e-2, 9.0)


@dataclass(frozen=True)
class Showers:
    """Showers with their hits above threshold: shower, cell and deposit [h]."""

    pdg: NDArray[np.int64]
    kinetic_energy: NDArray[np.float32]
    direction: NDArray[np.float32]
    entry: NDArray[np.float32]
    shower: NDArray[np.int64]
    cell: NDArray[np.int64]
    deposit: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pdg)

    def visible(self) -> NDArray[np.float64]:
        """Energy of each shower [n], GeV."""
        return np.bincount(self.shower, self.deposit, len(self))

    def hits(self) -> NDArray[np.int64]:
        """Number of hits of each shower [n]."""
        return np.bincount(self.shower, minlength=len(self))

    def layers(self) -> NDArray[np.float64]:
        """Energy of each layer [n, layers], GeV."""
        place = self.shower * LAYERS + self.cell % LAYERS
        return np.bincount(place, self.deposit, len(self) * LAYERS).reshape(-1, LAYERS)

    def take(self, chosen: NDArray[np.bool_]) -> Showers:
        """Some of the showers."""
        number, kept = np.cumsum(chosen) - 1, chosen[self.shower]
        conditions = [getattr(self, f.name)[chosen] for f in fields(self)[:4]]
        return Showers(*conditions, number[self.shower[kept]], self.cell[kept], self.deposit[kept])


def read_showers(path: Path) -> Showers:
    """All showers of a native file."""
    with ShowerFile(path) as f:
        offsets, cell, deposit = f.hits("ECAL")
        conditions = (f.pdg().astype(np.int64), f.kinetic_energy(), f.direction(), f.entry())
    shower = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    hit = deposit > ECAL.threshold
    return Showers(*conditions, shower[hit], cell[hit].astype(np.int64), deposit[hit].astype(np.float64))


def generate_like(model: ShowerModel, true: Showers, seed: int) -> Showers:
    """Generated showers of the same particles."""
    zero = np.zeros(len(true), np.int64)
    conditions = (true.pdg, true.kinetic_energy, true.direction, true.entry)
    found = model.sample(*conditions, streams(seed, zero, zero, np.arange(len(true))))["ECAL"]
    return Showers(*conditions, found.shower, found.cell, found.deposit.astype(np.float64))


def observables(s: Showers) -> NDArray[np.float64]:
    """Some two hundred observables of each shower, and its conditions [n, f]."""
    n, e = len(s), s.deposit
    layer, y, x = s.cell % LAYERS, s.cell // LAYERS % NY - NY // 2, s.cell // (LAYERS * NY) - NX // 2
    transverse = s.direction[:, :2] / np.maximum(np.linalg.norm(s.direction[:, :2], axis=1), 1e-9)[:, None]
    ux, uy = transverse[s.shower].T
    along, across, radius = x * ux + y * uy, y * ux - x * uy, np.hypot(x, y)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(s.shower, values, n)

    def by_layer(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(s.shower * LAYERS + layer, values, n * LAYERS).reshape(n, LAYERS)

    visible = np.maximum(s.visible(), 1e-12)
    layers, hits = by_layer(e), by_layer(np.ones(len(e)))
    safe = np.maximum(layers, 1e-12)
    columns = [visible / s.kinetic_energy, s.hits()]
    for coordinate in (layer, x, y, along, across, radius):
        mean = total(e * coordinate) / visible
        columns += [mean, np.sqrt(np.maximum(total(e * coordinate**2) / visible - mean**2, 0))]
    for low, high in pairwise(RINGS):
        ring = (radius >= low) & (radius < high)
        columns += [total(e * ring) / visible, total(1.0 * ring)]
    columns += [total(1.0 * ((e >= low) & (e < high))) for low, high in pairwise(SPECTRUM)]
    columns += [np.sqrt(total(e**2)) / visible, total(e**4) ** 0.25 / visible]
    blocks = [
        layers / s.kinetic_energy[:, None],
        hits,
        by_layer(e * ((x == 0) & (y == 0))) / safe,
        by_layer(e * along) / safe,
        by_layer(e * across) / safe,
        np.sqrt(by_layer(e * radius**2) / safe),
        np.sqrt(by_layer(e**2)) / safe,
    ]
    conditions = [np.log(s.kinetic_energy), s.direction[:, 2], s.pdg]
    return np.column_stack([*columns, *blocks, *conditions])


def auc(a: NDArray[np.float64], b: NDArray[np.float64], seed: int = 0) -> float:
    """Area under the curve of boosted trees that tell a from b, each shower judged by trees that have not seen it.

    Rows of the same number are of the same particle and stay together.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    n = len(a)
    assert n == len(b)
    fold = np.random.default_rng(seed).permutation(n) % 3
    score = np.zeros((2, n))
    for k in range(3):
        seen, unseen = fold != k, fold == k
        trees = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.08, early_stopping=True, random_state=seed)
        trees.fit(np.concatenate([a[seen], b[seen]]), np.repeat([0, 1], seen.sum()))
        score[:, unseen] = [trees.predict_proba(side[unseen])[:, 1] for side in (a, b)]
    return float(roc_auc_score(np.repeat([0, 1], n), score.ravel()))
