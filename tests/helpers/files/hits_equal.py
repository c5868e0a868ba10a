# SPDX-License-Identifier: BSD-3-Clause
"""Tolerance within which two hit files count as equal.

Showers depend on their particles only, whatever is simulated beside them. But in other company matrices are
multiplied in another order and rounded otherwise. A random number that falls beside an edge may then come to lie
beyond it: another component is drawn, and what comes after it in the same shower differs, as from another seed. That
is rare, some times in ten thousand showers, and is within the tolerance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastcalo.event.hits import Hits

CLOSE = 1e-4
"""Energies are the same when they differ by no more than this, relatively."""
HITS = 1e-3
"""Largest part of an event's hits that may be in other cells or have other energies; two may in any event."""
EVENTS = 0.02
"""Largest part of the events in which more may differ."""


class Found(NamedTuple):
    """Hits of some events: event and cell ID of each, which no two share, and its energy."""

    event: NDArray[np.integer]
    cell: NDArray[np.integer]
    energy: NDArray[np.floating]

    @property
    def key(self) -> NDArray[np.uint64]:
        """Event and cell in one number: 12 bits of the one, 52 of the other when scrambled."""
        scrambled = self.cell.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return self.event.astype(np.uint64) << np.uint64(52) | scrambled >> np.uint64(12)


def assert_alike(one: Found, other: Found) -> None:
    """Compare hits with those of another way to simulate the same events."""
    n = int(max(one.event.max(), other.event.max())) + 1
    assert n < 4096
    (a_key, b_key), (a, b) = (one.key, other.key), (one, other)
    assert len(np.unique(a_key)) == len(a_key), "a cell is listed twice"
    _, i, j = np.intersect1d(a_key, b_key, return_indices=True)
    far = np.abs(a.energy[i] - b.energy[j]) > CLOSE * np.abs(b.energy[j])

    def count(event: NDArray[np.integer]) -> NDArray[np.int64]:
        return np.bincount(event, minlength=n)

    hits = count(a.event)
    off = hits + count(b.event) - 2 * count(a.event[i]) + count(a.event[i][far])
    bad = off > HITS * hits + 2
    assert bad.sum() <= EVENTS * n, f"{bad.sum()} of {n} events differ"
    same = [np.bincount(f.event, f.energy, n)[~bad] for f in (a, b)]
    np.testing.assert_allclose(*same, rtol=1e-5, atol=1e-9)


def cells(hits: Hits, section: str = "ECAL") -> dict[tuple[int, int], float]:
    """Energy of each pair of event and cell."""
    s = hits.sections[section]
    event = np.repeat(np.arange(hits.n_events), np.diff(s.offsets))
    return dict(zip(zip(event.tolist(), s.cell_id.tolist(), strict=True), s.energy.tolist(), strict=True))


def assert_same_hits(one: Hits | dict[tuple[int, int], float], other: Hits | dict[tuple[int, int], float]) -> None:
    """Compare hits, or dictionaries of them, as `cells` gives them."""

    def found(hits: Hits | dict[tuple[int, int], float]) -> Found:
        table = hits if isinstance(hits, dict) else cells(hits)
        event, cell = zip(*table, strict=True)
        return Found(np.array(event), np.array(cell, np.uint64), np.array(list(table.values())))

    assert_alike(found(one), found(other))
