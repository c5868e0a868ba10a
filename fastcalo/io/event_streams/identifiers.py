# SPDX-License-Identifier: BSD-3-Clause
"""What events are known by: run, luminosity block and event number, in full and as runs of consecutive numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...event.digests import block_digest, mix
from ...event.events import Identifier

COLUMNS = ("run", "event", "luminosity_block", "repeat")

MOST_RUNS = 1 << 16
"""Runs of the whole input that are kept; some 3 MB."""


@dataclass(frozen=True, eq=False)
class Identifiers:
    """What a block of events is known by.

    Attributes
    ----------
    run, event : int [n]
    luminosity_block : int [n] or None
    repeat : uint64 [n] or None
        What an earlier conversion distinguished them by.
    """

    run: Identifier
    event: Identifier
    luminosity_block: Identifier | None = None
    repeat: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.run)

    @property
    def key(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Group and number for `Occurrences`, uint64 [n] each: events share showers where both are the same."""
        group = block_digest(self.run, self.luminosity_block)
        if self.repeat is not None:
            group = np.where(self.repeat == 0, group, mix(group ^ self.repeat))
        return group, self.event.astype(np.uint64)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Identifiers:
        """Some of them."""
        columns = (None if column is None else column[rows] for column in self._columns())
        return Identifiers(*columns)  # type: ignore[arg-type]

    def changes(self, before: Identifiers | None) -> Identifiers:
        """Those that differ from the ones right before them; `before` is the block before."""
        new = np.zeros(len(self), np.bool_)
        for name, column in zip(COLUMNS, self._columns(), strict=True):
            if column is not None and len(column):
                earlier = None if before is None else getattr(before, name)
                new[0] |= earlier is None or not len(earlier) or bool(earlier[-1] != column[0])
                new[1:] |= column[1:] != column[:-1]
        return self.take(new)

    def begins(self) -> NDArray[np.int64]:
        """Where runs begin in which only the event number changes, and rises by one, int64 [runs]."""
        if not len(self):
            return np.zeros(0, np.int64)
        number = self.event.view(np.uint64)
        # the difference of unsigned numbers wraps: what follows on 2**64 - 1 is not 0
        follows = (np.diff(number) == 1) & (number[1:] != 0)
        for column in (self.run, self.luminosity_block, self.repeat):
            if column is not None and not (column == column[0]).all():
                follows &= column[1:] == column[:-1]
        return np.flatnonzero(np.concatenate([[True], ~follows]))

    def runs(self, begins: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Group, first and last number of runs of event numbers; `begins` is what the method of that name returns."""
        if not len(begins):
            none = np.zeros(0, np.uint64)
            return none, none, none
        # numbers that are drawn by chance make as many runs, and blocks are many: what is the same for all is done once
        starts = self if len(begins) == len(self) else self.take(begins)
        same = starts.take(slice(1)) if _of_one_group(starts) else starts
        group, first = np.broadcast_to(same.key[0], len(begins)), starts.event.view(np.uint64)
        if starts is self:
            return group, first, first
        last = self.event.view(np.uint64)[np.append(begins[1:], len(self)) - 1]
        return group, first, last

    def _columns(self) -> tuple[Identifier | NDArray[np.uint64] | None, ...]:
        return self.run, self.event, self.luminosity_block, self.repeat


def _of_one_group(block: Identifiers) -> bool:
    others = (block.run, block.luminosity_block, block.repeat)
    return all(column is None or bool((column == column[0]).all()) for column in others)


class IdentifierRuns:
    """Identifiers of all events of a file, as runs of consecutive numbers, so that they need not be read again.

    Parameters
    ----------
    limit : int
        Runs that may be kept; what has more is forgotten.
    """

    def __init__(self, limit: int = MOST_RUNS) -> None:
        self._limit = limit
        self._entries = 0
        self._parts: list[tuple[NDArray[np.int64], Identifiers]] = []

    @property
    def limit(self) -> int:
        """Runs that further files may have."""
        return self._limit

    @property
    def complete(self) -> bool:
        """Whether nothing was forgotten."""
        return self._limit >= 0

    def add(self, block: Identifiers, begins: NDArray[np.int64]) -> None:
        """Add a block; `begins` is what its method of that name returns."""
        self._limit -= len(begins)
        if not self.complete:
            self._parts.clear()
            return
        if not len(block):
            return
        self._parts.append((begins + self._entries, block.take(begins)))
        self._entries += len(block)

    def of(self, entries: range) -> Identifiers:
        """Identifiers of a range of entries, which must not be empty.

        Raises
        ------
        LookupError
            They were forgotten, or never added.
        """
        if not (self.complete and 0 <= entries.start < entries.stop <= self._entries):
            raise LookupError(f"entries {entries.start} to {entries.stop}")
        pieces = list(self._pieces(entries))
        columns = (
            None if parts[0] is None else np.concatenate(parts)
            for name in COLUMNS
            if (parts := [getattr(piece, name) for piece in pieces])
        )
        return Identifiers(*columns)  # type: ignore[arg-type]

    def _pieces(self, entries: range) -> Iterator[Identifiers]:
        ends = [int(begins[0]) for begins, _ in self._parts[1:]] + [self._entries]
        for (begins, first), end in zip(self._parts, ends, strict=True):
            place = np.arange(max(entries.start, int(begins[0])), min(entries.stop, end))
            if len(place):
                run = np.searchsorted(begins, place, side="right") - 1
                block = first.take(run)
                yield replace(block, event=block.event + (place - begins[run]).astype(block.event.dtype))
