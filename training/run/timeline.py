# SPDX-License-Identifier: BSD-3-Clause
"""Timeline of all ranks in Chrome trace format, readable by Perfetto.

Google, "RankTimeline Event Format" (2016): complete events, times in microseconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from fastcalo.io.atomic import whole_file

from ..exchange import Exchange

_MOST_EVENTS = 2_000_000
_SHORTEST_NS = 1_000

Event = tuple[str, int, int]
"""Name, start and duration, ns."""


class Timeline(Protocol):
    """Notes what was done since the last note."""

    def begin(self, exchange: Exchange) -> None:
        """Set time to zero: to be called by all ranks at once, right after they have waited for each other."""

    def lap(self, name: str) -> None:
        """Whatever was done since the last lap is `name`, but for what was spent waiting at its end."""


class NoTimeline:
    """Notes nothing."""

    def begin(self, exchange: Exchange) -> None:
        """Do nothing."""

    def lap(self, name: str) -> None:
        """Do nothing."""


class RankTimeline:
    """The timeline of one rank.

    Attributes
    ----------
    events : list of Event
        In the order of time. No more than some millions are kept, of the beginning.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def begin(self, exchange: Exchange) -> None:
        """Set time to zero."""
        self._exchange, self._waited = exchange, exchange.waited
        self._zero = self._last = time.perf_counter_ns()

    def lap(self, name: str) -> None:
        """Note what was done, and the waiting at its end."""
        now, waited = time.perf_counter_ns(), self._exchange.waited
        split = max(self._last, now - round((waited - self._waited) * 1e9))
        self._note(name, self._last, split)
        self._note("waiting", split, now)
        self._last, self._waited = now, waited

    def _note(self, name: str, start: int, stop: int) -> None:
        if stop - start >= _SHORTEST_NS and len(self.events) < _MOST_EVENTS:
            self.events.append((name, start - self._zero, stop - start))


def write_timeline(path: Path, ranks: Sequence[tuple[str, Sequence[Event]]]) -> None:
    """Write the timelines of all ranks as one file of JSON; a file of that name is replaced.

    Parameters
    ----------
    path : Path
    ranks : sequence of (str, sequence of Event)
        The node and the events of each rank.

    Raises
    ------
    OutputError
    """
    out: list[dict[str, Any]] = []
    for rank, (node, events) in enumerate(ranks):
        out.append({"name": "process_name", "ph": "M", "pid": rank, "args": {"name": f"rank {rank} ({node})"}})
        out += [
            {"name": name, "ph": "X", "pid": rank, "tid": 0, "ts": start / 1e3, "dur": duration / 1e3}
            for name, start, duration in events
        ]
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps({"traceEvents": out, "displayTimeUnit": "ms"}))


def gather_timeline(trace: RankTimeline, world: Any, path: Path) -> None:
    """Write the timelines of all ranks, on the first of them.

    Parameters
    ----------
    trace : RankTimeline
    world : mpi4py.MPI.Comm or None
    path : Path
    """
    mine = (os.uname().nodename, trace.events)
    ranks = [mine] if world is None else world.gather(mine)
    if ranks is not None:
        write_timeline(path, ranks)
