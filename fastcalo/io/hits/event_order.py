# SPDX-License-Identifier: BSD-3-Clause
"""Check that two files hold the same events in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .reader import IDENTIFIERS, Chunk


@dataclass
class EventOrder:
    """Follows the identifiers of the events of two files, entry by entry, without keeping them."""

    entries: int = 0
    others: int = 0
    _first: str = ""
    _sums: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, full: Chunk | None, fast: Chunk | None) -> None:
        """Look at the same range of entries in both; None where a file has ended."""
        chunks = [chunk for chunk in (full, fast) if chunk is not None]
        names = [name for name in IDENTIFIERS if all(name in chunk.events for chunk in chunks)]
        self._sums = [
            (total + _digest(chunk, names)) % 2**64 for total, chunk in zip(self._sums, (full, fast), strict=True)
        ]
        if full is None or fast is None or not names:
            return
        n = min(len(full.entries), len(fast.entries))
        # column by column: numbers with and without sign have no common type that holds them all
        differ = np.any([full.events[name][:n] != fast.events[name][:n] for name in names], axis=0)
        if differ.any() and not self.others:
            i = int(differ.argmax())
            mine, its = ([chunk.events[name][i] for name in names] for chunk in (full, fast))
            self._first = f"entry {full.entries[i]} is {_text(names, mine)} in FULL, but {_text(names, its)} in FAST"
        self.others += int(differ.sum())
        self.entries += n

    @property
    def lines(self) -> list[str]:
        """The difference in one line, or none."""
        if not self.others:
            return []
        # sums of hashes don't depend on the order; that they agree by chance is out of the question
        same = self._sums[0] == self._sums[1]
        kind = "the same events, in another order" if same else "other events"
        return [f"events: {kind}: {self.others} of {self.entries} entries differ; {self._first}"]


def _text(names: Sequence[str], values: Sequence[int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _digest(chunk: Chunk | None, names: Sequence[str]) -> int:
    """Sum of a hash of every event's identifiers; the mixing function is that of SplitMix64 (Steele et al. 2014)."""
    if chunk is None or not names:
        return 0
    mixed = np.zeros(len(chunk.entries), np.uint64)
    for name in names:
        mixed += chunk.events[name].astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return int(mixed.sum(dtype=np.uint64))
