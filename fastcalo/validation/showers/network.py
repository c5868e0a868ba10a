# SPDX-License-Identifier: BSD-3-Clause
"""Third judge: a graph network on hits, trained to distinguish two samples of showers.

Each hit is a point with its place along and across the azimuth of incidence, its depth, its section and its energy; it
hears from the hits in the cells around it, in its layer and in those before and behind, twice (message passing: Gilmer
et al., arXiv:1704.01212); a shower is the mean, the largest and the energy-weighted mean of its points (Zaheer et al.,
arXiv:1703.06114). So it may find what nobody has written down as an observable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingDependencyError
from ...system.install import install_line
from .classifier import auc_with_error
from .hit_patterns import CellGrid
from .observables import all_species, conditions
from .sample import ShowerSample

if TYPE_CHECKING:
    import torch

_WIDTH = 32
_BATCH = 128
_EPOCHS = 12
_MOST_STEPS = 1_500
_LEARNING_RATE = 3e-3
_UPRIGHT = 1e-6
"""Sine of the angle of incidence up to which it has no azimuth."""


@dataclass(frozen=True, eq=False)
class _Points:
    """Hits of two samples: columns [h, f], shower [h], weight by energy [h], pairs of neighbours [p] twice."""

    columns: NDArray[np.float32]
    shower: NDArray[np.int64]
    weight: NDArray[np.float32]
    first: NDArray[np.int64]
    second: NDArray[np.int64]


def auc_of_network(reference: ShowerSample, other: ShowerSample, seed: int = 0) -> tuple[float, float]:
    """Area under the curve of the network. Two thirds of the showers train it, the others are judged.

    Parameters
    ----------
    reference, other : ShowerSample
    seed : int

    Returns
    -------
    value, error : float

    Raises
    ------
    MissingDependencyError
        PyTorch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"--judge network needs PyTorch: {install_line('train')}") from error
    points, known = _points_of(reference, other)
    truth = np.repeat([0, 1], [len(reference), len(other)])
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))
    seen, unseen = order[: 2 * len(order) // 3], order[2 * len(order) // 3 :]
    mean, spread = known[seen].mean(0), known[seen].std(0)
    known = ((known - mean) / np.where(spread > 0, spread, 1)).astype(np.float32)
    # other parts of the process keep their random numbers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        score = _trained(torch, points, known, truth, seen, rng)(unseen)
    return auc_with_error(truth[unseen], score.astype(np.float64), seed)


def _points_of(reference: ShowerSample, other: ShowerSample) -> tuple[_Points, NDArray[np.float64]]:
    """Points of both samples, one after the other, and what is known of each particle."""
    species = all_species(reference, other)
    parts, showers, hits = [], 0, 0
    for sample in (reference, other):
        for name in reference.sections:
            part = _points_of_section(reference, sample, name)
            parts.append(
                _Points(part.columns, part.shower + showers, part.weight, part.first + hits, part.second + hits)
            )
            hits += len(part.shower)
        showers += len(sample)
    joined = (np.concatenate([getattr(p, f) for p in parts]) for f in _Points.__dataclass_fields__)
    return _Points(*joined), np.concatenate([conditions(s, species) for s in (reference, other)])


def _points_of_section(reference: ShowerSample, sample: ShowerSample, name: str) -> _Points:
    """Points of a section, on the scale of the reference."""
    hits, scale = sample.sections[name], reference.sections[name]
    typical = float(np.median(scale.deposit)) if len(scale.deposit) else 1.0
    size = float(np.median(scale.voxels.radius[scale.voxel])) + 1e-3 if len(scale.voxel) else 1.0
    length = np.linalg.norm(sample.direction[:, :2], axis=1, keepdims=True).astype(np.float64)
    u = np.where(length > _UPRIGHT, sample.direction[:, :2] / np.maximum(length, _UPRIGHT), [[1.0, 0.0]])
    ux, uy = u[hits.shower].T
    x, y = hits.voxels.x[hits.voxel], hits.voxels.y[hits.voxel]
    places = [np.arcsinh(v / size) for v in (x * ux + y * uy, y * ux - x * uy)]
    depth = 2 * hits.layer / max(hits.voxels.layers - 1, 1) - 1
    sections = [np.full(len(x), float(name == other)) for other in reference.sections]
    columns = [*places, np.hypot(*places), depth, np.log(hits.deposit / typical) / 2, *sections]
    total = np.bincount(hits.shower, hits.deposit, len(sample))
    weight = hits.deposit / np.maximum(total[hits.shower], 1e-12)
    grid = CellGrid.of(hits)
    pairs = [grid.pairs(0), grid.pairs(1), grid.pairs(1)[::-1]] if grid is not None else []
    first, second = (np.concatenate([np.zeros(0, np.int64), *(pair[k] for pair in pairs)]) for k in range(2))
    return _Points(np.stack(columns, 1).astype(np.float32), hits.shower, weight.astype(np.float32), first, second)


def _trained(
    torch: Any, points: _Points, known: NDArray[np.float32], truth: NDArray[np.int64], seen: NDArray[np.int64],
    rng: np.random.Generator,
) -> Any:  # fmt: skip
    """Train; what comes back gives scores of showers by their numbers."""
    network = _network(torch, points.columns.shape[1], known.shape[1])
    batches = _Batches(torch, points, known, len(truth))
    per_epoch = max(1, len(seen) // _BATCH)
    steps = min(_EPOCHS * per_epoch, _MOST_STEPS)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=steps + 1)
    lossy = torch.nn.BCEWithLogitsLoss()
    order: list[NDArray[np.int64]] = []
    for _ in range(steps):
        if not order:
            order = np.array_split(rng.permutation(seen), per_epoch)
        rows = order.pop()
        loss = lossy(network(*batches.of(rows)), torch.from_numpy(truth[rows].astype(np.float32)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    def scores(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = np.array_split(rows, max(1, len(rows) // _BATCH))
            return np.concatenate([network(*batches.of(part)).numpy() for part in parts])

    return scores


class _Batches:
    """Points of some showers as tensors: columns, shower, weight, pairs, conditions."""

    def __init__(self, torch: Any, points: _Points, known: NDArray[np.float32], showers: int) -> None:
        self._torch, self._known = torch, known
        order = np.argsort(points.shower, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        self._columns, self._weight = points.columns[order], points.weight[order]
        self._offsets = np.concatenate([[0], np.cumsum(np.bincount(points.shower, minlength=showers))])
        first, second = place[points.first], place[points.second]
        by_first = np.argsort(first, kind="stable")
        self._second = second[by_first]
        self._pairs = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=len(order)))])

    def of(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        """Columns [h, f], shower [h], weight [h], pairs [p] twice and conditions [b, c]."""
        counts = self._offsets[rows + 1] - self._offsets[rows]
        hits = _ranges(self._offsets[rows], counts)
        number = np.zeros(len(self._columns), np.int64)
        number[hits] = np.arange(len(hits))
        partners = self._pairs[hits + 1] - self._pairs[hits]
        first = np.repeat(np.arange(len(hits)), partners)
        second = number[self._second[_ranges(self._pairs[hits], partners)]]
        shower = np.repeat(np.arange(len(rows)), counts)
        arrays = (self._columns[hits], shower, self._weight[hits], first, second, self._known[rows])
        return tuple(self._torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)


def _ranges(start: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    end = np.cumsum(count)
    out: NDArray[np.int64] = np.arange(end[-1] if len(end) else 0) + np.repeat(start - (end - count), count)
    return out


def _network(torch: Any, hit_columns: int, known: int) -> Any:
    nn = torch.nn

    class GraphNetwork(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Sequential(nn.Linear(hit_columns + known, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH))
            self.messages = nn.ModuleList(nn.Linear(2 * _WIDTH + 1, _WIDTH) for _ in range(2))
            self.end = nn.Sequential(
                nn.Linear(3 * _WIDTH + 1 + known, 2 * _WIDTH), nn.SiLU(), nn.Dropout(0.1),
                nn.Linear(2 * _WIDTH, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, 1),
            )  # fmt: skip

        def forward(self, columns: Any, shower: Any, weight: Any, first: Any, second: Any, particle: Any) -> Any:
            h = nn.functional.silu(self.start(torch.cat([columns, particle[shower]], 1)))
            partners = torch.zeros(len(h), 1).index_add(0, first, torch.ones(len(first), 1))
            for layer in self.messages:
                heard = torch.zeros_like(h).index_add(0, first, h[second]) / partners.clamp_min(1)
                h = h + nn.functional.silu(layer(torch.cat([h, heard, partners / 8], 1)))
            n, b = torch.zeros(len(particle), 1).index_add(0, shower, torch.ones(len(h), 1)), len(particle)
            mean = torch.zeros(b, _WIDTH).index_add(0, shower, h) / n.clamp_min(1)
            weighted = torch.zeros(b, _WIDTH).index_add(0, shower, h * weight[:, None])
            index = shower[:, None].expand_as(h)
            largest = torch.zeros(b, _WIDTH).scatter_reduce(0, index, h, "amax", include_self=False)
            pooled = torch.cat([mean, weighted, largest, torch.log1p(n) / 5, particle], 1)
            return self.end(pooled)[:, 0]

    return GraphNetwork()
