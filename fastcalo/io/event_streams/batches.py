# SPDX-License-Identifier: BSD-3-Clause
"""Slicing and joining of `Events` into chunks of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...event.events import Events


@dataclass(frozen=True, repr=False)
class FileEvents(Events):
    """Events that know where in the input they are from.

    Attributes
    ----------
    entry : int64 [n_events]
        Number of the entry that each event begins at, counted over all files of the input.
    """

    entry: NDArray[np.int64] = field(kw_only=True)


PER_PARTICLE = ("pdg", "momentum", "mass", "vertex", "final")
PER_EVENT = ("run", "event", "entry", "luminosity_block", "repeat", "stream")
"""Columns of events, beside the offsets."""


def slice_events(events: FileEvents, start: int, stop: int) -> FileEvents:
    """Events `start` to `stop`, without a copy of their particles."""
    first, last = events.offsets[start], events.offsets[stop]
    columns: dict[str, Any] = {name: getattr(events, name)[first:last] for name in PER_PARTICLE}
    columns |= {name: _at(getattr(events, name), slice(start, stop)) for name in PER_EVENT}
    return FileEvents(offsets=events.offsets[start : stop + 1] - first, **columns)


def join_events(parts: Sequence[FileEvents]) -> FileEvents:
    """Events of all parts, in order. At least one part is needed."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    columns: dict[str, Any] = {}
    for name in PER_PARTICLE + PER_EVENT:
        column = [getattr(part, name) for part in parts]
        columns[name] = None if column[0] is None else np.concatenate(column)
    return FileEvents(offsets=np.concatenate([[0], np.cumsum(counts)]), **columns)


def between(parts: Iterable[FileEvents], start: int, stop: int) -> Iterator[FileEvents]:
    """Pass on events that begin at entries from `start` to `stop`; the events are in the order of their entries."""
    for part in parts:
        first, last = np.searchsorted(part.entry, [start, stop]).tolist()
        if first < last:
            yield slice_events(part, first, last)
        if last < part.n_events:
            return


def rechunk(parts: Iterable[FileEvents], size: int) -> Iterator[FileEvents]:
    """Cut a stream of events into chunks of `size`, but for the last; events without any part give no chunk."""
    waiting: list[FileEvents] = []
    n_waiting = 0
    for part in parts:
        start = 0
        while n_waiting + part.n_events - start >= size:
            stop = start + size - n_waiting
            yield join_events([*waiting, slice_events(part, start, stop)])
            waiting, n_waiting, start = [], 0, stop
        if start < part.n_events:
            waiting.append(slice_events(part, start, part.n_events))
            n_waiting += part.n_events - start
    if waiting:
        yield join_events(waiting)


def limit_particles(chunks: Iterable[FileEvents], most: int) -> Iterator[FileEvents]:
    """Cut chunks with more than `most` final-state particles, between events; one event stays whole."""
    for chunk in chunks:
        final = np.concatenate([[0], np.cumsum(chunk.final)])[chunk.offsets]
        start = 0
        while start < chunk.n_events:
            stop = int(np.searchsorted(final, final[start] + most, side="right")) - 1
            stop = max(stop, start + 1)
            yield slice_events(chunk, start, stop)
            start = stop


def group_rows(parts: Iterable[FileEvents]) -> Iterator[FileEvents]:
    """Make one event of consecutive ones that bear the same identifiers, also across the ends of parts."""
    waiting: list[FileEvents] = []
    for part in parts:
        if part.n_events == 0:
            continue
        grouped = _grouped(join_events([*waiting, part]))
        last = grouped.n_events - 1
        if last:
            yield slice_events(grouped, 0, last)
        # the next part may go on with the last event
        waiting = [slice_events(grouped, last, last + 1)]
    yield from waiting


def _grouped(events: FileEvents) -> FileEvents:
    keys = [key for key in (events.run, events.event, events.luminosity_block, events.repeat) if key is not None]
    first = np.concatenate([[True], np.any([key[1:] != key[:-1] for key in keys], axis=0)])
    begins = np.flatnonzero(first)
    columns: dict[str, Any] = {name: getattr(events, name) for name in PER_PARTICLE}
    columns |= {name: _at(getattr(events, name), begins) for name in PER_EVENT}
    return FileEvents(offsets=np.append(events.offsets[begins], events.offsets[-1]), **columns)


def _at(column: NDArray[Any] | None, where: slice | NDArray[np.int64]) -> NDArray[Any] | None:
    return None if column is None else column[where]
