# SPDX-License-Identifier: BSD-3-Clause
"""Gathering of rows that belong to one event but stand apart, as several threads fill one ntuple; in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .batches import PER_EVENT, PER_PARTICLE, FileEvents, join_events, slice_events
from .identifiers import Identifiers
from .occurrences import Intervals

# rows that wait for others of their event; some 100 MB
_MOST_WAITING = 1_000_000


@dataclass(frozen=True, eq=False)
class Rows:
    """How many rows each event of a file has.

    Attributes
    ----------
    where : str
        File and tree, for messages.
    counts : Intervals
        Rows of events, by what `Identifiers.key` gives.
    places : int
        How often a row belongs to another event than the one before it.
    """

    where: str
    counts: Intervals
    places: int

    @property
    def events(self) -> int:
        """Events of the file."""
        return self.counts.distinct()


def gather_rows(parts: Iterable[FileEvents], rows: Rows, most: int = _MOST_WAITING) -> Iterator[FileEvents]:
    """Make one event of all rows of the same identifiers, in the order of their first rows.

    Parameters
    ----------
    parts : iterable of FileEvents
        One row, which is one particle, in each event.
    rows : Rows
        How many belong to each event: so it is known when an event is whole.
    most : int
        Rows that may wait for others.

    Raises
    ------
    InputError
        More rows than that lie between the first and the last one of an event.
    """
    waiting: list[FileEvents] = []
    for part in parts:
        if part.n_events == 0:
            continue
        events = _gathered(join_events([*waiting, part]))
        whole = np.diff(events.offsets) == rows.counts.count_of(*_key(events))
        stop = events.n_events if whole.all() else int(np.argmin(whole))
        if stop:
            yield slice_events(events, 0, stop)
        waiting = [slice_events(events, stop, events.n_events)] if stop < events.n_events else []
        if waiting and waiting[0].n_particles > most:
            raise InputError(
                f"{rows.where}: the rows of event {waiting[0].event[0]} lie more than {most} rows apart, which is more "
                "than can be gathered: sort the rows by event"
            )
    yield from waiting


def _key(events: FileEvents) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return Identifiers(events.run, events.event, events.luminosity_block, events.repeat).key


def _gathered(events: FileEvents) -> FileEvents:
    """Events of the same identifiers become one, at the place of the first, with their particles in order."""
    group, number = _key(events)
    order = np.lexsort((number, group))
    new = np.concatenate([[True], (np.diff(group[order]) != 0) | (np.diff(number[order]) != 0)])
    # the sort is stable: the first of equals is the first in the file
    first = order[new]
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    event = np.empty(len(order), np.int64)
    event[order] = place[np.cumsum(new) - 1]
    first = np.sort(first)
    counts = np.diff(events.offsets)
    moved = np.argsort(np.repeat(event, counts), kind="stable")
    columns: dict[str, Any] = {name: getattr(events, name)[moved] for name in PER_PARTICLE}
    columns |= {name: None if (c := getattr(events, name)) is None else c[first] for name in PER_EVENT}
    columns["offsets"] = np.concatenate([[0], np.cumsum(np.bincount(event, counts, len(first)).astype(np.int64))])
    return FileEvents(**columns)
