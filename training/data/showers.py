# SPDX-License-Identifier: BSD-3-Clause
"""Training data: sparse HDF5 showers, each rank reading its part only, in bounded memory.

The order (see `BatchOrder`) depends on the seed, and on no number of ranks; the batch of a step can be found again
without replaying the steps before it, which is what makes a resumed training exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastcalo.detector.description import Detector
from fastcalo.errors import InputError
from fastcalo.io.showers.native import ShowerFile, describe_section
from fastcalo.io.showers.reader import open_showers
from fastcalo.io.showers.slices import ShowerSource

from .batch import Batch
from .batch_order import BatchOrder
from .cache import load_or_make
from .file_digest import file_digest
from .folds import Fold, in_fold
from .layer_stack import LayerStack
from .prefetch import prefetch

# places of the files that a sample is from: each costs a few reads
_PLACES = 256
_WHOLE = 511
"""Cells along x and along y within which all hits of whole showers are."""


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


@dataclass(frozen=True)
class _Part:
    """Of the wanted showers in the block from row `start` on (`number` in all files), `count` of them after `skip`."""

    path: Path
    start: int
    number: int
    skip: int
    count: int


class ShowerData:
    """Showers from any number of files.

    Parameters
    ----------
    paths : sequence of path
        Native shower files, or others' with windows of the sections' shapes (see `fastcalo.io.showers.reader`).
    detector : Detector
        Must describe the calorimeter that the showers are from.
    sections : sequence of str
        Those whose hits are wanted, front to back; their windows must have as many cells along x and y.
    species : sequence of int
        Showers of other species are left out.
    seed : int
    pool : int
        Showers of a piece, all ranks together. A rank holds its share of two pieces: while one is served, the next is
        read. If all showers fit in one piece, it stays in memory.
    block : int
        Showers read at a time. The order does not depend on it.
    cache : path, optional
        Folder, best on a disk of the machine itself, where prepared pieces are kept and mapped into memory. It takes
        8 bytes per hit, twice if there is more than one piece, and may be emptied at any time.
    fold : Fold, optional
        Of the showers of all species in all files, those to use; all unless given.
    whole : bool
        Whether hits are kept wherever they are, whatever the files' windows are; else the windows must be the
        detector's.
    section_layers : sequence of int
        Layers of each section, from its front, whose hits are used; all where empty.

    Attributes
    ----------
    hash : str
        SHA-256, hexadecimal, of all that is read: every byte of the files, the layers, thresholds, species and fold.
    old_hash : str
        Of species and energies only: what checkpoints held before.

    Raises
    ------
    InputError
        No file, a file without one of the sections or of another calorimeter, or no shower of the species.
    ConfigError
        The sections do not stand one behind the other, or their windows differ.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        detector: Detector,
        sections: Sequence[str],
        species: Sequence[int],
        seed: int = 0,
        pool: int = 60_000,
        block: int = 2_000,
        cache: str | Path | None = None,
        fold: Fold | None = None,
        whole: bool = False,
        section_layers: Sequence[int] = (),
    ) -> None:
        self.stack = LayerStack.of(detector, sections, section_layers)
        self._all_layers = [detector.section(name).layers for name in sections]
        self.species, self.seed = tuple(species), seed
        self.paths = [Path(p) for p in paths]
        self.pool, self._block, self._cache = pool, block, None if cache is None else Path(cache)
        self._window = _WHOLE if whole else self.stack.shape[0]
        self._whole = whole
        self._chosen = None if fold is None else in_fold(self.paths, fold)
        # file, first row, and its number among the rows of all files
        self._blocks: list[tuple[Path, int, int]] = []
        counts, before, digest, content = [0], 0, hashlib.sha256(), hashlib.sha256()
        for section in self.stack.sections:
            content.update(repr((section.name, describe_section(section), section.threshold)).encode())
        content.update(repr(self.species).encode())
        everything = content.copy()
        for path in self.paths:
            with open_showers(path) as f:
                f.check_detector(detector, self.stack.names, windows=not whole)
                starts = range(0, len(f), block)
                for start in starts:
                    pdg = f.pdg(start, min(start + block, len(f)))
                    digest.update(pdg.tobytes())
                    counts.append(int(self._wanted(pdg, before + start).sum()))
                for start in starts:
                    digest.update(f.kinetic_energy(start, min(start + block, len(f))).tobytes())
                self._blocks += [(path, start, before + start) for start in starts]
                before += len(f)
            content.update(repr((str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)).encode())
            everything.update(file_digest(path))
        if len(self.stack.sections) > 1:
            digest.update(repr(self.stack.names).encode())
        if fold:
            digest.update(repr(fold).encode())
            everything.update(repr(fold).encode())
        self.hash, self.old_hash = everything.hexdigest(), digest.hexdigest()
        self._content = content.hexdigest()
        # number of the first shower of each block
        self._first = np.cumsum(counts)
        if not len(self):
            part = f" of {fold}" if fold else ""
            raise InputError(f"no shower{part} of species {list(self.species)} in {[str(p) for p in paths]}")
        self._kept: tuple[BatchOrder, _Pool] | None = None

    def __len__(self) -> int:
        return int(self._first[-1])

    def batches(
        self, size: int, start: int = 0, rank: int = 0, ranks: int = 1, *, pinned: bool = False
    ) -> Iterator[Batch]:
        """One rank's parts of endless global batches, assembled ahead in a thread.

        In an epoch every shower comes once, but for those that do not fill a batch in each piece (fewer than `size`
        times the number of pieces; see `BatchOrder`).

        Parameters
        ----------
        size : int
            Showers of the global batch.
        start : int
            Step to begin with.
        rank, ranks : int
            Slots ``size * rank // ranks`` to ``size * (rank + 1) // ranks`` come. All ranks' together are the same
            batch for every number of ranks.
        pinned : bool
            Whether batches lie in memory that a GPU reads by itself.

        Returns
        -------
        iterator of Batch

        Raises
        ------
        InputError
            There are fewer showers than `size`, or fewer slots than ranks.
        """
        return prefetch(self._assembled(BatchOrder(len(self), size, self.pool, self.seed, rank, ranks), start, pinned))

    def sample(self, count: int) -> Batch:
        """`count` showers (all, if there are fewer) from places spread evenly over the files, in their order."""
        count = min(count, len(self))
        places = min(count, _PLACES)
        ends = np.arange(places + 1) * count // places
        before = (2 * np.arange(places) + 1) * (len(self) - count) // (2 * places)
        spans = np.stack([ends[:-1] + before, ends[1:] + before], 1).tolist()
        pool = self._load([(first, stop) for first, stop in spans])
        return self._batch(pool, np.arange(count), np.arange(count), count)

    def _assembled(self, order: BatchOrder, start: int, pinned: bool) -> Iterator[Batch]:
        slot = np.array(order.slots)
        for pool, steps in prefetch(self._pieces(order, start), ahead=1):
            for rows in steps:
                batch = self._batch(pool, rows, slot, order.size)
                yield batch.pinned() if pinned else batch

    def _pieces(self, order: BatchOrder, start: int) -> Iterator[tuple[_Pool, NDArray[np.int64]]]:
        for epoch, piece, first in order.visits(start):
            pool = self._piece(order, epoch, piece)
            kind = np.searchsorted(sorted(self.species), pool.pdg)
            yield pool, order.rows(epoch, piece, kind, pool.kinetic_energy)[first:]

    def _piece(self, order: BatchOrder, epoch: int, piece: int) -> _Pool:
        kept = self._kept
        if kept and kept[0] == order:
            return kept[1]
        self._kept = None
        first = order.firsts(epoch, piece)
        if order.pieces > 1:
            return self._load([(int(a), int(a) + order.steps) for a in first])
        pool = self._load([(int(first[0]), int(first[-1]) + order.steps)])
        self._kept = order, pool
        return pool

    def _load(self, spans: list[tuple[int, int]]) -> _Pool:
        if self._cache is None:
            return self._read(spans)
        key = hashlib.sha256(f"3 {self._content} {self._window} {self.old_hash} {spans}".encode()).hexdigest()[:32]
        return _Pool(**load_or_make(self._cache, key, lambda: vars(self._read(spans))))

    def _read(self, spans: list[tuple[int, int]]) -> _Pool:
        """Prepared showers of ascending spans of numbers."""
        pools: list[dict[str, NDArray[Any]]] = []
        for path, parts in groupby((part for span in spans for part in self._parts(*span)), lambda part: part.path):
            with open_showers(path) as f:
                pools += [dict(vars(self._prepare(f, part))) for part in parts]
        counts = np.concatenate([np.diff(pool.pop("offsets")) for pool in pools])
        # what is joined is let go at once, so that there are never two of everything
        joined = {name: np.concatenate([pool.pop(name) for pool in pools]) for name in list(pools[0])}
        return _Pool(offsets=np.concatenate([[0], np.cumsum(counts)]), **joined)

    def _parts(self, first: int, stop: int) -> Iterator[_Part]:
        """Cut the showers numbered `first` to `stop` at the blocks' borders."""
        for i in range(int(np.searchsorted(self._first, first, "right")) - 1, len(self._blocks)):
            a, b = max(first, int(self._first[i])), min(stop, int(self._first[i + 1]))
            if a < b:
                yield _Part(*self._blocks[i], a - int(self._first[i]), b - a)
            if b == stop:
                return

    def _wanted(self, pdg: NDArray[np.integer], number: int) -> NDArray[np.bool_]:
        """Which showers are used of those from `number` on, counted over all files."""
        wanted = np.isin(pdg, self.species)
        return wanted if self._chosen is None else wanted & self._chosen[number : number + len(pdg)]

    def _prepare(self, f: ShowerSource, part: _Part) -> _Pool:
        """One block with hits above threshold, sorted by layer and by distance from the line of flight."""
        wanted = self._wanted(f.pdg(part.start, min(part.start + self._block, len(f))), part.number)
        rows = part.start + np.flatnonzero(wanted)[part.skip : part.skip + part.count]
        a, b = int(rows[0]), int(rows[-1]) + 1
        energy, direction = f.kinetic_energy(a, b), f.direction(a, b)
        entry, pdg = f.entry(a, b), f.pdg(a, b)
        chosen = np.zeros(b - a, bool)
        chosen[rows - a] = True
        row, cell, deposit = self._hits(f, a, b, chosen)
        window, layers = self._window, self.stack.layers
        layer = cell % layers
        cell_offset = self.stack.offsets(direction, entry)
        dx = cell // (window * layers) - window // 2 - cell_offset[row, layer, 0]
        dy = cell // layers % window - window // 2 - cell_offset[row, layer, 1]
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

    def _hits(
        self, f: ShowerSource, a: int, b: int, chosen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.floating]]:
        """Hits of the chosen ones of the showers `a` to `b`: row, cell in the window of all layers, deposit."""
        rows, cells, deposits, first = [], [], [], 0
        for section, in_file in zip(self.stack.sections, self._all_layers, strict=True):
            offsets, cell, deposit = f.hits(section.name, a, b)
            row = np.repeat(np.arange(b - a), np.diff(offsets))
            keep = chosen[row] & (deposit > section.threshold)
            if section.layers < in_file:
                keep &= cell % in_file < section.layers
            nx, ny = f.shape(section.name)[:2] if self._whole and isinstance(f, ShowerFile) else section.window
            column, layer = np.divmod(cell[keep].astype(np.int32), np.int32(in_file))
            if self._whole:
                x, y = np.divmod(column, np.int32(ny))
                x, y = x + np.int32(self._window // 2 - nx // 2), y + np.int32(self._window // 2 - ny // 2)
                column = x * np.int32(self._window) + y
                # of a window that is wider, a few stray hits are farther than 255 cells
                near = (np.minimum(x, y) >= 0) & (np.maximum(x, y) < self._window)
                keep[keep] = near
                column, layer = column[near], layer[near]
            rows.append(row[keep])
            cells.append(column * np.int32(self.stack.layers) + layer + np.int32(first))
            deposits.append(deposit[keep])
            first += section.layers
        return np.concatenate(rows), np.concatenate(cells), np.concatenate(deposits)

    def _batch(self, pool: _Pool, rows: NDArray[np.int64], slot: NDArray[np.int64], size: int) -> Batch:
        window, layers = self._window, self.stack.layers
        counts = pool.offsets[rows + 1] - pool.offsets[rows]
        index = concatenated_ranges(pool.offsets[rows], counts)
        cell, deposit = pool.cell[index], pool.deposit[index]
        row = np.repeat(np.arange(len(counts)), counts)
        layer = cell % layers
        group = row * layers + layer
        shape = (len(counts), layers)
        return Batch(
            kinetic_energy=torch.from_numpy(pool.kinetic_energy[rows]),
            direction=torch.from_numpy(pool.direction[rows]),
            entry=torch.from_numpy(pool.entry[rows]),
            pdg=torch.from_numpy(pool.pdg[rows]),
            row=torch.from_numpy(row),
            layer=torch.from_numpy(layer.astype(np.int64)),
            x=torch.from_numpy((cell // (window * layers) - window // 2).astype(np.float32)),
            y=torch.from_numpy((cell // layers % window - window // 2).astype(np.float32)),
            deposit=torch.from_numpy(deposit),
            layer_energy=torch.from_numpy(
                np.bincount(group, deposit, minlength=len(counts) * layers).astype(np.float32).reshape(shape)
            ),
            layer_count=torch.from_numpy(
                np.bincount(group, minlength=len(counts) * layers).astype(np.float32).reshape(shape)
            ),
            slot=torch.tensor(slot),
            size=size,
        )


def concatenated_ranges(start: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenated ``arange(start[i], start[i] + count[i])``."""
    end = np.cumsum(count)
    out: NDArray[np.int64] = np.arange(end[-1] if len(end) else 0) + np.repeat(start - (end - count), count)
    return out
