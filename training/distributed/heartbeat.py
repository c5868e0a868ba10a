# SPDX-License-Identifier: BSD-3-Clause
"""Heartbeat files that show which ranks still make steps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_EVERY_S = 2.0


class Heartbeat:
    """A small file per rank in the folder of the training, touched every few seconds while the rank is alive.

    Parameters
    ----------
    run : Path
    rank : int
    patience : float
        Seconds without an answer after which a rank is given up: signs come often enough to show who is late.

    Attributes
    ----------
    listen : callable
        Called with every sign of life; what it raises calls the rank away from what it waits for.
    """

    def __init__(self, run: Path, rank: int, patience: float = 600.0) -> None:
        self._every = min(_EVERY_S, patience / 12)
        self._folder = run / "ranks"
        self._file, self._last = self._folder / str(rank), 0.0
        self.listen: Callable[[], None] = lambda: None
        self._announced = False
        self._announce()

    def _announce(self) -> None:
        """Write where this rank is, if the folder of the training is there: to make it is not for a rank to do."""
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            self._file.write_text(f"{os.uname().nodename} {os.getpid()}\n")
            self._announced = True

    def beat(self) -> None:
        """Show that this rank is alive."""
        self.listen()
        if not self._announced:
            self._announce()
        if time.monotonic() - self._last > self._every:
            self._last = time.monotonic()
            # a full or slow disk must not end a training
            with suppress(OSError):
                os.utime(self._file)

    def late(self, size: int) -> str:
        """Which ranks have given no sign for longest, in words."""
        ages = {}
        for rank in range(size):
            with suppress(OSError):
                ages[rank] = time.time() - (self._folder / str(rank)).stat().st_mtime
        if not ages:
            return "no rank has given a sign of life yet"
        late = {rank: age for rank, age in ages.items() if age > 5 * self._every}
        if not late:
            return "all ranks give signs of life: the network may be down"
        names = ", ".join(f"rank {r} ({self._where(r)}), for {a:.0f} s" for r, a in sorted(late.items()))
        return f"no sign of life from {names}"

    def _where(self, rank: int) -> str:
        with suppress(OSError, ValueError):
            node, pid = (self._folder / str(rank)).read_text().split()
            return f"process {pid} on {node}"
        return "whereabouts unknown"
