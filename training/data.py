"""Showers for training: sparse HDF5 shards, read in bounded memory, shuffled from a seed.

The order depends only on (seed, epoch); the batch of a step can be found again without replaying the steps
before it, which is what makes a resumed training exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastcalo.detector import Detector
from fastcalo.errors import InputError
from fastcalo.io.showers import open_showers


@dataclass(frozen=True)
class Batch:
    """Showers of one section, hits above threshold only.

    Attributes
    ----------
    kinetic_energy : float32 [B], GeV
    direction : float32 [B, 3]
    entry : float32 [B, 2], mm
    pdg : int64 [B]
    row : int64 [H]
        Shower of each hit, ascending; within a shower hits are sorted by layer, and within a layer by
        distance from the line of flight.
    layer : int64 [H]
    x, y : float32 [H]
        Cell indices from the centre of the window.
    deposit : float32 [H], GeV
    layer_energy, layer_count : float32 [B, L]
        Sum of deposits (GeV) and number of hits per layer.
    """

    kinetic_energy: Tensor
    direction: Tensor
    entry: Tensor
    pdg: Tensor
    row: Tensor
    layer: Tensor
    x: Tensor
    y: Tensor
    deposit: Tensor
    layer_energy: Tensor
    layer_count: Tensor

    def __len__(self) -> int:
        return len(self.pdg)


@dataclass(frozen=True)
class _Pool:
    """Prepared showers in memory, as arrays; hits cut by offsets."""

    kinetic_energy: NDArray[np.float32]
    direction: NDArray[np.float32]
    entry: NDArray[np.float32]
    pdg: NDArray[np.int64]
    offsets: NDArray[np.int64]
    cell: NDArray[np.int32]
    deposit: NDArray[np.float32]


class ShowerData:
    """Showers of one section from any number of files.

    Parameters
    ----------
    paths : sequence of path
        Native shower files, or others' with windows of the section's shape (see `fastcalo.io.showers`).
    detector : Detector
        Must describe the calorimeter that the showers are from.
    section : str
    species : sequence of int
        Showers of other species are left out.
    seed : int
    pool : int
        Showers held in memory at a time; shuffling mixes within a pool of randomly chosen blocks.
    block : int
        Showers read at a time.

    Raises
    ------
    InputError
        No file, a file without the section or of another calorimeter, or no shower of the species.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        detector: Detector,
        section: str,
        species: Sequence[int],
        seed: int = 0,
        pool: int = 60_000,
        block: int = 2_000,
    ) -> None:
        self.section, self.species, self.seed = detector.section(section), tuple(species), seed
        self.paths = [Path(p) for p in paths]
        self._pool_blocks = max(1, pool // block)
        self._blocks: list[tuple[Path, NDArray[np.int64]]] = []
        digest = hashlib.sha256()
        for path in self.paths:
            with open_showers(path) as f:
                f.check_detector(detector, (section,))
                pdg = f.pdg(0, len(f))
                digest.update(pdg.tobytes() + f.kinetic_energy(0, len(f)).tobytes())
            chosen = np.isin(pdg, self.species)
            for start in range(0, len(pdg), block):
                rows = start + np.flatnonzero(chosen[start : start + block])
                if len(rows):
                    self._blocks.append((path, rows))
        self.hash = digest.hexdigest()
        if not self._blocks:
            raise InputError(f"no shower of species {list(self.species)} in {[str(p) for p in paths]}")
        self._cached: tuple[tuple[int, ...], _Pool] | None = None

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self._blocks)

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """Endless batches from step `start` on; the last, incomplete one of an epoch is left out."""
        per_epoch = len(self) // size
        if per_epoch == 0:
            raise InputError(f"a batch of {size} showers is asked for, but there are only {len(self)}")
        epoch, skip = divmod(start, per_epoch)
        while True:
            yield from self._epoch(epoch, size, skip)
            epoch, skip = epoch + 1, 0

    def _epoch(self, epoch: int, size: int, skip: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self._blocks))
        groups = [tuple(sorted(order[i : i + self._pool_blocks])) for i in range(0, len(order), self._pool_blocks)]
        position, wanted = 0, skip * size
        left: list[tuple[_Pool, NDArray[np.int64]]] = []
        for group in groups:
            count = sum(len(self._blocks[b][1]) for b in group)
            shuffled = rng.permutation(count)
            if position + count <= wanted:
                position += count
                continue
            pool = self._load(group)
            rows = shuffled[max(0, wanted - position) :]
            position += count
            while len(rows):
                missing = size - sum(len(r) for _, r in left)
                left.append((pool, rows[:missing]))
                if len(rows) >= missing:
                    yield self._batch(left)
                    left = []
                rows = rows[missing:]

    def _load(self, group: tuple[int, ...]) -> _Pool:
        if self._cached is None or self._cached[0] != group:
            self._cached = None
            parts = [self._prepare(*self._blocks[b]) for b in group]
            offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(p.offsets) for p in parts]))])
            self._cached = (
                group,
                _Pool(
                    *(
                        offsets if name == "offsets" else np.concatenate([getattr(p, name) for p in parts])
                        for name in _Pool.__dataclass_fields__
                    )
                ),
            )
        return self._cached[1]

    def _prepare(self, path: Path, rows: NDArray[np.int64]) -> _Pool:
        """One block with hits above threshold, sorted by layer and by distance from the line of flight."""
        a, b = int(rows[0]), int(rows[-1]) + 1
        with open_showers(path) as f:
            energy, direction = f.kinetic_energy(a, b), f.direction(a, b)
            entry, pdg = f.entry(a, b), f.pdg(a, b)
            offsets, cell, deposit = f.hits(self.section.name, a, b)
        chosen = np.zeros(b - a, bool)
        chosen[rows - a] = True
        row = np.repeat(np.arange(b - a), np.diff(offsets))
        keep = chosen[row] & (deposit > self.section.threshold)
        row, cell, deposit = row[keep], cell[keep].astype(np.int32), deposit[keep]
        nx, ny, layers = self.section.shape
        layer = cell % layers
        cell_offset = window_offsets(self.section.sensor_z, self.section.cell_mm, direction, entry)
        dx = cell // (ny * layers) - nx // 2 - cell_offset[row, layer, 0]
        dy = cell // layers % ny - ny // 2 - cell_offset[row, layer, 1]
        order = np.lexsort((dx * dx + dy * dy, row * layers + layer))
        counts = np.bincount(row, minlength=b - a)[chosen]
        return _Pool(
            energy[chosen].astype(np.float32),
            direction[chosen].astype(np.float32),
            entry[chosen].astype(np.float32),
            pdg[chosen].astype(np.int64),
            np.concatenate([[0], np.cumsum(counts)]),
            cell[order],
            deposit[order].astype(np.float32),
        )

    def _batch(self, pieces: list[tuple[_Pool, NDArray[np.int64]]]) -> Batch:
        nx, ny, layers = self.section.shape
        take = {
            name: torch.from_numpy(np.concatenate([getattr(p, name)[r] for p, r in pieces]))
            for name in ("kinetic_energy", "direction", "entry", "pdg")
        }
        counts = np.concatenate([p.offsets[r + 1] - p.offsets[r] for p, r in pieces])
        index = [ranges(p.offsets[r], p.offsets[r + 1] - p.offsets[r]) for p, r in pieces]
        cell = np.concatenate([p.cell[i] for (p, _), i in zip(pieces, index, strict=True)])
        deposit = np.concatenate([p.deposit[i] for (p, _), i in zip(pieces, index, strict=True)])
        row = np.repeat(np.arange(len(counts)), counts)
        layer = cell % layers
        group = row * layers + layer
        shape = (len(counts), layers)
        return Batch(
            **take,
            row=torch.from_numpy(row),
            layer=torch.from_numpy(layer.astype(np.int64)),
            x=torch.from_numpy((cell // (ny * layers) - nx // 2).astype(np.float32)),
            y=torch.from_numpy((cell // layers % ny - ny // 2).astype(np.float32)),
            deposit=torch.from_numpy(deposit),
            layer_energy=torch.from_numpy(
                np.bincount(group, deposit, minlength=len(counts) * layers).astype(np.float32).reshape(shape)
            ),
            layer_count=torch.from_numpy(
                np.bincount(group, minlength=len(counts) * layers).astype(np.float32).reshape(shape)
            ),
        )


def ranges(start: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenated ``arange(start[i], start[i] + count[i])``."""
    end = np.cumsum(count)
    out: NDArray[np.int64] = np.arange(end[-1] if len(end) else 0) + np.repeat(start - (end - count), count)
    return out


def window_offsets(
    sensor_z: NDArray[np.float64], cell: float, direction: NDArray[np.floating], entry: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Where flight lines cross sensors, from the centre of the cell crossed, [B, L, 2] in cells."""
    slope = direction[:, None, :2].astype(np.float64) / direction[:, None, 2:]
    crossing = (entry[:, None].astype(np.float64) + sensor_z[None, :, None] * slope) / cell
    return np.asarray(crossing - np.floor(crossing + 0.5))
